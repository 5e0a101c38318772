"""What `Counters` must remember over a restart: last value, last time and beginning of each series, as columns.

Invariant: counters that remember go on as if there had been no restart: the samples after it give the same increases.
The caller saves a state together with, or after, the observations made of the samples before it. Samples that come a
second time are then not counted again. Series are told apart by the digest of their name and labels. So a state costs
56 bytes for each, and a series is unknown before its first sample.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from chronotope.ingest.metrics.counters.columns import NO_TIME, SeriesTable
from chronotope.ingest.metrics.counters.increases import Counters, Remembered

SCHEMA = pa.schema(
    [
        ("series", pa.string()),
        ("round", pa.uint64()),
        ("value", pa.float64()),
        ("time", pa.int64()),
        ("created", pa.int64()),
        ("body", pa.binary()),
    ]
)


def state_of(counters: Counters, table: SeriesTable, codes: np.ndarray, round_ms: int) -> pa.Table:
    """Return the state of those series among int[N] that had a sample, as rows of the store's `metric_counters`."""
    counters.grow()
    codes = codes[counters.last_time[codes] != NO_TIME]
    return rows(
        [table.keys[code].hex() for code in codes.tolist()],
        round_ms,
        counters.last_value[codes],
        counters.last_time[codes],
        counters.last_created[codes],
    )


def rows(
    names: list[str],
    round_ms: int,
    value: np.ndarray,
    time_ms: np.ndarray,
    created_ms: np.ndarray,
    bodies: list[bytes] | None = None,
) -> pa.Table:
    """Return N rows of the store's `metric_counters`."""
    columns = [
        pa.array(names, pa.string()),
        pa.array(np.full(len(names), round_ms), pa.uint64()),
        pa.array(value, pa.float64(), from_pandas=False),
        pa.array(time_ms, pa.int64()),
        pa.array(created_ms, pa.int64()),
        pa.array(bodies or [b""] * len(names), pa.binary()),
    ]
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def remembered(state: pa.Table) -> Remembered:
    """Return the values of a state's series, for new counters."""
    names = state.column("series").to_pylist()
    order = sorted(range(len(names)), key=names.__getitem__)
    columns = [state.column(name).to_numpy()[order] for name in ("value", "time", "created")]
    return Remembered(np.array([names[at] for at in order], "S32"), *columns)
