"""Which caller reaches which target behind a shared listener, estimated from volumes over time. Pure.

What goes out to a target is the sum of what comes in for it. So a target's series is regressed on the callers' series
(non-negative, each bucket weighted by its expected variance), and a caller's on the targets'; connections, bytes sent
and bytes received are separate equations with their own shares, because callers differ in the size of their calls. A
constant takes up the intermediary's own traffic. How surprising it is that a pair's coefficient is zero, from both
sides, becomes a probability by a logistic model, fitted and validated on simulated traffic (`benchmarks/
bench_intermediaries.py`): correlated callers leave coefficients uncertain and so get a low confidence.

Invariant: estimates do not depend on the units of measures, nor on the order of callers and targets.

Sources: temporal regression for routing matrices, as in Cao, Davis, Vander Wiel and Yu, "Time-varying network
tomography" (2000); balancing of shares by iterative proportional fitting.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import nnls
from scipy.stats import norm, t

from chronotope.ingest.intermediaries.weights import CENTRES, SCALES, WEIGHTS

FEATURES = (
    "target_max", "target_mean", "caller_max", "caller_mean", "together", "share", "overlap", "callers", "targets",
    "buckets",
)  # fmt: skip
FEWEST_BUCKETS = 6  # with traffic; from fewer nothing is estimated
_CLIP = -4.0, 10.0  # z beyond says no more
_OWN = 0.1  # of a mean bucket: the least variance a bucket has
_BALANCED = 20  # rounds of proportional fitting


def confidences(inbound: np.ndarray, outbound: np.ndarray) -> np.ndarray:
    """Return how probable each pair is, float64[A, B] in 0…1.

    Args:
        inbound: float64[M, A, T], what A callers sent to the intermediary in T buckets, by M measures.
        outbound: float64[M, B, T], what it sent to B targets.
    """
    busy = inbound.any(axis=(0, 1)) | outbound.any(axis=(0, 1))
    callers, targets = inbound.shape[1], outbound.shape[1]
    if busy.sum() < FEWEST_BUCKETS:
        return np.zeros((callers, targets))
    features = pair_features(inbound[:, :, busy], outbound[:, :, busy])
    if features is None:
        return np.zeros((callers, targets))
    score = WEIGHTS[0] + ((features - CENTRES) / SCALES) @ WEIGHTS[1:]
    there = np.outer(inbound.any(axis=(0, 2)), outbound.any(axis=(0, 2)))
    return np.asarray(there / (1 + np.exp(-score)))


def pair_features(inbound: np.ndarray, outbound: np.ndarray) -> np.ndarray | None:
    """Return FEATURES of each pair, float64[A, B, F]; None when no measure was forwarded."""
    by_measure = [
        _measured(own_in.T, own_out.T)
        for number, (own_in, own_out) in enumerate(zip(inbound, outbound, strict=True))
        if _forwarded(own_in.sum(), own_out.sum(), connections=number == 0)
    ]
    if not by_measure:
        return None
    target, caller, together, share, overlap = (np.stack(each) for each in zip(*by_measure, strict=True))
    size = [np.full(share.shape[1:], np.log(count)) for count in (*share.shape[1:], inbound.shape[2])]
    return np.stack(
        [
            target.max(0), target.mean(0), caller.max(0), caller.mean(0), together.max(0), share.min(0),
            overlap.min(0), *size,
        ],
        axis=-1,
    )  # fmt: skip


def shares_of(inbound: np.ndarray, outbound: np.ndarray, possible: np.ndarray) -> np.ndarray:
    """Return how each caller's traffic divides over the targets that are possible, float64[A, B].

    A row adds up to 1, or is 0 where nothing is possible.
    """
    x, y = _together(inbound), _together(outbound)
    sums_in, sums_out = x.sum(axis=1), y.sum(axis=1)
    carried = np.zeros(possible.shape)
    ambiguous = possible.sum(axis=1) > 1
    for at in np.flatnonzero(possible.any(axis=0)):
        rows = np.flatnonzero(possible[:, at])
        if ambiguous[rows].any():
            series = np.column_stack([x[rows].T, np.full(x.shape[1], x.mean())])
            carried[rows, at] = _nnls(series, y[at])[:-1] * sums_in[rows]
    # Each possible pair keeps a little, so that fitting can raise it.
    carried = np.where(possible, np.maximum(carried, 1e-3 * np.minimum(sums_in[:, None], sums_out[None])), 0)
    for _ in range(_BALANCED):
        carried *= _ratio(sums_out, carried.sum(axis=0))[None]
        carried *= _ratio(sums_in, carried.sum(axis=1))[:, None]
    shares = carried * _ratio(np.ones(len(x)), carried.sum(axis=1))[:, None]
    even = possible / np.maximum(possible.sum(axis=1, keepdims=True), 1)
    return np.asarray(np.where((shares.sum(axis=1) > 0)[:, None], shares, even))


def _forwarded(into: float, out: float, *, connections: bool) -> bool:
    """Whether a measure says something: connections do only where they are not reused on one side."""
    return into > 0 and out > 0 and (not connections or 0.5 < out / into < 2)


def _measured(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, ...]:
    """Compare callers, float64[T, A], with targets, float64[T, B], in one measure; each answer float64[A, B]."""
    target, carried = _regressed(x, y)
    caller = _regressed(y, x)[0].T
    least = np.maximum(np.minimum(x.sum(axis=0)[:, None], y.sum(axis=0)[None]), 1e-12)
    scaled = x * (y.sum() / x.sum())
    scaled_least = np.maximum(np.minimum(scaled.sum(axis=0)[:, None], y.sum(axis=0)[None]), 1e-12)
    overlap = np.minimum(scaled[:, :, None], y[:, None, :]).sum(axis=0) / scaled_least
    return target, caller, _correlated(x, y), np.minimum(carried / least, 1.5), overlap


def _regressed(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Regress each column of y on all of x: z of each coefficient above zero, and what it carries; float64[A, B]."""
    buckets, callers = x.shape
    z, carried = np.zeros((callers, y.shape[1])), np.zeros((callers, y.shape[1]))
    scale = np.maximum(x.mean(axis=0), 1e-12)
    series = np.column_stack([x / scale, np.ones(buckets)])
    for at in np.flatnonzero(y.any(axis=0)):
        mean = y[:, at].mean()
        own = y[:, at] / mean
        weight = 1 / np.sqrt(series @ _nnls(series, own) + _OWN)
        weighted, response = series * weight[:, None], own * weight
        found = _nnls(weighted, response)
        used = np.flatnonzero(found > 0)
        free = max(buckets - len(used), 1)
        left = max(float(((response - weighted @ found) ** 2).sum()) / free, 1e-8)
        inner = np.linalg.pinv(weighted[:, used].T @ weighted[:, used])
        error = np.sqrt(np.maximum(np.diag(inner), 1e-15) * left)
        each = -norm.ppf(np.clip(t.sf(found[used] / error, free), 1e-15, 0.5))
        callers_used = used < callers
        z[used[callers_used], at] = np.clip(each[callers_used], *_CLIP)
        carried[:, at] = found[:-1] * mean * buckets
    return z, carried


def _correlated(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Fisher's z of each pair's correlation, float64[A, B]."""
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    norms = np.sqrt((x**2).sum(axis=0))[:, None] * np.sqrt((y**2).sum(axis=0))[None]
    r = np.clip((x.T @ y) / np.maximum(norms, 1e-12), -0.9999, 0.9999)
    return np.asarray(np.clip(np.arctanh(r) * np.sqrt(max(len(x) - 3, 1)), *_CLIP))


def _together(side: np.ndarray) -> np.ndarray:
    """All measures as one, each counting the same; float64[N, T]."""
    return np.asarray((side / np.maximum(side.sum(axis=(1, 2), keepdims=True), 1e-12)).sum(axis=0))


def _nnls(series: np.ndarray, response: np.ndarray) -> np.ndarray:
    try:
        found: np.ndarray = nnls(series, response, maxiter=100 * series.shape[1])[0]
    except RuntimeError:  # it went in circles: nothing is known
        return np.zeros(series.shape[1])
    return found


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.asarray(np.divide(part, whole, out=np.zeros_like(whole), where=whole > 0))
