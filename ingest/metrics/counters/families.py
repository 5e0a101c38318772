"""Groups of series: the `_bucket`, `_count`, `_sum`, `_total` and `_created` series of one counter or histogram.

Invariant: series are in one group exactly if their names without suffix and their labels without `le` are equal. A
group is one object in the measured process: its series begin together and are reset together.
"""

from __future__ import annotations

import math

import numpy as np

from chronotope.ingest.metrics.counters.columns import SeriesTable

PLAIN, BUCKET, COUNT, SUM, CREATED = range(5)
MOST_BOUNDS = 1000
_ROLES = {"_total": PLAIN, "_bucket": BUCKET, "_count": COUNT, "_sum": SUM, "_created": CREATED}


class Families:
    """Columns by series code, kept up with a table: `group` int32, `role` uint8, `le` float64 (NaN: no bucket)."""

    def __init__(self, table: SeriesTable) -> None:
        self._table = table
        self.clear()

    def clear(self) -> None:
        """Begin again: needed after the table is compacted."""
        self._groups: dict[tuple[str, tuple[str, ...], tuple[str, ...]], int] = {}
        self._keys: dict[tuple[str, ...], tuple[str, ...]] = {}  # one tuple for all series of the same label names
        self.group = np.empty(0, np.int32)
        self.role = np.empty(0, np.uint8)
        self.le = np.empty(0, np.float64)
        self._bounds = Bounds()

    def bounds(self) -> Bounds:
        """Return the bounds of all groups, those of new series too."""
        self._bounds.update(self)
        return self._bounds

    @property
    def refused(self) -> int:
        """The number of histograms with too many bounds: their latencies are not used, their counts are."""
        return len(self._bounds.refused)

    @property
    def groups(self) -> int:
        """The number of groups."""
        return len(self._groups)

    def update(self) -> None:
        """Add the series that are new in the table."""
        known, names, labels = len(self.group), self._table.names, self._table.labels
        if known == len(names):
            return
        rows = [self._row(names[code], labels[code]) for code in range(known, len(names))]
        group, role, le = zip(*rows, strict=True)
        self.group = np.concatenate([self.group, np.array(group, np.int32)])
        self.role = np.concatenate([self.role, np.array(role, np.uint8)])
        self.le = np.concatenate([self.le, np.array(le, np.float64)])

    def _row(self, name: str, labels: dict[str, str]) -> tuple[int, int, float]:
        cut = name.rfind("_")
        role = _ROLES.get(name[cut:]) if cut > 0 else None
        le = math.nan
        if role is None:
            cut, role = len(name), PLAIN
        if role == BUCKET:
            le = _bound(labels.get("le", ""))
            labels = {key: value for key, value in labels.items() if key != "le"}
        names = tuple(labels)  # sorted, as the table keeps them
        key = (name[:cut], self._keys.setdefault(names, names), tuple(labels.values()))
        return self._groups.setdefault(key, len(self._groups)), role, le


class Bounds:
    """The bounds of groups: most histograms of a metric have the same ones, which makes them one matrix.

    `layouts[n]`: float64[L], rising; `layout` int64 by group, into them (-1: none); `column` int64 by series
    code: the place of its bound in its group's layout. A group of too many bounds has no layout: it is no histogram.
    """

    def __init__(self) -> None:
        self.layouts: list[np.ndarray] = []
        self.layout = np.empty(0, np.int64)
        self.column = np.empty(0, np.int64)
        self.refused: set[int] = set()  # groups that have too many bounds
        self._numbers: dict[bytes, int] = {}

    def update(self, families: Families) -> None:
        """Update the groups that have a new series."""
        known, count = len(self.column), len(families.group)
        if known == count:
            return
        self.column = np.concatenate([self.column, np.full(count - known, -1)])
        self.layout = np.concatenate([self.layout, np.full(families.groups - len(self.layout), -1)])
        bucket = (families.role == BUCKET) & ~np.isnan(families.le)
        changed = np.zeros(families.groups, np.bool_)
        changed[families.group[known:][bucket[known:]]] = True
        codes = np.flatnonzero(bucket & changed[families.group])
        codes = codes[np.lexsort((families.le[codes], families.group[codes]))]
        first = np.flatnonzero(np.diff(families.group[codes], prepend=-1))
        ends = np.append(first[1:], len(codes))[: len(first)]
        for begin, end in zip(first.tolist(), ends.tolist(), strict=True):
            self._place(codes[begin:end], families)

    def _place(self, codes: np.ndarray, families: Families) -> None:
        """Find the layout of one group, by its series in the order of their bounds."""
        les = families.le[codes]
        rises = np.append(True, les[1:] > les[:-1])
        if rises.sum() > MOST_BOUNDS:
            self.layout[families.group[codes[0]]] = -1
            self.refused.add(int(families.group[codes[0]]))
            return
        self.column[codes] = np.cumsum(rises) - 1
        key = les[rises].tobytes()
        number = self._numbers.setdefault(key, len(self.layouts))
        if number == len(self.layouts):
            self.layouts.append(les[rises])
        self.layout[families.group[codes[0]]] = number


def _bound(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
