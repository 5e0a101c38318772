"""Simulated traffic through a balancer, with known truth: what the estimate is fitted, validated and tested on.

Callers and targets, rates, sizes, rhythms, reuse of connections, health checks and delays are all drawn; the estimate
sees nothing but what flows would show: volumes a bucket on both sides.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BUCKETS = (6, 1000)


@dataclass(frozen=True)
class Traffic:
    """inbound float64[M, A, T], outbound float64[M, B, T], and which pairs carried calls, bool[A, B]."""

    inbound: np.ndarray
    outbound: np.ndarray
    real: np.ndarray


def simulate(rng: np.random.Generator, *, buckets: int | None = None, common: float | None = None) -> Traffic:
    """Draw one balancer.

    Args:
        rng: what is drawn from.
        buckets: how many; drawn when None.
        common: how strongly all callers go up and down together; drawn when None, mostly not at all.
    """
    pairs = _topology(rng)
    count = buckets or int(np.exp(rng.uniform(*np.log(BUCKETS))))
    step_s = float(rng.choice([10.0, 10.0, 5.0, 1.0, 0.2]))
    calls = _calls(rng, pairs, count, step_s, common)
    asked = np.exp(rng.normal(np.log(300), 0.5, size=pairs.shape))
    answered = np.exp(rng.normal(np.log(3000), 1.2, size=pairs.shape))
    sent = _bytes(rng, calls, asked, float(rng.choice([0.0, 0.1, 0.5])))
    received = _bytes(rng, calls, answered, float(rng.choice([0.0, 0.3, 1.5])))
    late = float(rng.choice([0, 0.002, 0.02, 0.1])) * min(1, 1 / step_s)
    out_sent = _later(np.maximum(sent + rng.uniform(-60, 200) * calls, 0), late)
    out_received = _later(np.maximum(received + rng.uniform(-100, 100) * calls, 0), late)
    reuse_in, reuse_out = rng.choice([0, 1, 10, 1000]), rng.choice([0, 1, 1, 1000])
    inbound = np.stack([_connections(rng, calls.sum(axis=1), reuse_in), sent.sum(axis=1), received.sum(axis=1)])
    outbound = np.stack(
        [_connections(rng, calls.sum(axis=0), reuse_out), out_sent.sum(axis=0), out_received.sum(axis=0)]
    )
    if rng.random() < 0.5:
        _check_health(outbound, step_s / float(rng.choice([2.0, 5.0])))
    return _some_unseen(rng, Traffic(inbound, outbound, pairs & (calls.sum(axis=2) > 0)))


def _some_unseen(rng: np.random.Generator, traffic: Traffic) -> Traffic:
    """Services whose connections live longer than a step are not seen in it: sometimes a side is not whole."""
    drawn = rng.random()
    callers, targets = (np.ones(count, np.bool_) for count in traffic.real.shape)
    if drawn < 0.25:
        callers = rng.random(len(callers)) < 0.6
    elif drawn < 0.4:
        targets = rng.random(len(targets)) < 0.6
    if not callers.any() or not targets.any():
        return traffic
    return Traffic(traffic.inbound[:, callers], traffic.outbound[:, targets], traffic.real[callers][:, targets])


def _topology(rng: np.random.Generator) -> np.ndarray:
    callers, targets = rng.integers(2, 9, size=2)
    pairs = rng.random((callers, targets)) < rng.uniform(0.15, 0.8)
    for caller in np.flatnonzero(~pairs.any(axis=1)):
        pairs[caller, rng.integers(targets)] = True
    for target in np.flatnonzero(~pairs.any(axis=0)):
        pairs[rng.integers(callers), target] = True
    return pairs


def _calls(rng: np.random.Generator, pairs: np.ndarray, count: int, step_s: float, common: float | None) -> np.ndarray:
    callers = len(pairs)
    rate = np.exp(rng.normal(np.log(8), 1.0, size=(callers, 1)) + rng.normal(0, 0.7, size=pairs.shape)) * pairs
    rate *= rng.choice([0.2, 1, 1, 3])
    # Callers as a whole go up and down, or each pair by itself, or both, or hardly anything does.
    of_caller, of_pair = np.array([(0.7, 0.05), (0.05, 0.7), (0.5, 0.5), (0.15, 0.15)])[rng.integers(4)]
    memory = rng.uniform(0, 0.95)
    together = (0.0 if rng.random() < 0.7 else rng.uniform(0.1, 0.8)) if common is None else common
    logs = rng.uniform(0.5, 1.6) * of_caller * _wandering(rng, callers, count, memory)[:, None]
    logs = logs + rng.uniform(0.5, 1.6) * of_pair * _wandering(rng, pairs.size, count, memory).reshape(*pairs.shape, -1)
    load = np.exp(logs + together * _wandering(rng, 1, count, 0.9)[None])
    if rng.random() < 0.3:
        on = _wandering(rng, callers, count, rng.uniform(0.3, 0.95)) > rng.uniform(-1, 0.5)
        load = load * on[:, None]
    if rng.random() < 0.15:  # two of them do the same at the same time
        load[-1] = load[0]
    if rng.random() < 0.2:
        load[rng.integers(callers), :, : rng.integers(1, count)] = 0  # one comes later
    if rng.random() < 0.4:  # the machine stalls: everything waits, and then comes at once
        load = load * np.exp(rng.normal(0, rng.uniform(0.2, 1.0), size=count))
    return rng.poisson(np.minimum(rate[:, :, None] * load * step_s, 1e7))


def _wandering(rng: np.random.Generator, series: int, count: int, memory: float) -> np.ndarray:
    steps = rng.normal(size=(series, count))
    for at in range(1, count):
        steps[:, at] = memory * steps[:, at - 1] + np.sqrt(1 - memory**2) * steps[:, at]
    return steps


def _bytes(rng: np.random.Generator, calls: np.ndarray, mean: np.ndarray, spread: float) -> np.ndarray:
    each = mean[:, :, None]
    total = each * (calls + np.sqrt(calls) * spread * rng.normal(size=calls.shape))
    return np.maximum(total, 0.2 * each * calls)


def _later(volume: np.ndarray, part: float) -> np.ndarray:
    """A part of each bucket is seen in the next one on the other side."""
    moved = volume * (1 - part)
    moved[..., 1:] += volume[..., :-1] * part
    return moved


def _connections(rng: np.random.Generator, calls: np.ndarray, reuse: int) -> np.ndarray:
    """Connections of so many calls each; 0: all were open before."""
    if reuse == 0:
        return np.zeros(calls.shape)
    return calls.astype(float) if reuse == 1 else rng.poisson(calls / reuse).astype(float)


def _check_health(outbound: np.ndarray, checks: float) -> None:
    buckets = np.arange(outbound.shape[2] + 1)
    count = np.diff(np.floor(buckets * checks))
    outbound += np.array([1, 120, 200])[:, None, None] * count
