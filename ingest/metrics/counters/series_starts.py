"""Which series are new: they began after the Prometheus had last read all of their target.

Such a series counts from 0. Invariant: only the target's own `up`, with value 1 at a time before the sample's, is
evidence. If two targets have the same `job` and `instance`, or none is named, there is no evidence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from chronotope.ingest.metrics.counters.columns import NO_TIME, TIME_BITS, Samples, SeriesTable, sort_key

UP = "up"
_NOBODY = -1


def target_of_labels(labels: Mapping[str, str]) -> tuple[str, str]:
    """Return the labels that identify the target of a series."""
    return labels.get("job", ""), labels.get("instance", "")


class SeriesStarts:
    """Marks the samples of new series, batch after batch, in order of time.

    Args:
        table: of the codes in the samples.
    """

    def __init__(self, table: SeriesTable) -> None:
        self._table = table
        self.clear()

    def clear(self) -> None:
        """Begin again: needed after the table is compacted, and when the next samples do not follow the last ones."""
        self._numbers: dict[tuple[str, str], int] = {}
        self._target = np.empty(0, np.int64)  # by series code
        self._up = np.empty(0, np.bool_)  # by series code
        self._last = np.empty(0, np.int64)  # by target: when it was last watched
        self._ups = np.empty(0, np.int64)  # by target: how many series `up` it has

    def watched(self, samples: Samples) -> Samples:
        """Return the samples without `up`. Each series' first one gets the time of its target's last reading before."""
        self._update()
        is_up = self._up[samples.series]
        if not is_up.any() and not (self._last > NO_TIME).any():
            return samples
        seen = samples.take(is_up & (samples.value == 1))
        at = self._target[seen.series]
        samples = samples.take(~is_up)
        known = np.flatnonzero(self._last > NO_TIME)
        times = np.concatenate([sort_key(at, seen.time_ms), sort_key(known, self._last[known])])
        watched = np.full(len(samples), NO_TIME)
        first = self._first_rows(samples)
        watched[first] = self._before(np.sort(times), self._target[samples.series[first]], samples.time_ms[first])
        np.maximum.at(self._last, at, seen.time_ms)
        return replace(samples, watched=watched)

    def _first_rows(self, samples: Samples) -> np.ndarray:
        """Return the row of each series' first sample."""
        first = np.full(len(self._table), -1)
        first[samples.series[::-1]] = np.arange(len(samples))[::-1]
        rows: np.ndarray = first[first >= 0]
        return rows

    def _before(self, times: np.ndarray, target: np.ndarray, time_ms: np.ndarray) -> np.ndarray:
        """Return the last of the watched times before those of samples, NO_TIME where there is none."""
        place = np.searchsorted(times, sort_key(target, time_ms)) - 1
        found = times[np.maximum(place, 0)] if len(times) else np.zeros(len(target), np.int64)
        good = (place >= 0) & (target != _NOBODY) & (found >> TIME_BITS == target)
        good[good] = self._ups[target[good]] == 1
        before: np.ndarray = np.where(good, found & ((1 << TIME_BITS) - 1), NO_TIME)
        return before

    def _update(self) -> None:
        """Add the series that are new in the table."""
        known, table = len(self._target), self._table
        if known == len(table):
            return
        targets = [self._number(labels) for labels in table.labels[known:]]
        up = np.array([name == UP for name in table.names[known:]], np.bool_)
        more = len(self._numbers) - len(self._last)
        self._target = np.concatenate([self._target, np.array(targets, np.int64)])
        self._up = np.concatenate([self._up, up & (self._target[known:] != _NOBODY)])
        self._last = np.concatenate([self._last, np.full(more, NO_TIME)])
        self._ups = np.concatenate([self._ups, np.zeros(more, np.int64)])
        np.add.at(self._ups, self._target[known:][self._up[known:]], 1)

    def _number(self, labels: dict[str, str]) -> int:
        name = target_of_labels(labels)
        return self._numbers.setdefault(name, len(self._numbers)) if all(name) else _NOBODY
