"""Which callers of an intermediary reach which of its targets: certain, known or estimated pairs.

Invariant: a pair is certain only where no other is possible: one target behind the listener, one caller, or what traces
and declarations say. Every other pair is an estimate with a confidence. The answer is never the cross product.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from chronotope.ingest.intermediaries.estimating import Series, confidences, shares_of, whole
from chronotope.ingest.intermediaries.hops import BYTES_RECEIVED, BYTES_SENT, CONNECTIONS

SHOWN_FROM = 0.5  # in simulation F1 is best from 0.4 to 0.5; a wrong edge costs more than a missing one
POSSIBLE_FROM = 0.1  # below it, a pair takes no share of a caller's traffic
_FORWARDED = 0.3  # a single target must get at least this part of the bytes that come in
_CHECKS_FEWEST = 6  # with so many buckets of connections, their regularity is evidence
_CHECKS_DISPERSION = 0.2  # variance over mean of counts; independent calls have 1 or more
_EXPLAINED = 0.9  # with this part of a caller's bytes over matched connections, it has no other targets
_SUREST = 0.999  # of an estimate
_MATCHED = 0.99  # confidence of a pair with matched connections
_USED = (CONNECTIONS, BYTES_SENT, BYTES_RECEIVED)


@dataclass(frozen=True, slots=True)
class Pairs:
    """The traffic from A callers to B targets.

    Attributes:
        shares: float64[A, B], of a caller's traffic to each target; a row adds up to at most 1.
        confidence: float64[A, B].
        inferred: bool[A, B].
    """

    shares: np.ndarray
    confidence: np.ndarray
    inferred: np.ndarray

    @property
    def shown(self) -> np.ndarray:
        """Which pairs are resolved, bool[A, B]."""
        return (self.confidence >= SHOWN_FROM) & (self.shares > 0)


@dataclass(frozen=True, slots=True)
class Records:
    """Details from flow records of A callers and B targets, beyond their volumes by bucket.

    Attributes:
        series: in shorter steps, as far as records allow it, the shortest first; without matched connections.
        matched: float64[A, B], bytes of connections that were matched one by one.
        shares: float64[A], which part of a caller's bytes went over such connections.
    """

    series: Sequence[Series]
    matched: np.ndarray
    shares: np.ndarray


def pair(
    inbound: np.ndarray,
    outbound: np.ndarray,
    allowed: np.ndarray,
    known: np.ndarray,
    records: Records | None = None,
) -> Pairs:
    """Return the pairs of one intermediary.

    Args:
        inbound: int64[A, M, T], what each caller sent it.
        outbound: int64[B, M, T], what it sent each target.
        allowed: bool[A, B], false where a declaration says that the caller's listener does not lead to the target.
        known: float64[A, B], calls that traces or metrics saw between the two, through this intermediary.
        records: what flow records add to that.
    """
    volumes = inbound[:, _USED].transpose(1, 0, 2).astype(float), outbound[:, _USED].transpose(1, 0, 2).astype(float)
    allowed = allowed & ~_only_checks(volumes[1], volumes[0])[None]
    only, named = _certain(volumes, allowed), (known > 0) & allowed
    certain = only | named
    # A caller with traces through here calls no other traced target. Of targets without spans, traces say nothing.
    untraced, unnamed = ~np.any(named, axis=0, keepdims=True), ~np.any(named, axis=1, keepdims=True)
    beside = allowed & (unnamed | untraced)
    allowed = certain | (beside & ~np.any(only, axis=1, keepdims=True))
    settled = (allowed == certain).all(axis=1)
    confidence = np.where(certain, 1.0, 0.0)
    if not settled.all():
        confidence = np.where(certain, 1.0, _estimated(volumes, allowed, records))
    possible = allowed & (confidence >= POSSIBLE_FROM)
    shares = shares_of(*volumes, possible)
    return Pairs(shares, np.where(certain, 1.0, np.minimum(confidence, _SUREST)), possible & ~certain)


def _estimated(volumes: tuple[np.ndarray, np.ndarray], allowed: np.ndarray, records: Records | None) -> np.ndarray:
    """Return the confidence of pairs that nothing else decides, float64[A, B]."""
    if records is None:
        return confidences([whole(*volumes)], allowed)
    matched = allowed & (records.matched > 0)
    explained = matched.any(axis=1) & (records.shares >= _EXPLAINED)
    left = np.where(explained[:, None], matched, allowed)
    covered = all(any(end[at] for end in ends) for ends in _wholes(records, left) for at in range(len(ends[0])))
    series = [*records.series] if covered and records.series else [*records.series, whole(*volumes)]
    estimated = confidences(series, left & ~explained[:, None])
    return np.asarray(np.where(matched, np.maximum(estimated, _MATCHED), estimated))


def _wholes(records: Records, left: np.ndarray) -> list[list[np.ndarray]]:
    """Return who has complete series in which steps. Whoever needs no estimate counts as complete."""
    callers = [each.callers | ~left.any(axis=1) for each in records.series]
    targets = [each.targets | ~left.any(axis=0) for each in records.series]
    return [callers, targets] if records.series else []


def _certain(volumes: tuple[np.ndarray, np.ndarray], allowed: np.ndarray) -> np.ndarray:
    """Return the pairs that are the only possible ones, bool[A, B]."""
    only_target = (allowed.sum(axis=1) == 1)[:, None] & allowed
    if only_target.any():
        bytes_in, bytes_out = (volume[1:].sum(axis=(0, 2)) for volume in volumes)
        to_target = np.where(only_target, bytes_in[:, None], 0).sum(axis=0)
        only_target &= (bytes_out >= _FORWARDED * to_target)[None]
    one_caller = np.count_nonzero(allowed.any(axis=1)) == 1
    return np.asarray(allowed if one_caller else only_target)


def _only_checks(outbound: np.ndarray, inbound: np.ndarray) -> np.ndarray:
    """Return the targets that get only the intermediary's own regular health checks, bool[B].

    Checks come at a constant rate with equal bytes, whether anybody calls or not; their counts vary less than
    those of independent calls could. Where callers are as regular, regularity says nothing.
    """
    regular, callers = _regular(outbound), _regular(inbound)
    if callers.any() or regular.all():
        return np.zeros(outbound.shape[1], np.bool_)
    return regular


def _regular(volumes: np.ndarray) -> np.ndarray:
    """Return whose connections come at regular times, each with the same bytes; bool[N]."""
    counts, sizes = volumes[0], volumes[1] + volumes[2]
    found = np.zeros(len(counts), np.bool_)
    for at in range(len(counts)):
        active = np.flatnonzero(counts[at])
        if len(active) < _CHECKS_FEWEST:
            continue
        within = slice(active[0] + 1, active[-1])  # the first and the last bucket are not whole
        own = counts[at, within]
        each = sizes[at, within] / np.maximum(own, 1)
        even = own.min() > 0 and own.var() <= _CHECKS_DISPERSION * own.mean()
        found[at] = bool(even and each.std() <= 0.02 * each.mean())
    return found
