"""Turn heartbeats into ranges of ownership. A heartbeat claims an address again and again, without an end.

A heartbeat is certain for its own instant only. The time after it
 - belongs to its owner until that owner's next heartbeat, if no other owner had one between, or if the owner's
   heartbeats kept their pace (then both claim the address, and nobody has it);
 - otherwise belongs to its owner by assumption, for the heartbeat's lifetime at most, and at most until another owner's
   heartbeat. If that one came later than the owner's pace explains, heartbeats were lost. Then the owner keeps the
   address for one more interval, but not for the intervals before the other's first heartbeat, in which the other may
   have owned it already. The rest is nobody's.

Invariant: the answer depends on the set of heartbeats, not on their order. An owner whom nobody contests owns every
instant that is within the lifetime of one of its heartbeats.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from heapq import merge
from itertools import chain, pairwise
from math import ceil
from statistics import median_low
from typing import NamedTuple

REGULAR = 1.5  # spacings up to so many heartbeats are of one pace
JITTER = 1.01
MOST_LOST = 2  # heartbeats in a row: where 1 % get lost, three in a row are one in a million
FEW = 3  # gaps that are too few for a pace: one of two may be a loss


class Span(NamedTuple):
    """An owner's address for `begin_ms <= t < end_ms`."""

    owner: str
    begin_ms: int
    end_ms: int


class _Pace(NamedTuple):
    interval_ms: int  # what is usual
    least_ms: int  # of regular gaps
    most_ms: int  # of regular gaps: what still is no loss
    contested_ms: float  # the longest gap between own heartbeats that continues ownership, with others' in between
    longest_ms: float  # a longer gap may have belonged to another owner, all of whose heartbeats were lost


def owned_spans(
    heartbeats: Mapping[str, Sequence[int]], starts: Sequence[tuple[int, str]], lifetime_ms: int
) -> list[Span]:
    """Return the spans of one address, by owner and time.

    Args:
        heartbeats: owner → instants of its heartbeats, rising.
        starts: (begin, owner) of claims that say their whole range, rising: they end what others only assume.
        lifetime_ms: how long a heartbeat is good for when nobody else is heard.
    """
    if len(heartbeats) == 1 and not starts:
        ((owner, times),) = heartbeats.items()
        return _joined([Span(owner, at, at + lifetime_ms) for at in times])
    heard = list(merge(*([(at, owner) for at in times] for owner, times in heartbeats.items())))
    paces = _paces(heartbeats, heard, lifetime_ms)
    spans = []
    for owner, times in heartbeats.items():
        others = [(at, other) for at, other in heard if other != owner]
        begun = [at for at, other in starts if other != owner]
        for number, at in enumerate(times):
            following = times[number + 1] if number + 1 < len(times) else None
            spans.append(Span(owner, at, _end(owner, at, following, heartbeats, others, begun, paces, lifetime_ms)))
    return _joined(spans)


def _end(
    owner: str,
    at: int,
    following: int | None,
    heartbeats: Mapping[str, Sequence[int]],
    others: Sequence[tuple[int, str]],
    begun: Sequence[int],
    paces: Mapping[str, _Pace],
    lifetime_ms: int,
) -> int:
    """Return the end of a heartbeat's range. `begun`: starts of others' claims that have a range."""
    place = bisect_right(others, (at, "\U0010ffff"))
    heard, other = others[place] if place < len(others) else (at + lifetime_ms, owner)
    place = bisect_right(begun, at)
    good_for_ms = lifetime_ms if paces[owner].longest_ms == lifetime_ms else paces[owner].interval_ms
    ended = begun[place] if place < len(begun) else at + lifetime_ms
    limit = min(ended, at + good_for_ms)
    if following is not None and following <= at + lifetime_ms:
        if following <= heard and following - at > _longest(paces[owner], others, at, following, lifetime_ms):
            return at + paces[owner].least_ms
        alone = following <= min(heard, limit)
        if alone or (following - at <= paces[owner].contested_ms and _interleaved(heartbeats, other, at, following)):
            return following
    if min(ended, at + lifetime_ms) <= heard or heard - at <= paces[owner].most_ms * JITTER:
        return min(limit, heard)
    # The other's first heartbeats may be lost, as many as fit between, but hardly more than MOST_LOST in a row.
    lost = min(max(ceil((heard - at) / paces[other].interval_ms - JITTER + 1) - 1, 1), MOST_LOST)
    return max(at, min(at + paces[owner].least_ms, heard - lost * paces[other].most_ms, limit))


def _longest(pace: _Pace, others: Sequence[tuple[int, str]], at: int, following: int, lifetime_ms: int) -> float:
    """Return how long an owner may be silent. It is shorter near others' heartbeats: all of another's may be lost."""
    near = bisect_left(others, (following + lifetime_ms, "")) - bisect_left(others, (at - lifetime_ms, ""))
    return min(pace.longest_ms, MOST_LOST * pace.interval_ms * JITTER) if near else pace.longest_ms


def _paces(
    heartbeats: Mapping[str, Sequence[int]], heard: Sequence[tuple[int, str]], lifetime_ms: int
) -> dict[str, _Pace]:
    """Return each owner's pace: from its heartbeats without others between, else from the changes of owners."""
    alone: dict[str, list[int]] = {}
    changes, all_gaps = [], []
    for (at, owner), (later, other) in pairwise(heard):
        if later - at > lifetime_ms:
            continue
        all_gaps.append(later - at)
        if owner == other:
            alone.setdefault(owner, []).append(later - at)
        else:
            changes.append(later - at)
    change = median_low(changes or [lifetime_ms])
    # Where most owners are heard once, a single loss hides one.
    fleeting = len(changes) > len(all_gaps) // 2 and len(changes) > 1
    longest = REGULAR * change if fleeting else lifetime_ms
    common = list(chain.from_iterable(alone.values()))
    return {
        owner: _pace(
            [gap for gap in alone.get(owner, []) if gap <= longest],
            max(change, 1),
            common,
            longest,
            _contested(times, all_gaps, lifetime_ms),
        )
        for owner, times in heartbeats.items()
    }


def _pace(alone: Sequence[int], change_ms: int, common: Sequence[int], longest_ms: float, contested_ms: float) -> _Pace:
    """`alone`: the owner's gaps with nobody between; `common`: those of all owners, for one that has few."""
    interval = median_low(alone or [change_ms])
    if 0 < len(alone) < FEW:
        interval = min(interval, median_low(common))
    gaps = alone if len(alone) >= FEW else [interval, *common]
    regular = [gap for gap in gaps if interval / REGULAR <= gap <= REGULAR * interval]
    return _Pace(interval, min(regular), max(regular), REGULAR * interval if alone else contested_ms, longest_ms)


def _contested(times: Sequence[int], all_gaps: Sequence[int], lifetime_ms: int) -> float:
    """Return the pace of an owner whose heartbeats always have others between; 0 if they are too far apart."""
    own = [gap for gap in map(int.__sub__, times[1:], times) if gap <= lifetime_ms]
    if len(own) < 2 or not all_gaps:
        return 0
    return REGULAR * min(median_low(own), 2 * median_low(all_gaps))


def _interleaved(heartbeats: Mapping[str, Sequence[int]], other: str, at: int, following: int) -> bool:
    """Whether another owner has heartbeats between two heartbeats and also around them, about as near.

    Once between them is an address that went and came back.
    """
    times, reach = heartbeats[other], following - at
    before = bisect_left(times, at) - bisect_left(times, at - reach)
    after = bisect_right(times, following + reach) - bisect_right(times, following)
    return before + after > 0


def _joined(spans: list[Span]) -> list[Span]:
    """Join spans of one owner that overlap or touch. Spans without length are dropped."""
    joined: list[Span] = []
    for span in sorted(spans):
        if span.end_ms <= span.begin_ms:
            continue
        if joined and joined[-1].owner == span.owner and span.begin_ms <= joined[-1].end_ms:
            joined[-1] = joined[-1]._replace(end_ms=max(joined[-1].end_ms, span.end_ms))
        else:
            joined.append(span)
    return joined
