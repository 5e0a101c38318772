"""States of counters, one over the other, as the store keeps them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from chronotope.ingest.metrics.counters.columns import SeriesTable
from chronotope.ingest.metrics.counters.increases import Counters, Remembered
from chronotope.ingest.metrics.counters.state import SCHEMA, remembered, state_of


class SavedCounters:
    """Of each series what was saved last."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, Any]] = {}

    def save(self, counters: Counters, table: SeriesTable) -> None:
        """Save the state of all series that had a sample."""
        for row in state_of(counters, table, np.arange(len(table)), 0).to_pylist():
            self.rows[row["series"]] = row

    def load(self) -> Remembered:
        """Return what was saved."""
        return remembered(pa.Table.from_pylist(list(self.rows.values()), schema=SCHEMA))
