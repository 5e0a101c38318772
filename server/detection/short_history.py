"""Decide what is reported of a series whose history is shorter than a day. Compiled.

All that such a series has done may have been one run of a daily job, and the silence after it the rest of the job's
day. Nothing in a run that began while it was watched tells which, however regular it was. A rule that is right for
every share of jobs must wait until the day is over: for a day and a quarter, since a job need not be punctual.

Series that were there before the layer was watched are another case. A job that runs for a part p of the day is at work
at the beginning with probability p, and as many runs of a length begin in an hour as end in it. So a series that was
there when the layer began, went on without a pause for an hour or more, and then stopped is hardly a job, unless runs
of half that length are seen to begin and end. One such run may have been a new edge that ended.

Invariant: the number of reports before the day is over is bounded, whatever the system does. A store's beginning costs
a few false alarms, not one for each job. A silence is reported

- when the series was there before: one incident for each fifty series; what comes back counts for ten. The silence must
  last for half an hour, and be improbable even if the series had slowed to a quarter. Where such series end one after
  another for two hours, as at the end of a working day, none is reported; what ends together is one moment of this.
- on trust, in a layer's first day: five silences, until one that looked like an end was none, or more than five series
  look ended. In a layer of at most a hundred series a person looks at each, and what is taken away minutes after the
  first start must be reported: there all series that were there before, and five incidents besides.
- by the length of its run: half an hour or more, when no run in a short history that was at least half as long (to a
  power of two) had ended a minute before. What ends together is reported together. The next must have run for at least
  twice as long, so this is wrong for four incidents at most. An end in a quiet system is reported at once.
"""

from __future__ import annotations

import numpy as np

from chronotope.server.detection.series import BUCKETS_AN_HOUR, OCTAVES, Record, compiled
from chronotope.server.detection.silence import surprise

TRUSTED = 5
LONGER = 1.25  # than any silence that ended, than a day
NOBODY, OLD, ALL = 0, 1, 2  # whose silence is reported on trust; old: what was there before
SMALL = 100  # series

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
_ENDS, _ENDS_OF = 20, 1000  # moments of two hours in which series end in any layer; one more for each so many
_JOBS = 2  # one run that is seen to begin and end may be a new edge
_ONE_IN = 50  # series an incident
_CAME_BACK = 10


@compiled
def has_short_history(series: Record, short_history: float) -> bool:
    """Return whether a series' history may be one run of a job that repeats every `short_history` buckets."""
    return bool(series["last"] - series["first"] < short_history)


@compiled
def was_before(head: Record, series: Record) -> bool:
    """Return whether a series was active as early as one that was there when the layer began."""
    gap = series["first"] - head["begin"]
    return bool(gap <= _ARRIVAL or gap * series["active"] <= _GAP * series["seen"])


@compiled
def is_steady(series: Record, tops: np.ndarray) -> bool:
    """Return whether a series had no pause that a process of its rate would hardly have."""
    steady = tops[1, 0] * series["active"] / series["seen"] <= np.log1p(series["active"]) + _PAUSE
    return bool(steady and series["run"] == series["first"])


@compiled
def note_ends(head: Record, records: np.ndarray, tops: np.ndarray, short_history: float) -> int:
    """Note the runs in short histories that look ended; return how many do.

    `ended` keeps the first end of each octave of lengths, of all runs that ever looked ended. `watched` keeps the first
    two of the runs that look ended now and look like a job: they began while the layer was watched, and had no pause.
    """
    head["watched"][:] = 0
    found = 0
    for own in range(len(records)):
        series = records[own]
        overdue = series["state"] == 1 and series["due"] <= head["clock"]
        if not (overdue or series["ended"] > 0) or not has_short_history(series, short_history):
            continue
        found += 1
        octave = _octave(series)
        if head["ended"][octave] == 0 or series["last"] < head["ended"][octave]:
            head["ended"][octave] = series["last"]
        series["ended"] = max(series["ended"], 1)
        if is_steady(series, tops[own]) and not was_before(head, series):
            _put_earliest(head["watched"][octave], series["last"])
    return found


@compiled
def _put_earliest(two: np.ndarray, last: int) -> None:
    """Keep the two earliest of some buckets, 0 for none."""
    if two[0] == 0 or last < two[0]:
        two[0], two[1] = last, two[0]
    elif two[1] == 0 or last < two[1]:
        two[1] = last


@compiled
def begin_run(head: Record, series: Record, bucket: int, short_history: float) -> None:
    """A series is active again after a silence that looked like an end: trust no series like it any more."""
    if has_short_history(series, short_history) and head["known"] > SMALL:
        head["trusted"] = max(head["trusted"], TRUSTED)
        head["early"] += _CAME_BACK if series["ended"] == 2 else 0
    series["run"], series["ended"] = bucket, 0


@compiled
def trust(head: Record, ended: int, bucket: int, short_history: float) -> int:
    """Return whose silence is reported on trust, when a number of series look ended."""
    if bucket - head["begin"] >= short_history:
        return NOBODY
    if head["known"] <= SMALL:
        return ALL if head["trusted"] < TRUSTED else OLD
    return ALL if max(head["trusted"], ended - 1) < TRUSTED else NOBODY


@compiled
def is_trusted(head: Record, series: Record, trusting: int) -> bool:
    """Return whether the silence of a series with a short history is reported on trust."""
    return bool(trusting == ALL or (trusting == OLD and was_before(head, series)))


@compiled
def count_trusted(head: Record, reported: np.ndarray) -> None:
    """Count what was reported on trust in one bucket: series in a large layer, incidents in a small one."""
    if reported[0] > 0:
        head["trusted"] += _incidents(reported, head["incident"]) if head["known"] <= SMALL else reported[0]
        head["incident"] = reported[2]


@compiled
def count_early(head: Record, reported: np.ndarray) -> None:
    """Count the incidents that were reported in one bucket for series that were there before."""
    if reported[0] > 0:
        head["early"] += _incidents(reported, head["early_incident"])
        head["early_incident"] = reported[2]


@compiled
def note_reported(reported: np.ndarray, last: int) -> None:
    """Add a series to those reported in one bucket: how many, and when the first and the last of them ended."""
    reported[1] = last if reported[0] == 0 else min(reported[1], last)
    reported[2] = max(reported[2], last)
    reported[0] += 1


@compiled
def _incidents(reported: np.ndarray, before: int) -> int:
    """Return how many of the reported incidents are new. The order of series must not matter: only extremes do."""
    known = abs(reported[2] - before) <= _INCIDENT
    return int(min(reported[0], 1 + (reported[2] - reported[1]) // _INCIDENT) - (1 if known else 0))


@compiled
def is_reported(head: Record, series: Record, bucket: int, short_history: float) -> bool:
    """Return whether a silence that is improbable by a series' own history is reported, with or without trust."""
    if not has_short_history(series, short_history) or silence_left(head, series, bucket, short_history) <= 0:
        return True
    return bool(series["last"] - series["run"] + 1 >= _LONG_RUN and _longer(head["ended"], series) == 0)


@compiled
def moments_of_ends(head: Record, records: np.ndarray, bucket: int, short_history: float) -> np.ndarray:
    """Return in how many of the last n moments of a day a series that was there before ended, int64 by n."""
    ends = np.zeros(int(short_history) // _MOMENT + 2, np.int64)
    for own in range(len(records)):
        series = records[own]
        ago = bucket - series["last"]
        if (
            series["ended"] > 0
            and ago < short_history
            and series["run"] == series["first"]
            and was_before(head, series)
        ):
            ends[max(ago, 0) // _MOMENT + 1] = 1
    return np.cumsum(ends)


@compiled
def may_have_stopped(head: Record, series: Record, tops: np.ndarray, bucket: int, moments: np.ndarray) -> bool:
    """Return whether a series was there before, had no pause for an hour, and nothing like it is a job's run."""
    whole = is_steady(series, tops) and series["last"] - series["first"] >= BUCKETS_AN_HOUR
    ago, most = bucket - series["last"], len(moments) - 1
    since, until = max(ago - _EVENING, 0) // _MOMENT, (ago + _EVENING) // _MOMENT
    around = moments[min(until, most)] - moments[min(since, most)]
    alone = around <= _ENDS + head["known"] // _ENDS_OF
    return bool(whole and alone and was_before(head, series) and _longer(head["watched"], series) < _JOBS)


@compiled
def has_stopped(head: Record, series: Record, missed: float, needed: float) -> bool:
    """Return whether a series that may have stopped has: `missed` events were expected; `needed` is a surprise."""
    return bool(head["clock"] - series["since"] >= _SURE and surprise(series, missed / _SLOWER) >= needed)


@compiled
def early_left(head: Record) -> int:
    """Return how many more incidents may be reported for series that were there before."""
    return int(max(TRUSTED, head["known"] // _ONE_IN) - head["early"])


@compiled
def silence_left(head: Record, series: Record, bucket: int, short_history: float) -> float:
    """Return how many more buckets a series must be silent to be no daily job."""
    # Its daily run may have been in a hole: a whole day must have been seen since.
    return float(LONGER * short_history - (bucket - max(series["last"], head["hole"])))


@compiled
def _longer(ended: np.ndarray, series: Record) -> int:
    """Return how many runs of at least half its length had ended before a series did; `ended` is by octave."""
    longer = ended[max(_octave(series) - 1, 0) :]
    return int(((longer > 0) & (longer < series["last"] - _TOGETHER)).sum())


@compiled
def _octave(series: Record) -> int:
    """log2 of how long a series' present run was."""
    return min(int(np.log2(series["last"] - series["run"] + 1)), OCTAVES - 1)
