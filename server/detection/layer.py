"""One layer's strands as buckets go by: who appeared, returned, fell silent for too long. Compiled.

Invariant: the state after a bucket depends on the evidence up to it alone, not on how it was cut into calls. A bucket
in which the layer saw nothing, or far less than usual, is no evidence of silence.
"""

from __future__ import annotations

import numpy as np

from chronotope.server.detection.history import CAUTION, begin_history, count_bucket, set_due
from chronotope.server.detection.hours import begin_anew, turn_hours
from chronotope.server.detection.series import (
    BUCKETS_A_DAY,
    BUCKETS_AN_HOUR,
    HOURS,
    TURN,
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
    is_told,
    is_trusted,
    may_have_stopped,
    moments_of_ends,
    note_ends,
    note_told,
    silence_left,
    trust,
    was_before,
)
from chronotope.server.detection.silence import chances, rate, surprise, wanted

# Of the state and of what is compiled into this file: raise it with any change of history.py, hours.py, silence.py,
# strands.py or young.py. The cache of compiled code looks at this file alone, and a state that other rules made is no
# state.
VERSION = 11
APPEARED, RESUMED, RETURNED, GONE = 0, 1, 2, 3
OUT_BUCKETS = 60  # ten minutes without anything: the layer is out

_USUAL, _SHARE = 20.0, 0.3  # of so many strands usually in a bucket, less than this share are an outage too
_SHARE_AGAIN = 0.5  # ends it
_HOLE = 30  # buckets without anything: what was done in them was not seen
_GLIMPSE, _APART = 60.0, 360  # ticks, ten minutes; buckets, an hour
_AGAIN = 6.0  # buckets until something is looked at again


def advance(
    state: LayerState, bucket: np.ndarray, edge: np.ndarray, count: np.ndarray, width: int, rules: Rules
) -> np.ndarray:
    """Take N rows of evidence in order of bucket and edge, all later than before; return what turned, TURN[T].

    Args:
        state: has a strand for each edge; it is changed.
        bucket: int64[N], Unix time / 10 s; of rows that cover several buckets the first. Rows of one edge and bucket
            add up.
        edge: int32[N] indices of edges.
        count: float64[N], positive.
        width: buckets that a row covers.
    """
    if not len(bucket):
        return np.zeros(0, TURN)
    strand = state.strand_of[edge]
    once = np.flatnonzero(np.concatenate([[True], (bucket[1:] != bucket[:-1]) | (strand[1:] != strand[:-1])]))
    bucket, strand, count = bucket[once], strand[once], np.add.reduceat(count, once)
    begins = np.flatnonzero(np.concatenate([[True], bucket[1:] != bucket[:-1]]))
    turns = np.zeros(2 * len(bucket) + len(state.strands), TURN)
    bounds = np.append(begins, len(bucket))
    found = _advance(state, bucket[begins], bounds, strand, count, width, rules.array(), turns)
    return turns[:found].copy()


@entry
def _advance(
    state: LayerState, buckets: np.ndarray, bounds: np.ndarray, strand: np.ndarray, count: np.ndarray, width: int,
    rules: np.ndarray, turns: np.ndarray,
) -> int:  # fmt: skip
    head, found = state.head[0], 0
    for at in range(len(buckets)):
        bucket = buckets[at]
        spoke = float(bounds[at + 1] - bounds[at])
        begin = begin_of(head, bucket)
        ticks = float(width) if _is_covered(head, bucket, spoke, width) else 0.0
        if ticks == 0 or (head["begin"] >= 0 and bucket - head["last"] > _HOLE * width):
            head["hole"] = bucket
            begin_anew(state, bucket, rules)
        turn_hours(state, bucket, rules)
        head["begin"] = begin
        if bucket - head["last"] > OUT_BUCKETS:
            head["back"] = bucket
        head["last"] = bucket
        hour = (bucket // BUCKETS_AN_HOUR) % HOURS
        for row in range(bounds[at], bounds[at + 1]):
            kind = _speak(state, strand[row], bucket, count[row], ticks, width, rules)
            if kind >= 0:
                turns[found]["at"], turns[found]["kind"], turns[found]["strand"] = bucket + width, kind, strand[row]
                turns[found]["last"], turns[found]["begin"] = bucket, head["begin"]
                found += 1
        head["clock"] += ticks
        head["ticks"][hour] += ticks
        head["strands"][hour] += spoke if ticks > 0 else 0.0
        if head["clock"] >= head["next_due"]:
            found = _fall_silent(state, bucket, width, rules, turns, found)
    return found


@entry
def begin_of(head: Record, bucket: int) -> int:
    """Return when a layer began that has evidence of a bucket now.

    Some minutes of evidence with an hour or more after them are no history: a sender's clock was wrong, or somebody
    tried something. They do not make all that comes later new.
    """
    glimpsed = head["clock"] < _GLIMPSE and bucket - head["last"] > _APART
    return int(bucket if head["begin"] < 0 or glimpsed else head["begin"])


@compiled
def _is_covered(head: Record, bucket: int, spoke: float, width: int) -> bool:
    """Whether the layer saw about what it usually sees; what is usual follows within an hour, a loss within a day.

    Within a minute after a bucket that was not covered, chance alone may lift what is left above the share.
    """
    if head["width"] != width or head["usual"] == 0:
        head["width"], head["usual"] = width, spoke
    share = _SHARE_AGAIN if bucket - head["hole"] <= _AGAIN * width else _SHARE
    covered = head["usual"] < _USUAL or spoke >= share * head["usual"]
    pace = BUCKETS_AN_HOUR if covered else BUCKETS_A_DAY
    head["usual"] += (spoke - head["usual"]) * min(width / pace, 1.0)
    return bool(covered)


@compiled
def _speak(state: LayerState, own: int, bucket: int, count: float, ticks: float, width: int, rules: np.ndarray) -> int:
    """A strand has evidence; return what turned by it, -1 for nothing."""
    head, strand, kind = state.head[0], state.strands[own], -1
    if strand["state"] == 0 or bucket - strand["last"] > rules[1]:
        kind = APPEARED
        begin_history(state, own, bucket, count, max(ticks, 1.0))
    else:
        if strand["state"] == 2:
            kind = RETURNED
        elif strand["last"] < head["back"]:
            kind = RESUMED
        if ticks > 0:
            count_bucket(state, own, bucket, count, ticks)
        if strand["ended"] == 1 or strand["state"] == 2:
            begin_run(head, strand, bucket, rules[2])
    now = head["clock"] + ticks
    strand["state"], strand["last"] = 1, bucket + width - 1
    strand["missed"], strand["mark"], strand["since"], strand["quiet"] = 0.0, now, now, now
    set_due(state, own, (bucket // BUCKETS_AN_HOUR) % HOURS, rules)
    return kind


@compiled
def _fall_silent(state: LayerState, bucket: int, width: int, rules: np.ndarray, turns: np.ndarray, found: int) -> int:
    """Tell the strands whose silence has become improbable."""
    head, hour = state.head[0], (bucket // BUCKETS_AN_HOUR) % HOURS
    ended = note_ends(head, state.strands, state.tops, rules[2])
    # What is told in one bucket is judged by what was known before: the order of strands says nothing.
    trusting, early = trust(head, ended, bucket, rules[2]), early_left(head)
    moments = moments_of_ends(head, state.strands, bucket, rules[2])
    told = np.zeros((2, 3), np.int64)
    head["next_due"] = np.inf
    for own in range(len(state.strands)):
        strand = state.strands[own]
        if strand["state"] != 1:
            continue
        if strand["due"] <= head["clock"]:
            pace = rate(strand, state.counts[own], state.exposure[own], head["shape"], hour)
            missed = strand["missed"] + pace * max(head["clock"] - strand["mark"], 0.0)
            wait = _wait(state, own, bucket, missed, rules, trusting, early, moments, told)
            if wait == 0:
                strand["state"] = 2
                turns[found]["at"], turns[found]["kind"], turns[found]["strand"] = bucket + width, GONE, own
                turns[found]["last"] = strand["last"]
                chance = chances(strand, state.tops[own], surprise(strand, missed), head["clock"] - strand["since"])
                turns[found]["chance"] = chance
                found += 1
                continue
            strand["due"] = head["clock"] + wait
        head["next_due"] = min(head["next_due"], strand["due"])
    count_trusted(head, told[0])
    count_early(head, told[1])
    return found


@compiled
def _wait(
    state: LayerState, own: int, bucket: int, missed: float, rules: np.ndarray, trusting: int, early: int,
    moments: np.ndarray, told: np.ndarray,
) -> float:  # fmt: skip
    """Return how many buckets an improbable silence must still last until it is told, 0 to tell it now."""
    head, strand = state.head[0], state.strands[own]
    if is_told(head, strand, bucket, rules[2]):
        return 0.0
    if is_trusted(head, strand, trusting):
        if head["known"] > SMALL or not was_before(head, strand):
            note_told(told[0], strand["last"])
        return 0.0
    left = max(silence_left(head, strand, bucket, rules[2]), 1.0)
    if early <= 0 or not may_have_stopped(head, strand, state.tops[own], bucket, moments):
        return left
    needed, _, _ = wanted(strand, state.tops[own], rules[0] / CAUTION)
    if not has_stopped(head, strand, missed, needed):
        return min(left, _AGAIN)
    note_told(told[1], strand["last"])
    strand["ended"] = 2
    return 0.0
