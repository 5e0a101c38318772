"""Highly available pairs: two Prometheus servers that scrape the same targets and differ in one label only.

Invariant: of series that differ only in the replica label, one replica at a time is used, until it has been silent for
`silence_ms`. The increases of the resulting series never count a call twice.

Source: the HA tracker of Grafana Mimir, for each series and by the samples' own times.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from chronotope.ingest.columns.bytes import compiled
from chronotope.ingest.metrics.counters.columns import NO_TIME, REFUSED, Samples, SeriesTable

SILENCE_MS = 60_000
_NO_ROOM = -2  # the table has no room for the series without the label: no count is better than a double one


@compiled
def choose(
    series: np.ndarray,
    times: np.ndarray,
    order: np.ndarray,
    one_of: np.ndarray,
    chosen: np.ndarray,
    last_time: np.ndarray,
    silence: int,
    kept: np.ndarray,
) -> None:
    """Mark in kept, bool[N], the samples of the replica that is chosen at their time.

    Args:
        order: row numbers by time.
        one_of: int32 by series code: the code without the replica label, REFUSED for a series of its own.
        chosen, last_time: state by code without the label: the series in use, and its last sample.
    """
    for row in order:
        code, time = series[row], times[row]
        common = one_of[code]
        if common < 0:
            kept[row] = common == REFUSED
            continue
        if chosen[common] == code:
            kept[row] = True
            last_time[common] = max(last_time[common], time)
        elif chosen[common] < 0 or time - silence > last_time[common]:
            kept[row] = True
            chosen[common], last_time[common] = code, time


class Replicas:
    """Drops the samples of all replicas but one, and gives their series the code without the replica label.

    Args:
        table: of the codes in the samples.
        label: the replica label: `prometheus_replica`, `__replica__`, `replica`, …
        silence_ms: how long the replica in use may be silent: several scrape intervals. Samples that the other one
            has of that time are lost to the map, but what the counter rose by in it is not.
    """

    def __init__(self, table: SeriesTable, label: str, *, silence_ms: int = SILENCE_MS) -> None:
        self.dropped = 0  # samples of replicas that are not in use
        self._table, self._label, self._silence_ms = table, label, silence_ms
        self.clear()

    def clear(self) -> None:
        """Begin again: needed after the table is compacted."""
        self._one_of = np.empty(0, np.int32)
        self._chosen = np.empty(0, np.int32)
        self._last_time = np.empty(0, np.int64)

    def deduplicate(self, samples: Samples) -> Samples:
        """Return the samples of the replicas in use, in their order. Give it the replicas of a time in one call."""
        self._update()
        kept, series = self._used(samples.series, samples.time_ms)
        native = samples.native
        if native is not None:
            rows, codes = self._used(native.series, native.time_ms)
            native = replace(native.take(rows), series=codes)
        return Samples(series, samples.time_ms[kept], samples.value[kept], native)

    def _used(self, series: np.ndarray, time_ms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows of the replicas in use, in their order, and the codes that these get."""
        kept = np.zeros(len(series), np.bool_)
        order = np.argsort(time_ms, kind="stable")
        choose(series, time_ms, order, self._one_of, self._chosen, self._last_time, self._silence_ms, kept)
        self.dropped += len(series) - int(kept.sum())
        rows = np.flatnonzero(kept)
        common = self._one_of[series[rows]]
        return rows, np.where(common >= 0, common, series[rows])

    def _update(self) -> None:
        """Look at the series that are new in the table; those without the label that they need are made here."""
        known, table = len(self._one_of), self._table
        found = [self._common(code) for code in range(known, len(table))]
        found += [REFUSED] * (len(table) - known - len(found))
        more = len(found)
        if not more:
            return
        self._one_of = np.concatenate([self._one_of, np.array(found, np.int32)])
        # A series without a replica label is a replica too, if others are equal to it without theirs.
        alone = self._one_of[self._one_of >= 0]
        self._one_of[alone] = alone
        self._chosen = np.concatenate([self._chosen, np.full(more, -1, np.int32)])
        self._last_time = np.concatenate([self._last_time, np.full(more, NO_TIME)])

    def _common(self, code: int) -> int:
        labels = self._table.labels[code]
        if self._label not in labels:
            return REFUSED
        rest = tuple(sorted((key, value) for key, value in labels.items() if key != self._label))
        common = self._table.code(self._table.names[code], rest)
        return _NO_ROOM if common == REFUSED else common
