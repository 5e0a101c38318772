"""One layer's strands as buckets go by: who appeared, returned, fell silent for too long. Compiled.

Invariant: the state after a bucket depends on the evidence up to it alone, not on how it was cut into calls. A bucket
in which the layer saw nothing, or far less than usual, is no evidence of silence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from chronotope.server.events.silence import (
    BUCKETS_A_DAY,
    BUCKETS_AN_HOUR,
    HOURS,
    STRAND,
    TOPS,
    Record,
    chances,
    compiled,
    fade_recent,
    forget,
    missed_for,
    rate,
    remember,
    surprise,
    wanted,
)
from chronotope.server.events.young import (
    LONGER,
    OCTAVES,
    begin_run,
    is_told,
    is_trusting,
    note_ends,
    silence_left,
)

# Of the state and of what is compiled into this file: raise it with a change of silence.py or young.py too. The cache
# of compiled code looks at this file alone, and a state that other rules made is no state.
VERSION = 8
KEPT_HOURS = 24 * 40  # how long a silence is still divided by hours
APPEARED, RESUMED, RETURNED, GONE = 0, 1, 2, 3
OUT_BUCKETS = 60  # ten minutes without anything: the layer is out

_USUAL, _SHARE = 20.0, 0.3  # of so many strands usually in a bucket, less than this share are an outage too
_HOLE = 30  # buckets without anything: what was done in them was not seen
_GLIMPSE, _APART = 60.0, 360  # ticks, ten minutes; buckets, an hour
_SHORTEST = 3  # ticks of silence
_CAUTION = 2.0  # what is not known exactly (rhythm, tail) must not break the promise
_SHAPE_TICKS = 360.0  # how many ticks of an even day the layer's shape begins with

HEAD = np.dtype(
    [
        ("begin", np.int64),  # first bucket
        ("last", np.int64),  # last bucket with any evidence
        ("back", np.int64),  # when the layer last came back after being out
        ("hole", np.int64),  # the last bucket that was not covered, or came after a hole
        ("hour", np.int64),  # since the epoch
        ("clock", np.float64),
        ("usual", np.float64),  # strands in a bucket
        ("width", np.int64),
        ("next_due", np.float64),
        ("ticks", np.float64, (HOURS,)),
        ("strands", np.float64, (HOURS,)),  # that spoke, by hour of the day
        ("shape", np.float64, (HOURS,)),
        ("trusted", np.int64),  # young strands that were told on trust
        ("ended", np.int64, (OCTAVES,)),  # when a run of a young strand first ended, by log2 of its length; 0 never
        ("starts", np.float64, (KEPT_HOURS,)),  # clock when an hour began
    ]
)
TURN = np.dtype(
    [
        ("at", np.int64),
        ("kind", np.int8),
        ("strand", np.int32),
        ("last", np.int64),
        ("chance", np.float64),
        ("begin", np.int64),  # of the layer, as it was known then
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What detection is told; see the configuration's `events`. In buckets."""

    false_a_day: float = 1e-4
    look_back: int = 30 * BUCKETS_A_DAY
    baseline: int = 6
    young: int = BUCKETS_A_DAY  # a strand whose history is shorter may be daily
    half_life_days: float = 14.0

    def array(self) -> np.ndarray:
        """Return the numbers as compiled code reads them."""
        return np.array([self.false_a_day, self.look_back, self.young, 0.5 ** (1 / self.half_life_days)])


class LayerState(NamedTuple):
    """Strands of a layer: S records, and by strand counts and ticks by hour of the day, float32[S, 24], the largest
    surprises and ticks of silences that ended, float32[S, 2, TOPS], and the days they ended on, modulo 256.
    """

    head: np.ndarray
    strands: np.ndarray
    counts: np.ndarray
    exposure: np.ndarray
    tops: np.ndarray
    top_days: np.ndarray
    strand_of: np.ndarray  # edge → strand, -1 none

    def copy(self) -> LayerState:
        """Return a state that goes its own way."""
        return LayerState(*(part.copy() for part in self))


def new_layer() -> LayerState:
    """Return the state of a layer that nothing is known of."""
    head = np.zeros(1, HEAD)
    head["begin"] = -1
    head["shape"] = 1.0
    return LayerState(head, *_rows(0), np.zeros(0, np.int32))


def with_strands(state: LayerState, edges: np.ndarray, count: int) -> LayerState:
    """Return the state with a strand for each of some edges; `count` edges are known."""
    unknown = np.full(max(count - len(state.strand_of), 0), -1, np.int32)
    strand_of = np.concatenate([state.strand_of, unknown]) if len(unknown) else state.strand_of
    fresh = np.unique(edges[strand_of[edges] < 0])
    if not len(fresh):
        return state._replace(strand_of=strand_of)
    strand_of[fresh] = len(state.strands) + np.arange(len(fresh), dtype=np.int32)
    more = _rows(len(fresh))
    more[0]["edge"] = fresh
    strands, counts, exposure, tops, top_days = map(np.concatenate, zip(state[1:-1], more, strict=True))
    return LayerState(state.head, strands, counts, exposure, tops, top_days, strand_of)


def _rows(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """What a layer keeps by strand, of so many new ones."""
    by_hour, tops = (count, HOURS), (count, 2, TOPS)
    strands, counts, exposure = np.zeros(count, STRAND), np.zeros(by_hour, np.float32), np.zeros(by_hour, np.float32)
    return strands, counts, exposure, np.zeros(tops, np.float32), np.zeros(tops, np.uint8)


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


@compiled
def _advance(
    state: LayerState, buckets: np.ndarray, bounds: np.ndarray, strand: np.ndarray, count: np.ndarray, width: int,
    rules: np.ndarray, turns: np.ndarray,
) -> int:  # fmt: skip
    head, found = state.head[0], 0
    for at in range(len(buckets)):
        bucket = buckets[at]
        spoke = float(bounds[at + 1] - bounds[at])
        begin = begin_of(head, bucket)
        ticks = float(width) if _is_covered(head, spoke, width) else 0.0
        if ticks == 0 or (head["begin"] >= 0 and bucket - head["last"] > _HOLE * width):
            head["hole"] = bucket
            _begin_anew(state, bucket, rules)
        _turn_hours(state, bucket, rules)
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


@compiled
def begin_of(head: Record, bucket: int) -> int:
    """Return when a layer began that has evidence of a bucket now.

    Some minutes of evidence with an hour or more after them are no history: a sender's clock was wrong, or somebody
    tried something. They do not make all that comes later new.
    """
    glimpsed = head["clock"] < _GLIMPSE and bucket - head["last"] > _APART
    return int(bucket if head["begin"] < 0 or glimpsed else head["begin"])


@compiled
def _is_covered(head: Record, spoke: float, width: int) -> bool:
    """Whether the layer saw about what it usually sees; what is usual follows within an hour, a loss within a day."""
    if head["width"] != width or head["usual"] == 0:
        head["width"], head["usual"] = width, spoke
    covered = head["usual"] < _USUAL or spoke >= _SHARE * head["usual"]
    pace = BUCKETS_AN_HOUR if covered else BUCKETS_A_DAY
    head["usual"] += (spoke - head["usual"]) * min(width / pace, 1.0)
    return bool(covered)


@compiled
def _turn_hours(state: LayerState, bucket: int, rules: np.ndarray) -> None:
    """When an hour has passed: add up what silent strands missed in it, and look at the new hour's rates."""
    head, hour = state.head[0], bucket // BUCKETS_AN_HOUR
    if head["begin"] < 0:
        head["begin"] = head["last"] = head["back"] = bucket
        head["hour"], head["starts"][hour % KEPT_HOURS] = hour, head["clock"]
    passed = hour - head["hour"]
    if passed <= 0:
        return
    _miss(state)
    for later in range(max(1, passed - KEPT_HOURS), passed + 1):
        head["starts"][(head["hour"] + later) % KEPT_HOURS] = head["clock"]
    days = hour // HOURS - head["hour"] // HOURS
    head["hour"] = hour
    if days > 0:
        _fade(state, rules[3] ** days, hour // HOURS)
    _reshape(head)
    head["next_due"] = np.inf
    for own in range(len(state.strands)):
        if state.strands[own]["state"] == 1:
            _set_due(state, own, hour % HOURS, rules)


@compiled
def _begin_anew(state: LayerState, bucket: int, rules: np.ndarray) -> None:
    """After a hole in what the layer saw, the silence of edges that are silent for hours begins anew.

    They may have spoken in the hole: a nightly job's whole run may be in it. For the rest of the hour nothing is missed
    either: what is done in an hour may be done in that part of it that was not seen.
    """
    head, hour = state.head[0], bucket // BUCKETS_AN_HOUR
    until = head["clock"] + BUCKETS_AN_HOUR - bucket % BUCKETS_AN_HOUR
    for own in range(len(state.strands)):
        strand = state.strands[own]
        if strand["state"] == 1 and state.tops[own, 1, 0] >= BUCKETS_AN_HOUR:
            strand["since"], strand["mark"], strand["missed"] = head["clock"], until, 0.0
            _set_due(state, own, hour % HOURS, rules)


@compiled
def _miss(state: LayerState) -> None:
    """Add up what silent strands missed in the hour that ends."""
    head = state.head[0]
    for own in range(len(state.strands)):
        strand = state.strands[own]
        if strand["state"] > 0 and head["clock"] > strand["mark"]:
            pace = rate(strand, state.counts[own], state.exposure[own], head["shape"], head["hour"] % HOURS)
            strand["missed"] += pace * (head["clock"] - strand["mark"])
            strand["mark"] = head["clock"]


@compiled
def _fade(state: LayerState, factor: float, today: int) -> None:
    """Let a day's worth of what was counted fade, and forget silences of long ago."""
    for own in range(len(state.strands)):
        strand = state.strands[own]
        strand["events"] *= factor
        strand["seen"] *= factor
        strand["spoken"] *= factor
        strand["square"] *= factor
        forget(strand, state.tops[own], state.top_days[own], today)
    state.counts[:] *= np.float32(factor)
    state.exposure[:] *= np.float32(factor)
    head = state.head[0]
    for hour in range(HOURS):
        head["ticks"][hour] *= factor
        head["strands"][hour] *= factor


@compiled
def _reshape(head: Record) -> None:
    mean = (head["strands"].sum() + 1.0) / (head["ticks"].sum() + 1.0)
    for hour in range(HOURS):
        own = (head["strands"][hour] + mean * _SHAPE_TICKS) / (head["ticks"][hour] + _SHAPE_TICKS)
        head["shape"][hour] = own / mean


@compiled
def _set_due(state: LayerState, own: int, hour: int, rules: np.ndarray) -> None:
    """See when the present silence of a strand will be improbable, if the hour goes on."""
    head, strand = state.head[0], state.strands[own]
    poisson, tail, ticks = wanted(strand, state.tops[own], rules[0] / _CAUTION)
    pace = rate(strand, state.counts[own], state.exposure[own], head["shape"], hour)
    first = strand["mark"] + max(missed_for(strand, poisson) - strand["missed"], 0.0) / pace
    second = strand["mark"] + max(missed_for(strand, tail) - strand["missed"], 0.0) / pace
    # A silence of few buckets cannot be told from chance, whatever the rate.
    shortest = strand["since"] + max(_SHORTEST, LONGER * state.tops[own, 1, 0])
    strand["due"] = max(first, min(second, strand["since"] + ticks), shortest)
    head["next_due"] = min(head["next_due"], strand["due"])


@compiled
def _speak(state: LayerState, own: int, bucket: int, count: float, ticks: float, width: int, rules: np.ndarray) -> int:
    """A strand has evidence; return what turned by it, -1 for nothing."""
    head, strand, kind = state.head[0], state.strands[own], -1
    if strand["state"] == 0 or bucket - strand["last"] > rules[1]:
        kind = APPEARED
        _begin(state, own, bucket, count, max(ticks, 1.0))
    else:
        if strand["state"] == 2:
            kind = RETURNED
        elif strand["last"] < head["back"]:
            kind = RESUMED
        if ticks > 0:
            _count(state, own, bucket, count, ticks)
        if strand["ended"] == 1 or strand["state"] == 2:
            begin_run(head, strand, bucket, rules[2])
    now = head["clock"] + ticks
    strand["state"], strand["last"] = 1, bucket + width - 1
    strand["missed"], strand["mark"], strand["since"], strand["quiet"] = 0.0, now, now, now
    _set_due(state, own, (bucket // BUCKETS_AN_HOUR) % HOURS, rules)
    return kind


@compiled
def _begin(state: LayerState, own: int, bucket: int, count: float, ticks: float) -> None:
    """Begin a strand's history, with nothing of what was before."""
    strand, hour = state.strands[own], (bucket // BUCKETS_AN_HOUR) % HOURS
    state.counts[own] = 0
    state.exposure[own] = 0
    state.tops[own] = 0
    state.counts[own, hour], state.exposure[own, hour] = count, ticks
    strand["first"], strand["events"], strand["seen"] = bucket, count, ticks
    strand["run"], strand["ended"] = bucket, 0
    strand["spoken"], strand["square"], strand["silences"] = min(count, ticks), 0.0, 0
    strand["lately"] = strand["lately_expected"] = count


@compiled
def _count(state: LayerState, own: int, bucket: int, count: float, ticks: float) -> None:
    """Add a bucket with evidence, and the silence before it, to what is known of a strand."""
    head, strand, hour = state.head[0], state.strands[own], (bucket // BUCKETS_AN_HOUR) % HOURS
    expected = rate(strand, state.counts[own], state.exposure[own], head["shape"], hour)
    missed = strand["missed"] + expected * max(head["clock"] - strand["mark"], 0.0)
    expected *= ticks
    silent = head["clock"] - strand["since"]
    if silent > 0:
        found, day = surprise(strand, missed), bucket // BUCKETS_A_DAY
        # Where the layer was out for a part of it, the silence may have been as long as it looks.
        looks, counted = float(bucket - strand["last"] - 1), head["clock"] - strand["quiet"]
        length = looks if counted > looks / 2 else counted
        remember(strand, state.tops[own], state.top_days[own], found, length, day)
    lived = strand["state"] == 1
    strand["square"] += ticks * (count - expected) ** 2 / expected + (missed if lived else 0.0)
    fade_recent(strand, count, expected + (missed if lived else 0.0))
    before = strand["events"] / strand["seen"]
    strand["events"] += count
    strand["spoken"] += min(count, ticks)
    state.counts[own, hour] += count
    if lived:
        strand["seen"] += silent + ticks
        _expose(head, state.exposure[own], strand, bucket // BUCKETS_AN_HOUR, ticks)
    else:
        strand["seen"] += ticks
        state.exposure[own, hour] += ticks
    # What was expected lately is said by what is now known of the mean: of a young strand that changes much.
    strand["lately_expected"] *= strand["events"] / strand["seen"] / before


@compiled
def _expose(head: Record, exposure: np.ndarray, strand: Record, last: int, ticks: float) -> None:
    """Divide the ticks since a strand last spoke by hours of the day."""
    first = strand["last"] // BUCKETS_AN_HOUR
    for hour in range(max(first, last - KEPT_HOURS + 1), last + 1):
        start = max(head["starts"][hour % KEPT_HOURS], strand["since"])
        end = head["clock"] + ticks if hour == last else head["starts"][(hour + 1) % KEPT_HOURS]
        exposure[hour % HOURS] += max(end - start, 0.0)


@compiled
def _fall_silent(state: LayerState, bucket: int, width: int, rules: np.ndarray, turns: np.ndarray, found: int) -> int:
    """Tell the strands whose silence has become improbable."""
    head, hour = state.head[0], (bucket // BUCKETS_AN_HOUR) % HOURS
    note_ends(head, state.strands, rules[2])
    # What is told in one bucket is judged by what was known before: the order of strands says nothing.
    trusting = is_trusting(head, len(state.strands), bucket, rules[2])
    head["next_due"] = np.inf
    for own in range(len(state.strands)):
        strand = state.strands[own]
        if strand["state"] != 1:
            continue
        if strand["due"] <= head["clock"] and not is_told(head, strand, bucket, rules[2]):
            if trusting:
                head["trusted"] += 1
            else:
                strand["due"] += max(silence_left(head, strand, bucket, rules[2]), 1.0)
        if strand["due"] > head["clock"]:
            head["next_due"] = min(head["next_due"], strand["due"])
            continue
        pace = rate(strand, state.counts[own], state.exposure[own], head["shape"], hour)
        found_by = surprise(strand, strand["missed"] + pace * max(head["clock"] - strand["mark"], 0.0))
        strand["state"] = 2
        turns[found]["at"], turns[found]["kind"], turns[found]["strand"] = bucket + width, GONE, own
        turns[found]["last"] = strand["last"]
        turns[found]["chance"] = chances(strand, state.tops[own], found_by, head["clock"] - strand["since"])
        found += 1
    return found
