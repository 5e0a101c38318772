"""What is told of a strand whose history is shorter than a day. Compiled.

All that such a strand has done may have been the one run of a daily job, and a silence after it the job's day. Nothing
in a run that began while it was watched says which, however regular it was; a rule that is right for every share of
jobs must wait until the day is over: a day, and a quarter, since a job need not be punctual.

What was there before the layer was watched is another case. A job that runs for a part p of the day is caught at work
by the beginning with probability p, and as many runs of a length begin in an hour as end in it. So what was there when
the layer began, went on without a pause for an hour or more and stopped is hardly a job, unless runs of half that
length are seen to begin and end; one such may have been a new edge that ended.

Invariant: what is told before the day is over is bounded, whatever the system does, so that a store's beginning costs
a few false alarms and not one for each job. It is told

- when it was there before: an incident for each fifty strands, and what comes back counts for ten. The silence must
  last for half an hour and be improbable even if the strand had slowed to a quarter. Where such strands end one after
  another for two hours, as at the end of a working day, none is told; what ends together is one moment of this.
- on trust, in a layer's first day: five silences, until one that looked like an end was none, or more than five strands
  look ended. In a layer of at most a hundred strands a person looks at each, and what is taken away minutes after the
  first start must be told: there all that was there before, and besides five incidents.
- by the length of its run: half an hour or more, when no run of a young strand at least half as long (to a power of
  two) had ended a minute before. What ends together is told together; the next must have run for at least twice as
  long, so this is wrong for four incidents at most. An end in a quiet system is told at once.
"""

from __future__ import annotations

import numpy as np

from chronotope.server.detection.series import BUCKETS_AN_HOUR, OCTAVES, Record, compiled
from chronotope.server.detection.silence import surprise

TRUSTED = 5
LONGER = 1.25  # than any silence that ended, than a day
NOBODY, OLD, ALL = 0, 1, 2  # whose silence is told on trust; old: what was there before
SMALL = 100  # strands

_LONG_RUN = 180  # buckets: half an hour
_TOGETHER = 6  # buckets
_INCIDENT = 18  # buckets: ends of three minutes are one
_ARRIVAL = 60  # buckets: collectors start one after another
_GAP = 7.0  # expected buckets with evidence: a Poisson process is silent for so long once in a thousand times
_PAUSE = 3.0  # what the longest of n pauses of a Poisson process is above ln n, at most once in twenty times
_SLOWER = 4.0
_SURE = 180  # buckets of silence: half an hour
_EVENING = 360  # buckets: ends up to an hour before and after are looked at
_MOMENT = 3  # buckets
_ENDS, _ENDS_OF = 20, 1000  # moments of two hours in which strands end in any layer; one more for each so many
_JOBS = 2  # one run that is seen to begin and end may be a new edge
_ONE_IN = 50  # strands an incident
_CAME_BACK = 10


@compiled
def is_young(strand: Record, young: float) -> bool:
    """Return whether a strand's history may be one run of a job that repeats every `young` buckets."""
    return bool(strand["last"] - strand["first"] < young)


@compiled
def was_before(head: Record, strand: Record) -> bool:
    """Return whether a strand spoke as early as one does that was there when the layer began."""
    gap = strand["first"] - head["begin"]
    return bool(gap <= _ARRIVAL or gap * strand["spoken"] <= _GAP * strand["seen"])


@compiled
def is_steady(strand: Record, tops: np.ndarray) -> bool:
    """Return whether a strand had no pause that a process of its rate would hardly have."""
    steady = tops[1, 0] * strand["spoken"] / strand["seen"] <= np.log1p(strand["spoken"]) + _PAUSE
    return bool(steady and strand["run"] == strand["first"])


@compiled
def note_ends(head: Record, strands: np.ndarray, tops: np.ndarray, young: float) -> int:
    """Note the runs of young strands that look ended, when the first of each octave of lengths did; return how many do.

    `ended` is of all that ever looked so; `watched`, the first two, of those that look so now and like a job: they
    began while the layer was watched, and were without a pause.
    """
    head["watched"][:] = 0
    found = 0
    for own in range(len(strands)):
        strand = strands[own]
        overdue = strand["state"] == 1 and strand["due"] <= head["clock"]
        if not (overdue or strand["ended"] > 0) or not is_young(strand, young):
            continue
        found += 1
        octave = _octave(strand)
        if head["ended"][octave] == 0 or strand["last"] < head["ended"][octave]:
            head["ended"][octave] = strand["last"]
        strand["ended"] = max(strand["ended"], 1)
        if is_steady(strand, tops[own]) and not was_before(head, strand):
            _put_earliest(head["watched"][octave], strand["last"])
    return found


@compiled
def _put_earliest(two: np.ndarray, last: int) -> None:
    """Keep the two least of some buckets, 0 for none."""
    if two[0] == 0 or last < two[0]:
        two[0], two[1] = last, two[0]
    elif two[1] == 0 or last < two[1]:
        two[1] = last


@compiled
def begin_run(head: Record, strand: Record, bucket: int, young: float) -> None:
    """A strand speaks again after a silence that looked like an end: trust nothing like it any more."""
    if is_young(strand, young) and head["known"] > SMALL:
        head["trusted"] = max(head["trusted"], TRUSTED)
        head["early"] += _CAME_BACK if strand["ended"] == 2 else 0
    strand["run"], strand["ended"] = bucket, 0


@compiled
def trust(head: Record, ended: int, bucket: int, young: float) -> int:
    """Return whose silence is told on trust, when so many strands look ended."""
    if bucket - head["begin"] >= young:
        return NOBODY
    if head["known"] <= SMALL:
        return ALL if head["trusted"] < TRUSTED else OLD
    return ALL if max(head["trusted"], ended - 1) < TRUSTED else NOBODY


@compiled
def is_trusted(head: Record, strand: Record, trusting: int) -> bool:
    """Return whether a young strand's silence is told on trust."""
    return bool(trusting == ALL or (trusting == OLD and was_before(head, strand)))


@compiled
def count_trusted(head: Record, told: np.ndarray) -> None:
    """Count what was told on trust in one bucket: strands in a large layer, incidents in a small one."""
    if told[0] > 0:
        head["trusted"] += _incidents(told, head["incident"]) if head["known"] <= SMALL else told[0]
        head["incident"] = told[2]


@compiled
def count_early(head: Record, told: np.ndarray) -> None:
    """Count the incidents that were told in one bucket of strands that were there before."""
    if told[0] > 0:
        head["early"] += _incidents(told, head["early_incident"])
        head["early_incident"] = told[2]


@compiled
def note_told(told: np.ndarray, last: int) -> None:
    """Add a strand to those told in one bucket: how many, when the first and the last of them ended."""
    told[1] = last if told[0] == 0 else min(told[1], last)
    told[2] = max(told[2], last)
    told[0] += 1


@compiled
def _incidents(told: np.ndarray, before: int) -> int:
    """Return how many incidents are new in what was told. The order of strands must not matter: only extremes do."""
    known = abs(told[2] - before) <= _INCIDENT
    return int(min(told[0], 1 + (told[2] - told[1]) // _INCIDENT) - (1 if known else 0))


@compiled
def is_told(head: Record, strand: Record, bucket: int, young: float) -> bool:
    """Return whether a silence that is improbable by a strand's own history is told, trust or not."""
    if not is_young(strand, young) or silence_left(head, strand, bucket, young) <= 0:
        return True
    return bool(strand["last"] - strand["run"] + 1 >= _LONG_RUN and _longer(head["ended"], strand) == 0)


@compiled
def moments_of_ends(head: Record, strands: np.ndarray, bucket: int, young: float) -> np.ndarray:
    """Return in how many of the last n moments a strand that was there before ended, int64 by n, of a day."""
    ends = np.zeros(int(young) // _MOMENT + 2, np.int64)
    for own in range(len(strands)):
        strand = strands[own]
        ago = bucket - strand["last"]
        if strand["ended"] > 0 and ago < young and strand["run"] == strand["first"] and was_before(head, strand):
            ends[max(ago, 0) // _MOMENT + 1] = 1
    return np.cumsum(ends)


@compiled
def may_have_stopped(head: Record, strand: Record, tops: np.ndarray, bucket: int, moments: np.ndarray) -> bool:
    """Return whether a young strand was there before, without a pause for an hour, and nothing like it is a run."""
    whole = is_steady(strand, tops) and strand["last"] - strand["first"] >= BUCKETS_AN_HOUR
    ago, most = bucket - strand["last"], len(moments) - 1
    since, until = max(ago - _EVENING, 0) // _MOMENT, (ago + _EVENING) // _MOMENT
    around = moments[min(until, most)] - moments[min(since, most)]
    alone = around <= _ENDS + head["known"] // _ENDS_OF
    return bool(whole and alone and was_before(head, strand) and _longer(head["watched"], strand) < _JOBS)


@compiled
def has_stopped(head: Record, strand: Record, missed: float, needed: float) -> bool:
    """Return whether one that may have stopped has: `missed` events were expected; `needed` is a surprise."""
    return bool(head["clock"] - strand["since"] >= _SURE and surprise(strand, missed / _SLOWER) >= needed)


@compiled
def early_left(head: Record) -> int:
    """Return how many incidents may yet be told of strands that were there before."""
    return int(max(TRUSTED, head["known"] // _ONE_IN) - head["early"])


@compiled
def silence_left(head: Record, strand: Record, bucket: int, young: float) -> float:
    """Return how many buckets a young strand must still be silent to be no daily job."""
    # Its daily run may have been in a hole: a whole day must have been seen since.
    return float(LONGER * young - (bucket - max(strand["last"], head["hole"])))


@compiled
def _longer(ended: np.ndarray, strand: Record) -> int:
    """Return how many runs of half its length or more had ended before a strand did; `ended` is by octave."""
    longer = ended[max(_octave(strand) - 1, 0) :]
    return int(((longer > 0) & (longer < strand["last"] - _TOGETHER)).sum())


@compiled
def _octave(strand: Record) -> int:
    """log2 of how long a strand's present run was."""
    return min(int(np.log2(strand["last"] - strand["run"] + 1)), OCTAVES - 1)
