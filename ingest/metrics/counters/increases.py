"""From counters to increases: what was counted between two samples of a series.

Invariant: the increases of a series never add up to more than was counted, whatever resets, gaps, repetitions and
restarts there are. They add up to exactly that, from the first sample on, if every reset was seen and no gap was too
long.

- The first sample gives nothing, unless the counter is known to have begun while we watched: by its `_created` time, or
  because all of its target was read before and the series was not there.
- A value that fell is a reset: all of the new value was counted since. If one bucket or count of a histogram fell, the
  whole histogram was reset. So it is with a new `_created` time.
- Samples further apart than `longest_gap_ms` give nothing: the time of the increase would be too vague.
- NaN (Prometheus' staleness marker) ends a series. A scrape that failed gives no samples, and the next one goes on.
- A sample that is not later than its predecessor is ignored and counted, as are negative and infinite values.

Rates are never extrapolated to the ends of a window, as PromQL's `increase()` does.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from chronotope.ingest.columns.bytes import compiled
from chronotope.ingest.metrics.counters.columns import NO_TIME, Increases, Samples, SeriesTable
from chronotope.ingest.metrics.counters.families import CREATED, SUM, Families

LONGEST_GAP_MS = 300_000
LARGEST = float(1 << 62)  # larger values would not fit the store's integers

# Places in `counted`: samples that were ignored, and why.
REASONS = ("not_a_count", "duplicate_time", "out_of_order", "gap")
_BAD, _SAME_TIME, _EARLIER, _GAP = range(len(REASONS))


@compiled
def compare(
    series: np.ndarray,
    times: np.ndarray,
    values: np.ndarray,
    created: np.ndarray,
    watched: np.ndarray,
    longest_gap: int,
    since: int,
    last_value: np.ndarray,
    last_time: np.ndarray,
    last_created: np.ndarray,
    rows: np.ndarray,
    begins: np.ndarray,
    before: np.ndarray,
    counted: np.ndarray,
) -> int:
    """Compare each sample with the one before it in its series, and remember it.

    Args:
        created: int64[N] or [0]: when the counter began; NO_TIME where unknown.
        watched: int64[N] or [0]: see `Samples`.
        last_value, last_time, last_created: state by series code; a NaN value: no predecessor.
        rows, begins, before: int64, int64, float64 [N]: written for each sample that has a predecessor or a
            beginning: its row, the predecessor's time and value (0 when it began, or began anew).

    Returns:
        How many rows were written.
    """
    written = 0
    for row in range(len(series)):
        code, time, value = series[row], times[row], values[row]
        if time <= last_time[code]:
            counted[_SAME_TIME if time == last_time[code] else _EARLIER] += 1
            continue
        if value < 0.0 or value > LARGEST:
            counted[_BAD] += 1
            if last_time[code] == NO_TIME:
                last_time[code] = time  # it was there: its next sample is no birth
            continue
        began = created[row] if len(created) else NO_TIME
        # A `_created` from a clock ahead of ours must not be taken for a second reset at the next sample.
        fresh = began != NO_TIME and began != last_created[code] and began <= time
        previous, earlier = last_value[code], last_time[code]
        last_value[code], last_time[code] = value, time
        if began != NO_TIME:
            last_created[code] = began
        if np.isnan(value):
            continue
        base, begin = previous, earlier
        if fresh and began > earlier and began >= since:
            base, begin = 0.0, began
        elif earlier == NO_TIME and len(watched) and watched[row] != NO_TIME:
            absent = watched[row]
            if absent < time and (began == NO_TIME or began > absent):
                base, begin = 0.0, absent
        if np.isnan(base):
            continue
        if time - begin > longest_gap:
            counted[_GAP] += 1
            continue
        if begin == time:
            begin -= 1
        rows[written], begins[written], before[written] = row, begin, base
        written += 1
    return written


@dataclass(frozen=True, slots=True)
class Remembered:
    """Last values of series that another process read, by digests in hexadecimal, rising."""

    digest: np.ndarray  # bytes[N]
    value: np.ndarray  # float64[N]
    time_ms: np.ndarray  # int64[N]
    created_ms: np.ndarray  # int64[N]

    def find(self, keys: list[bytes]) -> np.ndarray:
        """Return the row of each digest, int64; -1 where it is not remembered."""
        if not len(self.digest) or not keys:
            return np.full(len(keys), -1)
        asked = np.array([key.hex() for key in keys], "S32")
        at = np.minimum(np.searchsorted(self.digest, asked), len(self.digest) - 1)
        return np.where(self.digest[at] == asked, at, -1)


class Counters:
    """The last value and time of each series; samples in, increases out.

    Args:
        table: of the codes in the samples. Only counters belong in: not gauges.
        longest_gap_ms: samples further apart give nothing. Files and backfills that have a sample only every few
            minutes want more than the default of five minutes; the count is right however long it is.
        since_ms: counters that began from then on count from 0 when first seen. A live collector says when it began
            to watch, before any scrape. Default: the earliest time in the first samples, because what is older may
            have been counted by whoever watched before. 0 believes all.
    """

    def __init__(
        self, table: SeriesTable, *, longest_gap_ms: int = LONGEST_GAP_MS, since_ms: int | None = None
    ) -> None:
        self.families = Families(table)
        self.remembered: Remembered | None = None  # set before the first samples
        self._table = table
        self.ignored: Counter[str] = Counter()  # reason → number of samples
        self.resets = 0  # samples that were lower than the one before
        self.longest_gap_ms = longest_gap_ms
        self.since_ms = since_ms
        self.last_value = np.empty(0, np.float64)
        self.last_time = np.empty(0, np.int64)
        self.last_created = np.empty(0, np.int64)

    def add(self, samples: Samples) -> Increases:
        """Return the increases since the samples before: positive ones only, in the order of the samples.

        The samples of one series must come in order of time, in one call and from call to call; different series in
        whatever order. `_created` samples are no counters here: they say when the others of their group, at the same
        time in the same call, began.
        """
        self.grow()
        role = self.families.role[samples.series]
        created = self._created(samples, role)
        if created is not None:
            counters = role != CREATED
            samples, role, created = samples.take(counters), role[counters], created[counters]
        if self.since_ms is None and len(samples):
            self.since_ms = int(samples.time_ms.min())
        count = len(samples)
        rows, begins, before = np.empty(count, np.int64), np.empty(count, np.int64), np.empty(count)
        counted = np.zeros(len(REASONS), np.int64)
        written = compare(
            samples.series,
            samples.time_ms,
            samples.value,
            np.empty(0, np.int64) if created is None else created,
            np.empty(0, np.int64) if samples.watched is None else samples.watched,
            self.longest_gap_ms,
            self.since_ms or 0,
            self.last_value,
            self.last_time,
            self.last_created,
            rows,
            begins,
            before,
            counted,
        )
        for reason, number in zip(REASONS, counted.tolist(), strict=True):
            if number:
                self.ignored[reason] += number
        return self._increases(samples.take(rows[:written]), role[rows[:written]], begins[:written], before[:written])

    def grow(self) -> None:
        """Make room for the new series of the table."""
        known = len(self.last_value)
        self.families.update()
        more = len(self.families.role) - known
        if more:
            self.last_value = np.concatenate([self.last_value, np.full(more, np.nan)])
            self.last_time = np.concatenate([self.last_time, np.full(more, NO_TIME)])
            self.last_created = np.concatenate([self.last_created, np.full(more, NO_TIME)])
            self._recall(known)

    def _recall(self, first: int) -> None:
        """Give the series from a code on what another process knew of them."""
        if self.remembered is None:
            return
        row = self.remembered.find(self._table.keys[first:])
        codes, row = first + np.flatnonzero(row >= 0), row[row >= 0]
        self.last_value[codes] = self.remembered.value[row]
        self.last_time[codes] = self.remembered.time_ms[row]
        self.last_created[codes] = self.remembered.created_ms[row]

    def renumber(self, renumbered: np.ndarray) -> None:
        """Follow `SeriesTable.compact`, with what it returned."""
        kept = np.flatnonzero(renumbered >= 0)
        kept = kept[kept < len(self.last_value)]
        self.last_value, self.last_time = self.last_value[kept], self.last_time[kept]
        self.last_created = self.last_created[kept]
        self.families.clear()
        self.grow()

    def seen_since(self, time_ms: int) -> np.ndarray:
        """Return bool[len(table)]: the series that had a sample since then. The others may be forgotten."""
        self.grow()
        seen: np.ndarray = self.last_time >= time_ms
        return seen

    def _created(self, samples: Samples, role: np.ndarray) -> np.ndarray | None:
        """Return when each sample's counter began, int64[N], NO_TIME where nothing says so; None: nothing does."""
        said = np.flatnonzero(role == CREATED)
        if not len(said):
            return None
        group = self.families.group[samples.series]
        began = np.full(len(said), NO_TIME)
        value = samples.value[said]
        sane = (value > 0) & (value < 1e10)
        began[sane] = np.round(value[sane] * 1000).astype(np.int64)
        place = _find(group[said], samples.time_ms[said], group, samples.time_ms)
        return np.where(place >= 0, began[place], NO_TIME)

    def _increases(self, samples: Samples, role: np.ndarray, begins: np.ndarray, before: np.ndarray) -> Increases:
        """Subtract, but where a group was reset count from 0."""
        fell = samples.value < before
        if fell.any():
            # A sum also falls when a negative value is added, so it is no evidence of a reset of its group.
            before = before.copy()
            before[self._reset(samples, fell & (role != SUM))] = 0.0
            before[(role == SUM) & (samples.value < before)] = np.inf
        increase = samples.value - before
        grown = increase > 0
        return Increases(samples.series[grown], begins[grown], samples.time_ms[grown], increase[grown])

    def _reset(self, samples: Samples, fell: np.ndarray) -> np.ndarray:
        """Return which samples are of a group of which one fell at the same time."""
        self.resets += int(fell.sum())
        group = self.families.group[samples.series]
        reset: np.ndarray = _find(group[fell], samples.time_ms[fell], group, samples.time_ms) >= 0
        return reset


def _find(groups: np.ndarray, times: np.ndarray, group: np.ndarray, time: np.ndarray) -> np.ndarray:
    """Return where each (group, time) first is among the pairs (groups, times); -1 where it is not."""
    place = np.full(len(group), -1, np.int64)
    if not len(groups):
        return place
    candidates = np.flatnonzero(np.isin(group, groups))
    key = np.empty(len(groups) + len(candidates), [("group", np.int32), ("time", np.int64)])
    key["group"] = np.concatenate([groups, group[candidates]])
    key["time"] = np.concatenate([times, time[candidates]])
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    found = first[inverse[len(groups) :]]
    place[candidates] = np.where(found < len(groups), found, -1)
    return place
