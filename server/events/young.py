"""What is told of a strand whose history is shorter than a day. Compiled.

All that such a strand has done may have been the one run of a daily job, and a silence after it the job's day. Nothing
in one run says which, however regular it was; a rule that is right for every share of jobs must wait until the day is
over. So this is the least delay there is under the promise: a day, and a quarter, since a job need not be punctual.

Invariant: what is told sooner is bounded, whatever the system does, so that a store's beginning costs a few false
alarms and not one for each job:

- on trust: five silences in a layer's first day (and those told in the same bucket as the fifth; in a layer of at most
  a hundred strands also those that began within two minutes of the last), until one that looked like an end was
  none. So a service that is taken away minutes after the first start is told at once.
- by the length of its run: half an hour or more, when no run of a young strand at least half as long (to a power of
  two) had ended a minute before. What ends together is told together; the next must have run for at least twice as
  long, so this is wrong for four incidents at most. An end in a quiet system is told at once.
"""

from __future__ import annotations

import numpy as np

from chronotope.server.events.silence import Record, compiled

TRUSTED = 5
OCTAVES = 20  # of lengths of runs
LONGER = 1.25  # than any silence that ended, than a day

_DISPROVED = 1 << 30  # in place of how many were trusted
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
        head["trusted"] = _DISPROVED
    strand["run"], strand["ended"] = bucket, 0


@compiled
def is_trusting(head: Record, bucket: int, young: float) -> bool:
    """Return whether a young strand's silence is told on trust."""
    return bool(bucket - head["begin"] < young and head["trusted"] < TRUSTED)


@compiled
def goes_with_trusted(head: Record, strand: Record, strands: int) -> bool:
    """Return whether a strand of a small layer ended together with one that was told on trust."""
    apart = abs(strand["last"] - head["trusted_last"])
    return bool(0 < head["trusted"] < _DISPROVED and strands <= _SMALL and apart <= 2 * _TOGETHER)


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
