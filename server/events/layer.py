"""One layer's strands as buckets go by: who appeared, returned, fell silent for too long. Compiled.

Invariant: the state after a bucket depends on the evidence up to it alone, not on how it was cut into calls. A bucket
in which the layer saw nothing, or far less than usual, is no evidence of silence.
"""

from __future__ import annotations

from dataclasses import dataclass, field

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
    missed_for,
    rate,
    remember,
    surprise,
    wanted,
)

KEPT_HOURS = 24 * 40  # how long a silence is still divided by hours
APPEARED, RESUMED, RETURNED, GONE = 0, 1, 2, 3
OUT_BUCKETS = 60  # ten minutes without anything: the layer is out

_USUAL, _SHARE = 20.0, 0.3  # of so many strands usually in a bucket, less than this share are an outage too
_SHORTEST = 3  # ticks of silence
_CAUTION = 4.0  # what is not known exactly (rhythm, tail) must not break the promise
_LONGER = 1.25  # than any that ended
_SHAPE_TICKS = 360.0  # how many ticks of an even day the layer's shape begins with

HEAD = np.dtype(
    [
        ("begin", np.int64),  # first bucket
        ("last", np.int64),  # last bucket with any evidence
        ("back", np.int64),  # when the layer last came back after being out
        ("hour", np.int64),  # since the epoch
        ("clock", np.float64),
        ("usual", np.float64),  # strands in a bucket
        ("width", np.int64),
        ("next_due", np.float64),
        ("ticks", np.float64, (HOURS,)),
        ("strands", np.float64, (HOURS,)),  # that spoke, by hour of the day
        ("shape", np.float64, (HOURS,)),
        ("starts", np.float64, (KEPT_HOURS,)),  # clock when an hour began
    ]
)
TURN = np.dtype([("at", np.int64), ("kind", np.int8), ("strand", np.int32), ("last", np.int64), ("chance", np.float64)])


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


def _new_head() -> np.ndarray:
    head = np.zeros(1, HEAD)
    head["begin"] = -1
    head["shape"] = 1.0
    return head


@dataclass(slots=True)
class LayerState:
    """Strands of a layer: S records, and counts and ticks by hour of the day, float32[S, 24]."""

    head: np.ndarray = field(default_factory=_new_head)
    strands: np.ndarray = field(default_factory=lambda: np.zeros(0, STRAND))
    counts: np.ndarray = field(default_factory=lambda: np.zeros((0, HOURS), np.float32))
    exposure: np.ndarray = field(default_factory=lambda: np.zeros((0, HOURS), np.float32))
    tops: np.ndarray = field(default_factory=lambda: np.zeros((0, 2, TOPS), np.float32))
    strand_of: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int32))  # edge → strand, -1 none

    def copy(self) -> LayerState:
        """Return a state that goes its own way."""
        parts = (self.head, self.strands, self.counts, self.exposure, self.tops, self.strand_of)
        return LayerState(*(part.copy() for part in parts))

    def strands_for(self, edges: np.ndarray, count: int) -> np.ndarray:
        """Return the strand of each edge, int32[N], new ones where there is none; `count` edges are known."""
        if len(self.strand_of) < count:
            self.strand_of = np.concatenate([self.strand_of, np.full(count - len(self.strand_of), -1, np.int32)])
        fresh = np.unique(edges[self.strand_of[edges] < 0])
        if len(fresh):
            self.strand_of[fresh] = len(self.strands) + np.arange(len(fresh), dtype=np.int32)
            more = np.zeros(len(fresh), STRAND)
            more["edge"] = fresh
            self.strands = np.concatenate([self.strands, more])
            none = np.zeros((len(fresh), HOURS), np.float32)
            self.counts, self.exposure = np.concatenate([self.counts, none]), np.concatenate([self.exposure, none])
            self.tops = np.concatenate([self.tops, np.zeros((len(fresh), 2, TOPS), np.float32)])
        found: np.ndarray = self.strand_of[edges]
        return found

    def advance(self, bucket: np.ndarray, edge: np.ndarray, count: np.ndarray, width: int, rules: Rules) -> np.ndarray:
        """Take N rows of evidence in order of bucket and edge, all later than before; return what turned, TURN[T].

        Args:
            bucket: int64[N], Unix time / 10 s; of rows that cover several buckets the first. Rows of one edge and
                bucket add up.
            edge: int32[N] indices of edges known to `strands_for`.
            count: float64[N], positive.
            width: buckets that a row covers.
        """
        if not len(bucket):
            return np.zeros(0, TURN)
        strand = self.strand_of[edge]
        once = np.flatnonzero(np.concatenate([[True], (bucket[1:] != bucket[:-1]) | (strand[1:] != strand[:-1])]))
        bucket, strand, count = bucket[once], strand[once], np.add.reduceat(count, once)
        begins = np.flatnonzero(np.concatenate([[True], bucket[1:] != bucket[:-1]]))
        bounds = np.append(begins, len(bucket))
        turns = np.zeros(2 * len(bucket) + len(self.strands), TURN)
        found = _advance(
            self.head, self.strands, self.counts, self.exposure, self.tops, bucket[begins], bounds, strand, count,
            width, rules.array(), turns,
        )  # fmt: skip
        return turns[:found].copy()


@compiled
def _advance(
    heads: np.ndarray, strands: np.ndarray, counts: np.ndarray, exposure: np.ndarray, tops: np.ndarray,
    buckets: np.ndarray, bounds: np.ndarray, strand: np.ndarray, count: np.ndarray, width: int, rules: np.ndarray,
    turns: np.ndarray,
) -> int:  # fmt: skip
    head, found = heads[0], 0
    for at in range(len(buckets)):
        bucket = buckets[at]
        spoke = float(bounds[at + 1] - bounds[at])
        _turn_hours(head, strands, counts, exposure, tops, bucket, rules)
        if bucket - head["last"] > OUT_BUCKETS:
            head["back"] = bucket
        head["last"] = bucket
        ticks = float(width) if _is_covered(head, spoke, width) else 0.0
        hour = (bucket // BUCKETS_AN_HOUR) % HOURS
        for row in range(bounds[at], bounds[at + 1]):
            kind = _speak(
                head, strands, counts, exposure, tops, strand[row], bucket, hour, count[row], ticks, width, rules
            )
            if kind >= 0:
                turns[found]["at"], turns[found]["kind"], turns[found]["strand"] = bucket + width, kind, strand[row]
                turns[found]["last"] = bucket
                found += 1
        head["clock"] += ticks
        head["ticks"][hour] += ticks
        head["strands"][hour] += spoke if ticks > 0 else 0.0
        if head["clock"] >= head["next_due"]:
            found = _fall_silent(head, strands, counts, exposure, tops, bucket, width, rules, turns, found)
    return found


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
def _turn_hours(
    head: Record,
    strands: np.ndarray,
    counts: np.ndarray,
    exposure: np.ndarray,
    tops: np.ndarray,
    bucket: int,
    rules: np.ndarray,
) -> None:
    """When an hour has passed: add up what silent strands missed in it, and look at the new hour's rates."""
    hour = bucket // BUCKETS_AN_HOUR
    if head["begin"] < 0:
        head["begin"] = head["last"] = head["back"] = bucket
        head["hour"], head["starts"][hour % KEPT_HOURS] = hour, head["clock"]
    passed = hour - head["hour"]
    if passed <= 0:
        return
    before = head["hour"] % HOURS
    for own in range(len(strands)):
        if strands[own]["state"] > 0:
            expected = rate(strands[own], counts[own], exposure[own], head["shape"], before)
            strands[own]["missed"] += expected * max(head["clock"] - strands[own]["mark"], 0.0)
            strands[own]["mark"] = max(head["clock"], strands[own]["mark"])
    for later in range(max(1, passed - KEPT_HOURS), passed + 1):
        head["starts"][(head["hour"] + later) % KEPT_HOURS] = head["clock"]
    days = hour // HOURS - head["hour"] // HOURS
    head["hour"] = hour
    if days > 0:
        _fade(head, strands, counts, exposure, tops, rules[3] ** days)
    _reshape(head)
    head["next_due"] = np.inf
    for own in range(len(strands)):
        if strands[own]["state"] == 1:
            _set_due(head, strands[own], counts[own], exposure[own], tops[own], hour % HOURS, rules)


@compiled
def _fade(
    head: Record, strands: np.ndarray, counts: np.ndarray, exposure: np.ndarray, tops: np.ndarray, factor: float
) -> None:
    for own in range(len(strands)):
        strands[own]["events"] *= factor
        strands[own]["seen"] *= factor
        strands[own]["spoken"] *= factor
        strands[own]["square"] *= factor
    tops *= np.float32(factor)
    counts *= np.float32(factor)
    exposure *= np.float32(factor)
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
def _set_due(
    head: Record,
    strand: Record,
    counts: np.ndarray,
    exposure: np.ndarray,
    tops: np.ndarray,
    hour: int,
    rules: np.ndarray,
) -> None:
    poisson, tail, ticks = wanted(strand, tops, rules[0] / _CAUTION)
    pace = rate(strand, counts, exposure, head["shape"], hour)
    first = strand["mark"] + max(missed_for(strand, poisson) - strand["missed"], 0.0) / pace
    second = strand["mark"] + max(missed_for(strand, tail) - strand["missed"], 0.0) / pace
    # A silence of few buckets cannot be told from chance, whatever the rate.
    shortest = strand["since"] + max(_SHORTEST, _LONGER * tops[1, 0])
    strand["due"] = max(first, min(second, strand["since"] + ticks), shortest)
    head["next_due"] = min(head["next_due"], strand["due"])


@compiled
def _speak(
    head: Record, strands: np.ndarray, counts: np.ndarray, exposure: np.ndarray, tops: np.ndarray,
    own: int, bucket: int, hour: int, count: float, ticks: float, width: int, rules: np.ndarray,
) -> int:  # fmt: skip
    """A strand has evidence; return what turned by it, -1 for nothing."""
    strand, now = strands[own], head["clock"] + ticks
    kind = -1
    if strand["state"] == 0 or bucket - strand["last"] > rules[1]:
        kind = APPEARED
        _begin(strand, counts[own], exposure[own], tops[own], bucket, hour, count, max(ticks, 1.0))
    else:
        if strand["state"] == 2:
            kind = RETURNED
        elif strand["last"] < head["back"]:
            kind = RESUMED
        if ticks > 0:
            _count(head, strand, counts[own], exposure[own], tops[own], bucket, hour, count, ticks)
    strand["state"], strand["last"] = 1, bucket + width - 1
    strand["missed"], strand["mark"], strand["since"] = 0.0, now, now
    _set_due(head, strand, counts[own], exposure[own], tops[own], hour, rules)
    return kind


@compiled
def _begin(
    strand: Record,
    counts: np.ndarray,
    exposure: np.ndarray,
    tops: np.ndarray,
    bucket: int,
    hour: int,
    count: float,
    ticks: float,
) -> None:
    counts[:] = 0
    exposure[:] = 0
    tops[:] = 0
    counts[hour], exposure[hour] = count, ticks
    strand["first"], strand["events"], strand["seen"] = bucket, count, ticks
    strand["spoken"], strand["square"], strand["silences"] = min(count, ticks), 0.0, 0
    strand["lately"] = strand["lately_expected"] = count


@compiled
def _count(
    head: Record, strand: Record, counts: np.ndarray, exposure: np.ndarray, tops: np.ndarray, bucket: int, hour: int,
    count: float, ticks: float,
) -> None:  # fmt: skip
    """Add a bucket with evidence, and the silence before it, to what is known of a strand."""
    expected = rate(strand, counts, exposure, head["shape"], hour)
    missed = strand["missed"] + expected * max(head["clock"] - strand["mark"], 0.0)
    expected *= ticks
    if head["clock"] > strand["since"]:
        remember(strand, tops, surprise(strand, missed), head["clock"] - strand["since"])
    lived = strand["state"] == 1
    strand["square"] += ticks * (count - expected) ** 2 / expected + (missed if lived else 0.0)
    fade_recent(strand, count, expected + (missed if lived else 0.0))
    strand["events"] += count
    strand["spoken"] += min(count, ticks)
    counts[hour] += count
    if lived:
        strand["seen"] += head["clock"] + ticks - strand["since"]
        _expose(head, exposure, strand["last"] // BUCKETS_AN_HOUR, bucket // BUCKETS_AN_HOUR, strand["since"], ticks)
    else:
        strand["seen"] += ticks
        exposure[hour] += ticks


@compiled
def _expose(head: Record, exposure: np.ndarray, first: int, last: int, since: float, ticks: float) -> None:
    """Divide the ticks since `since` by hours of the day."""
    for hour in range(max(first, last - KEPT_HOURS + 1), last + 1):
        start = max(head["starts"][hour % KEPT_HOURS], since)
        end = head["clock"] + ticks if hour == last else head["starts"][(hour + 1) % KEPT_HOURS]
        exposure[hour % HOURS] += max(end - start, 0.0)


@compiled
def _fall_silent(
    head: Record, strands: np.ndarray, counts: np.ndarray, exposure: np.ndarray, tops: np.ndarray,
    bucket: int, width: int, rules: np.ndarray, turns: np.ndarray, found: int,
) -> int:  # fmt: skip
    """Tell the strands whose silence has become improbable."""
    head["next_due"], hour = np.inf, (bucket // BUCKETS_AN_HOUR) % HOURS
    for own in range(len(strands)):
        strand = strands[own]
        if strand["state"] != 1:
            continue
        if strand["due"] > head["clock"] or _may_be_daily(head, strand, bucket, rules[2]):
            head["next_due"] = min(head["next_due"], strand["due"])
            continue
        expected = rate(strand, counts[own], exposure[own], head["shape"], hour)
        missed = strand["missed"] + expected * (head["clock"] - strand["mark"])
        strand["state"] = 2
        turns[found]["at"], turns[found]["kind"], turns[found]["strand"] = bucket + width, GONE, own
        turns[found]["last"] = strand["last"]
        turns[found]["chance"] = chances(strand, tops[own], surprise(strand, missed), head["clock"] - strand["since"])
        found += 1
    return found


@compiled
def _may_be_daily(head: Record, strand: Record, bucket: int, young: float) -> bool:
    """Whether a strand's history is too short to know its day, in a layer that has seen a day."""
    if bucket - head["begin"] < young or strand["last"] - strand["first"] >= young:
        return False
    return bool(bucket - strand["last"] < young)
