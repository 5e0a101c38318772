"""Follow the series of one layer through the buckets: which appeared, returned, or were silent for too long. Compiled.

Invariant: the state after a bucket depends only on the evidence up to it, not on how it was split into calls. A bucket
in which the layer saw nothing, or far less than usual, is no evidence of silence.
"""

from __future__ import annotations

import numpy as np

from chronotope.server.detection.history import CAUTION, begin_anew, begin_history, count_bucket, pass_hours, set_due
from chronotope.server.detection.series import (
    BUCKETS_A_DAY,
    BUCKETS_AN_HOUR,
    HOURS,
    TRANSITION,
    LayerState,
    Record,
    Rules,
    compiled,
    entry,
)
from chronotope.server.detection.short_history import (
    SMALL,
    begin_run,
    count_early,
    count_trusted,
    early_left,
    has_stopped,
    is_reported,
    is_trusted,
    may_have_stopped,
    moments_of_ends,
    note_ends,
    note_reported,
    silence_left,
    trust,
    was_before,
)
from chronotope.server.detection.silence import chances, rate, surprise, wanted

# Version of the state, and of the code that is compiled into this file. Raise it with any change of history.py,
# silence.py, series.py or short_history.py: the cache of compiled code looks at this file alone, and a state
# that other rules made is discarded.
VERSION = 12
APPEARED, RESUMED, RETURNED, GONE = 0, 1, 2, 3
OUT_BUCKETS = 60  # ten minutes without anything: the layer is out

_USUAL, _SHARE = 20.0, 0.3  # of so many series usually in a bucket, less than this share are an outage too
_SHARE_AGAIN = 0.5  # ends it
_HOLE = 30  # buckets without anything: activity in them was not seen
_GLIMPSE, _APART = 60.0, 360  # ticks, ten minutes; buckets, an hour
_AGAIN = 6.0  # buckets until something is looked at again


def advance(
    state: LayerState, bucket: np.ndarray, edge: np.ndarray, count: np.ndarray, width: int, rules: Rules
) -> np.ndarray:
    """Read N rows of evidence in order of bucket and edge, all later than before; return the transitions,
    TRANSITION[T].

    Args:
        state: has a series for each edge; it is changed.
        bucket: int64[N], Unix time / 10 s; of rows that cover several buckets the first. Rows of one edge and bucket
            add up.
        edge: int32[N] indices of edges.
        count: float64[N], positive.
        width: buckets that a row covers.
    """
    if not len(bucket):
        return np.zeros(0, TRANSITION)
    series = state.series_of[edge]
    once = np.flatnonzero(np.concatenate([[True], (bucket[1:] != bucket[:-1]) | (series[1:] != series[:-1])]))
    bucket, series, count = bucket[once], series[once], np.add.reduceat(count, once)
    begins = np.flatnonzero(np.concatenate([[True], bucket[1:] != bucket[:-1]]))
    transitions = np.zeros(2 * len(bucket) + len(state.series), TRANSITION)
    bounds = np.append(begins, len(bucket))
    found = _advance(state, bucket[begins], bounds, series, count, width, rules.array(), transitions)
    return transitions[:found].copy()


@entry
def _advance(
    state: LayerState, buckets: np.ndarray, bounds: np.ndarray, series: np.ndarray, count: np.ndarray, width: int,
    rules: np.ndarray, transitions: np.ndarray,
) -> int:  # fmt: skip
    head, found = state.head[0], 0
    for at in range(len(buckets)):
        bucket = buckets[at]
        active = float(bounds[at + 1] - bounds[at])
        begin = begin_of(head, bucket)
        ticks = float(width) if _is_covered(head, bucket, active, width) else 0.0
        if ticks == 0 or (head["begin"] >= 0 and bucket - head["last"] > _HOLE * width):
            head["hole"] = bucket
            begin_anew(state, bucket, rules)
        pass_hours(state, bucket, rules)
        head["begin"] = begin
        if bucket - head["last"] > OUT_BUCKETS:
            head["back"] = bucket
        head["last"] = bucket
        hour = (bucket // BUCKETS_AN_HOUR) % HOURS
        for row in range(bounds[at], bounds[at + 1]):
            kind = _take(state, series[row], bucket, count[row], ticks, width, rules)
            if kind >= 0:
                own = transitions[found]
                own["at"], own["kind"], own["series"] = bucket + width, kind, series[row]
                own["last"], own["begin"] = bucket, head["begin"]
                found += 1
        head["clock"] += ticks
        head["ticks"][hour] += ticks
        head["series"][hour] += active if ticks > 0 else 0.0
        if head["clock"] >= head["next_due"]:
            found = _report_silences(state, bucket, width, rules, transitions, found)
    return found


@entry
def begin_of(head: Record, bucket: int) -> int:
    """Return when a layer began that has evidence of a bucket now.

    A few minutes of evidence, followed by an hour or more without any, are no history: a sender's clock was wrong, or
    somebody made a test. They must not make everything that comes later new.
    """
    glimpsed = head["clock"] < _GLIMPSE and bucket - head["last"] > _APART
    return int(bucket if head["begin"] < 0 or glimpsed else head["begin"])


@compiled
def _is_covered(head: Record, bucket: int, active: float, width: int) -> bool:
    """Whether the layer saw about as much as usual. The usual follows growth within an hour and loss within a day.

    Within a minute after a bucket that was not covered, chance alone may lift the rest above the share.
    """
    if head["width"] != width or head["usual"] == 0:
        head["width"], head["usual"] = width, active
    share = _SHARE_AGAIN if bucket - head["hole"] <= _AGAIN * width else _SHARE
    covered = head["usual"] < _USUAL or active >= share * head["usual"]
    pace = BUCKETS_AN_HOUR if covered else BUCKETS_A_DAY
    head["usual"] += (active - head["usual"]) * min(width / pace, 1.0)
    return bool(covered)


@compiled
def _take(state: LayerState, own: int, bucket: int, count: float, ticks: float, width: int, rules: np.ndarray) -> int:
    """Add a row of evidence to a series; return the kind of transition, -1 for none."""
    head, series, kind = state.head[0], state.series[own], -1
    if series["state"] == 0 or bucket - series["last"] > rules[1]:
        kind = APPEARED
        begin_history(state, own, bucket, count, max(ticks, 1.0))
    else:
        if series["state"] == 2:
            kind = RETURNED
        elif series["last"] < head["back"]:
            kind = RESUMED
        if ticks > 0:
            count_bucket(state, own, bucket, count, ticks)
        if series["ended"] == 1 or series["state"] == 2:
            begin_run(head, series, bucket, rules[2])
    now = head["clock"] + ticks
    series["state"], series["last"] = 1, bucket + width - 1
    series["missed"], series["mark"], series["since"], series["quiet"] = 0.0, now, now, now
    set_due(state, own, (bucket // BUCKETS_AN_HOUR) % HOURS, rules)
    return kind


@compiled
def _report_silences(
    state: LayerState, bucket: int, width: int, rules: np.ndarray, transitions: np.ndarray, found: int
) -> int:
    """Report the series whose silence has become improbable."""
    head, hour = state.head[0], (bucket // BUCKETS_AN_HOUR) % HOURS
    ended = note_ends(head, state.series, state.tops, rules[2])
    # All silences of one bucket are judged by what was known before it, so the order of series does not matter.
    trusting, early = trust(head, ended, bucket, rules[2]), early_left(head)
    moments = moments_of_ends(head, state.series, bucket, rules[2])
    reported = np.zeros((2, 3), np.int64)
    head["next_due"] = np.inf
    for own in range(len(state.series)):
        series = state.series[own]
        if series["state"] != 1:
            continue
        if series["due"] <= head["clock"]:
            pace = rate(series, state.counts[own], state.exposure[own], head["shape"], hour)
            missed = series["missed"] + pace * max(head["clock"] - series["mark"], 0.0)
            wait = _wait(state, own, bucket, missed, rules, trusting, early, moments, reported)
            if wait == 0:
                series["state"] = 2
                silent = head["clock"] - series["since"]
                new = transitions[found]
                new["at"], new["kind"], new["series"], new["last"] = bucket + width, GONE, own, series["last"]
                new["chance"] = chances(series, state.tops[own], surprise(series, missed), silent)
                found += 1
                continue
            series["due"] = head["clock"] + wait
        head["next_due"] = min(head["next_due"], series["due"])
    count_trusted(head, reported[0])
    count_early(head, reported[1])
    return found


@compiled
def _wait(
    state: LayerState, own: int, bucket: int, missed: float, rules: np.ndarray, trusting: int, early: int,
    moments: np.ndarray, reported: np.ndarray,
) -> float:  # fmt: skip
    """Return how many more buckets an improbable silence must last before it is reported; 0: report it now."""
    head, series = state.head[0], state.series[own]
    if is_reported(head, series, bucket, rules[2]):
        return 0.0
    if is_trusted(head, series, trusting):
        if head["known"] > SMALL or not was_before(head, series):
            note_reported(reported[0], series["last"])
        return 0.0
    left = max(silence_left(head, series, bucket, rules[2]), 1.0)
    if early <= 0 or not may_have_stopped(head, series, state.tops[own], bucket, moments):
        return left
    needed, _, _ = wanted(series, state.tops[own], rules[0] / CAUTION)
    if not has_stopped(head, series, missed, needed):
        return min(left, _AGAIN)
    note_reported(reported[1], series["last"])
    series["ended"] = 2
    return 0.0
