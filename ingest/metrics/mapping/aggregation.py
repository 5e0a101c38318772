"""Aggregate waiting increases: those of all series with the same meaning for an edge, in steps of 10 seconds.

Invariant: nothing is lost or added, and whole numbers stay whole. Times are rounded down to 10 seconds. The memory is
bounded by edges × measures × response codes × time, not by the number of instances. Histograms of one metric and edge
are taken to have the same bounds, as PromQL's `sum by (le)` takes them.
"""

from __future__ import annotations

import numpy as np

from chronotope.ingest.columns.hashing import SEED
from chronotope.ingest.metrics.counters.columns import Increases
from chronotope.ingest.metrics.counters.families import BUCKET, Families
from chronotope.ingest.metrics.counters.histograms import group_pairs
from chronotope.ingest.metrics.mapping.series import SeriesMeanings

STEP_MS = 10_000
_LENGTHS = 1 << 20  # more than the steps of the longest increase


class Aggregator:
    """Aggregates the increases of a table's series.

    Args:
        meanings, families: of the table, kept up with it by the caller.
    """

    def __init__(self, meanings: SeriesMeanings, families: Families, names: list[str]) -> None:
        self._meanings = meanings
        self._families = families
        self._names = names
        self._one_of: list[int] = []  # by series code: the series that stands for it
        self._group: dict[tuple[int, int, int, float, str], int] = {}
        self._code: dict[tuple[int, int, int, float, str, float], int] = {}

    def aggregate(self, increases: Increases) -> Increases:
        """Return the increases with one for each step and series."""
        self._update()
        series = np.array(self._one_of, np.int64)[increases.series]
        begin = increases.begin_ms // STEP_MS
        steps = np.maximum(increases.end_ms // STEP_MS - begin, 1)
        place, heads, _ = group_pairs(series, begin * _LENGTHS + steps, begin, SEED)
        return Increases(
            series[heads].astype(np.int32),
            begin[heads] * STEP_MS,
            (begin + steps)[heads] * STEP_MS,
            np.bincount(place, increases.increase, len(heads)),
        )

    def _update(self) -> None:
        """Add the series that are new in the table."""
        self._meanings.update()
        self._families.update()
        known, meanings, families = len(self._one_of), self._meanings, self._families
        rows = zip(
            meanings.edge[known:].tolist(),
            meanings.cell[known:].tolist(),
            meanings.adds[known:].tolist(),
            meanings.unit_s[known:].tolist(),
            families.role[known:].tolist(),
            families.group[known:].tolist(),
            families.le[known:].tolist(),
            strict=True,
        )
        for code, (edge, cell, adds, unit_s, role, group, le) in enumerate(rows, known):
            same = (edge, cell, adds, unit_s, self._names[code])
            if role == BUCKET and self._group.setdefault(same, group) == group:
                self._code.setdefault((*same, le), code)
                self._one_of.append(code)
            elif role == BUCKET:
                self._one_of.append(self._code.get((*same, le), code))
            else:
                self._one_of.append(self._code.setdefault((*same, 0.0), code))
