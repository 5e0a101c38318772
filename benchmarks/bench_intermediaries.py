"""How well callers and targets behind a balancer are paired from volumes alone: F1 and calibration, and the time taken.

Truth is known by simulation (tests/ingest/intermediaries/traffic.py); seeds are never those of the fit. Run with
`pytest benchmarks/bench_intermediaries.py --benchmark-only -s`, or as a script for the tables alone.
"""

from __future__ import annotations

import numpy as np
from tests.ingest.intermediaries.traffic import simulate

from chronotope.ingest.intermediaries.estimating import confidences, whole
from chronotope.ingest.intermediaries.pairing import SHOWN_FROM

BALANCERS, SEED = 1500, 2
LEVELS = ((0.0, 0.1), (0.1, 0.3), (0.3, 0.6), (0.6, 0.8), (0.8, 0.9), (0.9, 1.01))
LENGTHS = ((6, 12), (12, 30), (30, 80), (80, 200), (200, 1001))


def judged(balancers: int, seed: int, **drawn: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return confidence, truth and number of buckets of every pair."""
    rng = np.random.default_rng(seed)
    confidence, real, buckets = [], [], []
    for _ in range(balancers):
        traffic = simulate(rng, **drawn)
        found = confidences([whole(traffic.inbound, traffic.outbound)], np.ones(traffic.real.shape, bool))
        confidence.append(found.ravel())
        real.append(traffic.real.ravel())
        buckets.append(np.full(found.size, traffic.inbound.shape[2]))
    return np.concatenate(confidence), np.concatenate(real), np.concatenate(buckets)


def f1(shown: np.ndarray, real: np.ndarray) -> float:
    """Harmonic mean of precision and recall."""
    return float(2 * (shown & real).sum() / max(shown.sum() + real.sum(), 1))


def print_tables(confidence: np.ndarray, real: np.ndarray, buckets: np.ndarray) -> None:
    """Print F1 by length, and how many pairs of each confidence are real."""
    shown = confidence >= SHOWN_FROM
    print(f"\nall lengths: {len(real)} pairs, F1 {f1(shown, real):.3f}, precision {real[shown].mean():.3f}")
    for low, high in LENGTHS:
        own = (buckets >= low) & (buckets < high)
        precision = real[own & shown].mean()
        print(f"{low:4}–{high - 1:3} buckets: F1 {f1(shown[own], real[own]):.3f}, precision {precision:.3f}")
    for low, high in LEVELS:
        own = (confidence >= low) & (confidence < high)
        print(f"confidence {low:.1f}–{min(high, 1):.1f}: {own.sum():6} pairs, {real[own].mean():.3f} real")


def bench_estimates(benchmark) -> None:  # type: ignore[no-untyped-def]
    """Of the pairs given confidence 0.9 or more, at least 90 % are real; one balancer takes milliseconds."""
    confidence, real, buckets = judged(BALANCERS, SEED)
    print_tables(confidence, real, buckets)
    assert real[confidence >= 0.9].mean() >= 0.9
    traffic = simulate(np.random.default_rng(3), buckets=180)
    benchmark(confidences, [whole(traffic.inbound, traffic.outbound)], np.ones(traffic.real.shape, bool))


def bench_correlated_callers(benchmark) -> None:  # type: ignore[no-untyped-def]
    """Where all callers go up and down together, few pairs are shown, and those are real."""
    confidence, real, buckets = judged(BALANCERS // 3, SEED, common=1.0)
    print_tables(confidence, real, buckets)
    assert real[confidence >= 0.9].mean() >= 0.9
    traffic = simulate(np.random.default_rng(3), buckets=60, common=1.0)
    benchmark(confidences, [whole(traffic.inbound, traffic.outbound)], np.ones(traffic.real.shape, bool))


if __name__ == "__main__":
    print_tables(*judged(BALANCERS, SEED))
    print_tables(*judged(BALANCERS // 3, SEED, common=1.0))
