"""What belongs together: the `_bucket`, `_count`, `_sum`, `_total` and `_created` series of one counter or histogram.

Invariant: series are of one group exactly if their names without suffix and their labels without `le` are equal. They
are one object in the process that is measured: they began together and are reset together.
"""

from __future__ import annotations

import math

import numpy as np

from chronotope.ingest.metrics.columns import SeriesTable

PLAIN, BUCKET, COUNT, SUM, CREATED = range(5)
_ROLES = {"_total": PLAIN, "_bucket": BUCKET, "_count": COUNT, "_sum": SUM, "_created": CREATED}


class Families:
    """Columns by series code, kept up with a table: `group` int32, `role` uint8, `le` float64 (NaN: no bucket)."""

    def __init__(self, table: SeriesTable) -> None:
        self._table = table
        self.clear()

    def clear(self) -> None:
        """Begin anew: needed after the table is compacted."""
        self._groups: dict[tuple[str, tuple[str, ...], tuple[str, ...]], int] = {}
        self._keys: dict[tuple[str, ...], tuple[str, ...]] = {}  # one tuple for all series of the same label names
        self.group = np.empty(0, np.int32)
        self.role = np.empty(0, np.uint8)
        self.le = np.empty(0, np.float64)

    @property
    def groups(self) -> int:
        """How many groups there are."""
        return len(self._groups)

    def update(self) -> None:
        """Look at the series that are new in the table."""
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


def _bound(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
