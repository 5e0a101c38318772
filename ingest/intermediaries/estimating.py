"""Estimate which caller reaches which target behind a shared listener, from volumes over time. Pure.

The traffic to a target is the sum of what comes in for it. So a target's series is regressed on the callers' series
(non-negative, each bucket weighted by its expected variance), and a caller's on the targets'. Connections, bytes sent
and bytes received are separate equations with their own shares, because callers differ in the size of their calls. A
constant takes up the intermediary's own traffic. From both regressions follows how surprising it is that a pair's
coefficient is zero. A logistic model turns this into a probability, and a second model corrects it by the other pairs
(relating.py). Both models are fitted and validated on simulated traffic (`benchmarks/bench_intermediaries.py`):
correlated callers leave coefficients uncertain, and so get a low confidence.

Invariant: estimates do not depend on the units of measures, nor on the order of callers and targets.

Sources: temporal regression for routing matrices, as in Cao, Davis, Vander Wiel and Yu, "Time-varying network
tomography" (2000); balancing of shares by iterative proportional fitting.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special
from scipy.optimize import nnls

from chronotope.ingest.intermediaries import weights
from chronotope.ingest.intermediaries.relating import relations

FEATURES = (
    "target_max", "target_mean", "caller_max", "caller_mean", "both", "together", "share", "overlap",
    "callers", "targets", "buckets", "target_max × unseen in", "caller_max × unseen out", "caller_room", "target_room",
)  # fmt: skip
FEWEST_BUCKETS = 6  # with traffic; from fewer nothing is estimated
_CLIP = -4.0, 10.0  # z beyond says no more
_EXPLAINED = 0.85  # of a caller's bytes
_DECIDED = 3.0  # logit from which longer steps are not asked any more
_OWN = 0.1  # of a mean bucket: the least variance a bucket has
_BALANCED = 20  # rounds of proportional fitting


@dataclass(frozen=True, slots=True)
class Series:
    """Volumes on both sides in steps of one length.

    Attributes:
        inbound: float64[M, A, T], what A callers sent to the intermediary in T steps, by M measures.
        outbound: float64[M, B, T], what it sent to B targets.
        callers: bool[A], whose series are whole at this length; targets: bool[B], likewise.
    """

    inbound: np.ndarray
    outbound: np.ndarray
    callers: np.ndarray
    targets: np.ndarray


def confidences(series: Sequence[Series], allowed: np.ndarray) -> np.ndarray:
    """Return how probable each pair is, float64[A, B] in 0…1.

    What shorter steps decide, longer ones take as given: a pair that is out has no coefficient there any more.

    Args:
        series: the same traffic in steps of several lengths, the shortest first.
        allowed: bool[A, B], pairs that are possible at all.
    """
    score = np.full(allowed.shape, np.nan)
    open_pairs = allowed.copy()
    for number, each in enumerate(series, start=1):
        found, part = _scores(each, open_pairs)
        fresh = np.isnan(score) | (np.abs(score) < _DECIDED)
        decided = fresh & open_pairs & ~np.isnan(found)
        score = np.where(decided, np.where(np.isnan(score), found, (score + found) / 2), score)
        if number == len(series):
            break
        # If all of a caller's traffic is found at certain targets, it has no other targets.
        explained = np.where(score > _DECIDED, part, 0).sum(axis=1) * each.callers >= _EXPLAINED
        open_pairs &= ~(score < -_DECIDED) & ~(explained[:, None] & ~(score > _DECIDED))
        score = np.where(open_pairs | np.isnan(score), score, np.minimum(score, -_DECIDED))
    return np.asarray(np.where(allowed & ~np.isnan(score), 1 / (1 + np.exp(-score)), 0.0))


def _scores(series: Series, allowed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the logit of each pair's probability, and its part of the caller's bytes; float64[A, B] twice.

    Where these steps say nothing, the logit is NaN.
    """
    inbound, outbound = series.inbound, series.outbound
    there = np.outer(series.callers & inbound.any(axis=(0, 2)), series.targets & outbound.any(axis=(0, 2)))
    busy = inbound.any(axis=(0, 1)) | outbound.any(axis=(0, 1))
    nothing = np.full(allowed.shape, np.nan), np.zeros(allowed.shape)
    if busy.sum() < FEWEST_BUCKETS:
        return nothing
    found = pair_features(inbound[:, :, busy], outbound[:, :, busy], allowed)
    if found is None:
        return nothing
    features, part = found
    alone = weights.ALONE_CONSTANT + ((features - weights.ALONE_CENTRES) / weights.ALONE_SCALES) @ weights.ALONE_WEIGHTS
    volumes = inbound[1:].sum(axis=(0, 2)), outbound[1:].sum(axis=(0, 2))
    among = np.concatenate([features, relations(alone, there & allowed, *volumes)], axis=-1)
    score = weights.AMONG_CONSTANT + ((among - weights.AMONG_CENTRES) / weights.AMONG_SCALES) @ weights.AMONG_WEIGHTS
    return np.where(there, score, np.nan), part


def pair_features(
    inbound: np.ndarray, outbound: np.ndarray, allowed: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return FEATURES of each pair, float64[A, B, F], and its part of the caller's traffic, float64[A, B].

    None when no measure was forwarded.
    """
    by_measure = [
        _measured(own_in.T, own_out.T, allowed)
        for number, (own_in, own_out) in enumerate(zip(inbound, outbound, strict=True))
        if _forwarded(own_in.sum(), own_out.sum(), connections=number == 0)
    ]
    if not by_measure:
        return None
    target, caller, together, share, overlap, of_caller, of_target = (
        np.stack(each) for each in zip(*by_measure, strict=True)
    )
    part = np.median(of_caller, axis=0)
    rooms = [
        np.clip(1 - (sums.sum(axis=axis, keepdims=True) - sums), -1, 1)
        for sums, axis in ((part, 1), (np.median(of_target, axis=0), 0))
    ]  # the caller's and the target's traffic without that of other pairs
    best, back = target.max(0), caller.max(0)
    size = [np.full(best.shape, np.log(count)) for count in (*best.shape, inbound.shape[2])]
    unseen_in, unseen_out = _unseen(inbound, outbound), _unseen(outbound, inbound)
    features = np.stack(
        [
            best, target.mean(0), back, caller.mean(0), np.minimum(best, back), together.max(0), share.min(0),
            overlap.min(0), *size, best * unseen_in, back * unseen_out, *rooms,
        ],
        axis=-1,
    )  # fmt: skip
    return features, part


def _unseen(one: np.ndarray, other: np.ndarray) -> float:
    """Return the part of the other side's bytes that has no counterpart on one side, 0…1."""
    seen, there = one[1:].sum(), other[1:].sum()
    return float(np.clip(1 - seen / max(there, 1e-12), 0, 1))


def whole(inbound: np.ndarray, outbound: np.ndarray) -> Series:
    """Return series that hold all traffic of both sides."""
    return Series(inbound, outbound, np.ones(inbound.shape[1], np.bool_), np.ones(outbound.shape[1], np.bool_))


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
    # Each possible pair keeps a small share, so that fitting can raise it.
    carried = np.where(possible, np.maximum(carried, 1e-3 * np.minimum(sums_in[:, None], sums_out[None])), 0)
    for _ in range(_BALANCED):
        carried *= _ratio(sums_out, carried.sum(axis=0))[None]
        carried *= _ratio(sums_in, carried.sum(axis=1))[:, None]
    shares = carried * _ratio(np.ones(len(x)), carried.sum(axis=1))[:, None]
    even = possible / np.maximum(possible.sum(axis=1, keepdims=True), 1)
    return np.asarray(np.where((shares.sum(axis=1) > 0)[:, None], shares, even))


def _forwarded(into: float, out: float, *, connections: bool) -> bool:
    """Return whether a measure is useful. Connections are so only if neither side reuses them."""
    return into > 0 and out > 0 and (not connections or 1 / 3 < out / into < 3)


def _measured(x: np.ndarray, y: np.ndarray, allowed: np.ndarray) -> tuple[np.ndarray, ...]:
    """Compare callers, float64[T, A], with targets, float64[T, B], in one measure; each answer float64[A, B]."""
    target, carried = _regressed(x, y, allowed)
    caller = _regressed(y, x, allowed.T)[0].T
    least = np.maximum(np.minimum(x.sum(axis=0)[:, None], y.sum(axis=0)[None]), 1e-12)
    scaled = x * (y.sum() / x.sum())
    scaled_least = np.maximum(np.minimum(scaled.sum(axis=0)[:, None], y.sum(axis=0)[None]), 1e-12)
    overlap = np.minimum(scaled[:, :, None], y[:, None, :]).sum(axis=0) / scaled_least
    of_caller, of_target = (
        carried / np.maximum(x.sum(axis=0), 1e-12)[:, None],
        carried / np.maximum(y.sum(axis=0), 1e-12),
    )
    return target, caller, _correlated(x, y), np.minimum(carried / least, 1.5), overlap, of_caller, of_target


def _regressed(x: np.ndarray, y: np.ndarray, allowed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Regress each column of y on those of x that are allowed, bool[A, B].

    Returns:
        z of each coefficient above zero, and what it carries; float64[A, B].
    """
    buckets = len(x)
    z, carried = np.zeros(allowed.shape), np.zeros(allowed.shape)
    scaled = x / np.maximum(x.mean(axis=0), 1e-12)
    for at in np.flatnonzero(y.any(axis=0)):
        chosen = np.flatnonzero(allowed[:, at])
        series = np.column_stack([scaled[:, chosen], np.ones(buckets)])
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
        alone = _told_apart(weighted, used)
        each = -special.ndtri(np.clip(special.stdtr(free, -found[used] / error * alone), 1e-30, 0.5))
        callers_used = used < len(chosen)
        z[chosen[used[callers_used]], at] = np.clip(each[callers_used], *_CLIP)
        carried[chosen, at] = found[:-1] * mean * buckets
    return z, carried


def _told_apart(series: np.ndarray, used: np.ndarray) -> np.ndarray:
    """Return by how much each column in use differs from the others, 0…1.

    Of two columns that are alike the fit takes one, whichever: it must not seem the surer for that.
    """
    others = np.setdiff1d(np.arange(series.shape[1] - 1), used)
    if not len(others):
        return np.ones(len(used))
    centred = series - series.mean(axis=0)
    norms = np.maximum(np.sqrt((centred**2).sum(axis=0)), 1e-12)
    r = (centred[:, used].T @ centred[:, others]) / norms[used][:, None] / norms[others][None]
    return np.asarray(np.sqrt(np.clip(1 - (np.clip(r, 0, 1) ** 2).max(axis=1), 0, 1)))


def _correlated(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Fisher's z of each pair's correlation, float64[A, B]."""
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    norms = np.sqrt((x**2).sum(axis=0))[:, None] * np.sqrt((y**2).sum(axis=0))[None]
    r = np.clip((x.T @ y) / np.maximum(norms, 1e-12), -0.9999, 0.9999)
    return np.asarray(np.clip(np.arctanh(r) * np.sqrt(max(len(x) - 3, 1)), *_CLIP))


def _together(side: np.ndarray) -> np.ndarray:
    """Return the sum of all measures with equal weight; float64[N, T]."""
    return np.asarray((side / np.maximum(side.sum(axis=(1, 2), keepdims=True), 1e-12)).sum(axis=0))


def _nnls(series: np.ndarray, response: np.ndarray) -> np.ndarray:
    try:
        found: np.ndarray = nnls(series, response, maxiter=100 * series.shape[1])[0]
    except RuntimeError:  # it went in circles: nothing is known
        return np.zeros(series.shape[1])
    return found


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.asarray(np.divide(part, whole, out=np.zeros_like(whole), where=whole > 0))
