"""What is told of a strand whose history is shorter than a day. Compiled.

All that such a strand has done may have been the one run of a daily job, and a silence after it the job's day. Nothing
in one run says which, however regular it was; a rule that is right for every share of jobs must wait until the day is
over. So this is the least delay there is under the promise: a day, and a quarter, since a job need not be punctual.

Invariant: what is told sooner is bounded, whatever the system does, so that a store's beginning costs a few false
alarms and not one for each job:

- on trust, in a layer's first day: five silences (and those told in the same bucket as the fifth), until one that
  looked like an end was none; in a layer of at most a hundred strands every one, for there a person looks at each, and
  what is taken away minutes after the first start must be told.
- by the length of its run: half an hour or more, when no run of a young strand at least half as long (to a power of
  two) had ended a minute before. What ends together is told together; the next must have run for at least twice as
  long, so this is wrong for four incidents at most. An end in a quiet system is told at once.
"""

from __future__ import annotations

import numpy as np

from chronotope.server.events.strands import OCTAVES, Record, compiled

TRUSTED = 5
LONGER = 1.25  # than any silence that ended, than a day

_SMALL = 100  # strands
_LONG_RUN = 180  # buckets: half an hour
_TOGETHER = 6


@compiled
def is_young(strand: Record, young: float) -> bool:
    """Return whether a strand's history may be one run of a job that repeats every `young` buckets."""
    return bool(strand["last"] - strand["first"] < young)


@compiled
def note_ends(head: Record, strands: np.ndarray, young: float) -> None:
    """Note the runs of young strands that look ended: when the first of each octave of lengths did."""
    for own in range(len(strands)):
        strand = strands[own]
        if strand["state"] != 1 or strand["due"] > head["clock"] or not is_young(strand, young):
            continue
        octave = _octave(strand)
        if head["ended"][octave] == 0 or strand["last"] < head["ended"][octave]:
            head["ended"][octave] = strand["last"]
        strand["ended"] = 1


@compiled
def begin_run(head: Record, strand: Record, bucket: int, young: float) -> None:
    """A strand speaks again after a silence that looked like an end: trust nothing like it any more."""
    if is_young(strand, young):
        head["trusted"] = max(head["trusted"], TRUSTED)
    strand["run"], strand["ended"] = bucket, 0


@compiled
def is_trusting(head: Record, strands: int, bucket: int, young: float) -> bool:
    """Return whether a young strand's silence, in a layer of so many strands, is told on trust."""
    return bool(bucket - head["begin"] < young and (head["trusted"] < TRUSTED or strands <= _SMALL))


@compiled
def is_told(head: Record, strand: Record, bucket: int, young: float) -> bool:
    """Return whether a silence that is improbable by a strand's own history is told, trust or not."""
    if not is_young(strand, young) or silence_left(head, strand, bucket, young) <= 0:
        return True
    if strand["last"] - strand["run"] + 1 < _LONG_RUN:
        return False
    for octave in range(_octave(strand) - 1, OCTAVES):
        if 0 < head["ended"][octave] < strand["last"] - _TOGETHER:
            return False
    return True


@compiled
def silence_left(head: Record, strand: Record, bucket: int, young: float) -> float:
    """Return how many buckets a young strand must still be silent to be no daily job."""
    # Its daily run may have been in a hole: a whole day must have been seen since.
    return float(LONGER * young - (bucket - max(strand["last"], head["hole"])))


@compiled
def _octave(strand: Record) -> int:
    """log2 of how long a strand's present run was."""
    return min(int(np.log2(strand["last"] - strand["run"] + 1)), OCTAVES - 1)
