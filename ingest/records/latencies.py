"""Histograms of other systems, `[upper bound in ms, count]`, in our logarithmic buckets.

Invariant: no count is lost. A count goes to the bucket that holds its upper bound: nothing says where below it the
calls were, so a quantile is never too low. A count without a finite bound goes to the record's highest bucket.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from chronotope.ingest.records.spreading import Spread, spread_entries
from chronotope.ingest.requests.fields import MAX_COUNT, column_of, floats
from chronotope.ingest.requests.outcome import Records
from chronotope.schema.errors import InvalidPayload
from chronotope.schema.latency import BUCKETS, bucket_of
from chronotope.schema.times import shortened

_LONGEST_MS = 1e10  # beyond the last bucket, and in nanoseconds still within 64 bits
ACCEPTED = "a list of [upper bound in ms, count]"


@dataclass(frozen=True, slots=True)
class Histograms:
    """K entries of N records: `count[k]` calls of record `record[k]` in our bucket `bucket[k]`."""

    record: np.ndarray  # int64[K], rising
    bucket: np.ndarray  # uint8[K]
    count: np.ndarray  # int64[K]

    def totals(self, records: int) -> np.ndarray:
        """Return the calls of each record, int64[N]."""
        total = np.zeros(records, np.int64)
        np.add.at(total, self.record, self.count)
        return total


def histograms(records: Records, name: str) -> Histograms:
    """Read a field of histograms; refuses records with bounds or counts that are none."""
    column = column_of(records, name)
    if column is None:
        return Histograms(*(np.empty(0, kind) for kind in (np.int64, np.uint8, np.int64)))
    record, bounds, counts = _entries(records, name, column)
    wrong = ~(bounds >= 0) | ~((counts >= 0) & (counts < MAX_COUNT) & (counts == np.floor(counts)))
    highest = np.full(len(records.lines), -1.0)
    np.maximum.at(highest, record, np.where(np.isfinite(bounds), bounds, -1.0))
    wrong |= (highest[record] < 0) & (counts > 0)
    _refuse(records, name, np.unique(record[wrong]))
    keep = ~wrong & (counts > 0)
    record, bounds, counts = record[keep], bounds[keep], counts[keep]
    latency_ns = np.minimum(np.where(np.isfinite(bounds), bounds, highest[record]), _LONGEST_MS) * 1e6
    return Histograms(record, bucket_of(latency_ns.astype(np.int64)), counts.astype(np.int64))


def spread_histograms(found: Histograms, over: Spread, records: int) -> pa.Array:
    """Return map<uint8, int64>[M]: the histograms of records, each spread over its record's buckets."""
    entries = spread_entries(found.record, found.bucket, found.count, BUCKETS, over, records)
    return pa.MapArray.from_arrays(
        pa.array(entries.offsets), pa.array(entries.key.astype(np.uint8)), pa.array(entries.count)
    )


def _entries(records: Records, name: str, column: pa.Array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (record, bound, count) of each entry; a bound that is null or text is infinite."""
    kind = column.type
    if pa.types.is_map(kind):
        column = column.cast(pa.list_(pa.struct([("key", kind.key_type), ("value", kind.item_type)])))
        kind = column.type
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        raise InvalidPayload(f"column {name} is {shortened(str(kind))}; accepted: {ACCEPTED}")
    record = pc.list_parent_indices(column).to_numpy(zero_copy_only=False).astype(np.int64)
    pairs = pc.list_flatten(column)
    if pa.types.is_struct(pairs.type) and pairs.type.num_fields == 2:
        bounds, counts = (floats(name, part) for part in pairs.flatten())
    elif pa.types.is_list(pairs.type) or pa.types.is_large_list(pairs.type) or _is_pair(pairs.type):
        record, bounds, counts = _unpaired(records, name, record, pairs)
    else:
        raise InvalidPayload(f"column {name} is {shortened(str(kind))}; accepted: {ACCEPTED}")
    return record, np.where(np.isnan(bounds), np.inf, bounds), counts


def _unpaired(
    records: Records, name: str, record: np.ndarray, pairs: pa.Array
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    lengths = pc.fill_null(pc.list_value_length(pairs), 0).to_numpy(zero_copy_only=False)
    wrong = np.isin(record, record[lengths != 2])
    _refuse(records, name, np.unique(record[wrong]))
    flat = floats(name, pc.list_flatten(pairs.filter(pa.array(~wrong))))
    return record[~wrong], flat[0::2], flat[1::2]


def _refuse(records: Records, name: str, rows: np.ndarray) -> None:
    bad = np.zeros(len(records.lines), np.bool_)
    bad[rows] = True
    records.refuse(bad, lambda row: f"{name} is not accepted; use {ACCEPTED}, bounds and counts from 0 on")


def _is_pair(kind: pa.DataType) -> bool:
    return bool(pa.types.is_fixed_size_list(kind) and kind.list_size == 2)
