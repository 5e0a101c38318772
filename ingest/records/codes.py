"""Calls by response code, as records report them and as the store has them.

Invariant: over all buckets of time, a record has as many calls of a code as it reported. A code is a short text (`200`,
`5xx`, `UNAVAILABLE`), kept as it came.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from chronotope.ingest.records.spreading import Spread, spread_entries
from chronotope.ingest.requests.fields import MAX_COUNT, Text, column_of, encoded, floats
from chronotope.ingest.requests.outcome import Records
from chronotope.schema.errors import InvalidPayload
from chronotope.schema.names import clean_name
from chronotope.schema.observations import MOST_CODES
from chronotope.schema.times import shortened

ACCEPTED = f"an object of at most {MOST_CODES} codes and how many calls had each"


@dataclass(frozen=True, slots=True)
class Codes:
    """K entries of N records: `count[k]` calls of record `record[k]` had the code `names[code[k]]`."""

    record: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))  # int64[K], rising
    code: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))  # int64[K]
    count: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))  # int64[K]
    names: list[str] = field(default_factory=list)

    def take(self, kept: np.ndarray) -> Codes:
        """Return the entries of the records of a mask bool[N], records renumbered."""
        chosen = kept[self.record]
        return Codes((np.cumsum(kept) - 1)[self.record[chosen]], self.code[chosen], self.count[chosen], self.names)

    def totals(self, records: int) -> np.ndarray:
        """Return the calls of each record that had a code, int64[N]."""
        total = np.zeros(records, np.int64)
        np.add.at(total, self.record, self.count)
        return total


def spread_codes(found: Codes, over: Spread, records: int) -> pa.Array:
    """Return map<text, int64>[M]: the codes of records, each spread over its record's buckets of time."""
    entries = spread_entries(found.record, found.code, found.count, max(len(found.names), 1), over, records)
    names = pa.array(found.names, pa.string()).take(pa.array(entries.key))
    return pa.MapArray.from_arrays(pa.array(entries.offsets), names, pa.array(entries.count))


def codes(records: Records, name: str) -> Codes:
    """Read a field of calls by code; refuses records with too many codes, or counts that are none."""
    column = column_of(records, name)
    if column is None:
        return Codes()
    if pa.types.is_struct(column.type):
        column = _mapped(column)
    if not pa.types.is_map(column.type):
        raise InvalidPayload(f"column {name} is {shortened(str(column.type))}; accepted: a map of text to numbers")
    pairs = column.cast(pa.list_(pa.struct([("key", column.type.key_type), ("value", column.type.item_type)])))
    record = pc.list_parent_indices(pairs).to_numpy(zero_copy_only=False).astype(np.int64)
    said, counts = pc.list_flatten(pairs).flatten()
    text, count = encoded(name, said).mapped(clean_name), floats(name, counts)
    wrong = text.is_in([""]) | ~((count >= 0) & (count < MAX_COUNT) & (count == np.floor(count)))
    _refuse(records, name, record[wrong])
    _refuse(records, name, np.flatnonzero(np.bincount(record, minlength=1) > MOST_CODES))
    return _entries(record, text, count, ~wrong & (count > 0))


def _entries(record: np.ndarray, text: Text, count: np.ndarray, kept: np.ndarray) -> Codes:
    return Codes(record[kept], text.codes[kept], count[kept].astype(np.int64), text.values)


def _mapped(column: pa.Array) -> pa.Array:
    """Return a struct's fields as a map: what one writes who has the same codes in every record."""
    rows = column.to_pylist()
    pairs = [None if row is None else [(key, value) for key, value in row.items() if value is not None] for row in rows]
    try:
        return pa.array(pairs, pa.map_(pa.string(), pa.float64()))
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise InvalidPayload(f"codes are {shortened(str(column.type))}; accepted: a map of text to numbers") from error


def _refuse(records: Records, name: str, rows: np.ndarray) -> None:
    bad = np.zeros(len(records.lines), np.bool_)
    bad[rows] = True
    records.refuse(bad, lambda row: f"{name} is not accepted; use {ACCEPTED}, whole numbers from 0 to 2^53")
