"""Flattened ranges of ownership: for each key, which service owned it from when to when.

Invariant: the segments of a key do not overlap, and cover all time from its first range on. A segment is `AMBIGUOUS`
where two services claim it, and `NOBODY` where none does. Two claims of the same service are one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NOBODY, AMBIGUOUS = -1, -2


@dataclass(frozen=True, slots=True)
class Segments:
    """S segments by (key, start). Each lasts until the next one; an instant is a rank among `bounds`."""

    bounds: np.ndarray  # int64[B], rising: every instant at which any ownership begins or ends, in ms
    position: np.ndarray  # int64[S], rising: key · (B + 1) + rank of the start
    owner: np.ndarray  # int32[S]: service, NOBODY or AMBIGUOUS

    def rank(self, times_ms: np.ndarray) -> np.ndarray:
        """Return the ranks of instants, int64[N]: how many bounds are not later."""
        return np.searchsorted(self.bounds, times_ms, side="right")

    def owner_at(self, keys: np.ndarray, ranks: np.ndarray) -> np.ndarray:
        """Return who owned each key at each instant, int32[N]."""
        if not len(self.position):
            return np.full(len(keys), NOBODY, np.int32)
        stride = len(self.bounds) + 1
        at = np.searchsorted(self.position, keys * stride + ranks, side="right") - 1
        same_key = (at >= 0) & (self.position[at] >= keys * stride)
        return np.where(same_key, self.owner[at], NOBODY).astype(np.int32)


def flatten(keys: np.ndarray, services: np.ndarray, from_ms: np.ndarray, to_ms: np.ndarray) -> Segments:
    """Turn N claims, in any order, into segments.

    Args:
        keys: int64[N], dense codes of what is owned.
        services: int64[N], dense codes of owners.
        from_ms, to_ms: int64[N]; a claim holds for from <= t < to, an empty one is no claim.
    """
    real = to_ms > from_ms
    keys, services, from_ms, to_ms = keys[real], services[real], from_ms[real], to_ms[real]
    bounds = np.unique(np.concatenate([from_ms, to_ms]))
    stride = len(bounds) + 1
    begin = np.searchsorted(bounds, from_ms, side="right")
    end = np.searchsorted(bounds, to_ms, side="right")
    keys, services, begin, end = _merged(keys, services, begin, end, stride)
    # Each claim is +1 at its begin and -1 at its end. Where the running count of a key is 1, the
    # running sum of its services is the one that owns it.
    position = np.concatenate([keys * stride + begin, keys * stride + end])
    order = np.argsort(position, kind="stable")
    one = np.concatenate([np.ones(len(keys), np.int64), np.full(len(keys), -1, np.int64)])[order]
    position, service = position[order], np.concatenate([services, services])[order] * one
    last = np.append(position[1:] != position[:-1], True)[: len(position)]
    claims, owner = np.cumsum(one)[last], np.cumsum(service)[last]
    owner = np.where(claims == 1, owner, np.where(claims == 0, NOBODY, AMBIGUOUS))
    return Segments(bounds, position[last], owner.astype(np.int32))


def _merged(
    keys: np.ndarray, services: np.ndarray, begin: np.ndarray, end: np.ndarray, stride: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Join the claims of one service on one key that overlap or touch."""
    if not len(keys):
        return keys, services, begin, end
    order = np.lexsort((begin, services, keys))
    keys, services, begin, end = keys[order], services[order], begin[order], end[order]
    group = np.cumsum(np.append(False, (keys[1:] != keys[:-1]) | (services[1:] != services[:-1])))
    # With the group in the high digits, the running maximum starts again in each group.
    reach = np.maximum.accumulate(group * stride + end)
    starts = np.append(True, (group * stride + begin)[1:] > reach[:-1])
    first = np.flatnonzero(starts)
    final = np.append(first[1:], len(keys)) - 1
    return keys[first], services[first], begin[first], reach[final] - group[final] * stride
