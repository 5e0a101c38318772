"""Checked flow records as rows in buckets of ten seconds, and as columns of the table `flows` and back.

Invariant: `rows_of(table)` gives what `flow_rows` made, without the attribution.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from chronotope.ingest.columns.codes import Interner
from chronotope.ingest.flows.record import ParsedFlows
from chronotope.ingest.flows.rows import FLOW, MEASURES, FlowVocabulary
from chronotope.ingest.records.spreading import BUCKET_MS, Spread, spread
from chronotope.ingest.requests.fields import Text
from chronotope.schema.errors import TooLarge

MAX_ROWS = 3_000_000  # one insert is one block, see store.py
_OPENED = ("connections", "failed_connections")
STORED = (
    "time", "start", "first_at", "last_at", "client", "server", "client_port", "server_port", "transport", "observer",
    "direction", "own", *MEASURES,
)  # fmt: skip
_BLOCK = 4096  # rows that stay in the cache while they are taken apart
_PLAIN = ("client_port", "server_port", "transport", "observer", "direction", *MEASURES)


_SAID = ("bucket", "start", "first", "last", "client", "server", "own", *_PLAIN)


@dataclass(frozen=True, slots=True)
class FlowRows:
    """M rows, and their fields that only the store keeps."""

    rows: np.ndarray  # FLOW[M]
    instance: pa.Array
    host: pa.Array
    active: np.ndarray


def flow_rows(seen: ParsedFlows, alive: np.ndarray, vocabulary: FlowVocabulary) -> FlowRows:
    """Return the rows of the records that are alive, bool[N].

    Raises:
        TooLarge: the records cover too many buckets for one insert.
    """
    kept = np.flatnonzero(alive)
    length = np.maximum(seen.end_ms[kept] - seen.start_ms[kept], 1)
    if int((length // BUCKET_MS + 2).sum()) > MAX_ROWS:
        raise TooLarge(f"the records cover more than {MAX_ROWS} buckets of 10 s: send smaller batches")
    over = spread(seen.start_ms[kept], length)
    measures = {name: _share(over, name, seen.counts[name][kept]) for name in MEASURES}
    active = seen.counts["active"][kept][over.record]
    full = over.first | (active > 0) | np.any([column != 0 for column in measures.values()], axis=0)
    places = np.flatnonzero(full)
    record = kept[over.record[places]]
    columns = {
        "bucket": over.bucket[places],
        "start": seen.start_ms[record],
        "first": over.first_at[places],
        "last": over.last_at[places],
        "client": _codes(seen.client, vocabulary.addresses)[record],
        "server": _codes(seen.server, vocabulary.addresses)[record],
        "own": _codes(seen.own, vocabulary.names)[record],
        "client_port": seen.ports["client"][record],
        "server_port": seen.ports["server"][record],
        **{name: getattr(seen, name)[record] for name in ("transport", "observer", "direction")},
        **{name: column[places] for name, column in measures.items()},
    }
    active_there = active[places].astype(np.uint32)
    return FlowRows(_rows(columns), seen.instance.arrow(record), seen.host.arrow(record), active_there)


def _rows(columns: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return rows FLOW[M] made of these fields, block by block, see `_columns`."""
    rows = np.zeros(len(columns["bucket"]), FLOW)
    for start in range(0, len(rows), _BLOCK):
        some = rows[start : start + _BLOCK]
        for name, column in columns.items():
            some[name] = column[start : start + _BLOCK]
    return rows


def _share(over: Spread, name: str, totals: np.ndarray) -> np.ndarray:
    if name in _OPENED:
        return np.where(over.first, totals[over.record], 0)
    return over.share(totals)


def _codes(said: Text, codes: Interner[str]) -> np.ndarray:
    """Return the code of each record's text; -1 where it is absent or empty."""
    known = np.array([*(codes.code(value) if value else -1 for value in said.values), -1], np.int32)
    found: np.ndarray = known[said.codes]
    return found


def flow_table(
    rows: np.ndarray, parts: Sequence[tuple[FlowRows, int]], vocabulary: FlowVocabulary, batch: int, received_s: int
) -> pa.Table:
    """Return rows as columns of the table `flows`.

    Args:
        rows: FLOW[M], those of all parts, one after another.
        parts: what requests brought, and the digest of each request.
    """
    lengths = [len(part.rows) for part, _ in parts]
    plain = _columns(rows)
    whole: dict[str, Any] = {
        "time": plain["bucket"].astype(np.uint32),
        "start": _instants(plain["start"]),
        "first_at": _instants(plain["first"]),
        "last_at": _instants(plain["last"]),
        "client": _texts(plain["client"], vocabulary.addresses),
        "server": _texts(plain["server"], vocabulary.addresses),
        "own": _texts(plain["own"], vocabulary.names),
        **{name: _narrow(plain[name]) for name in _PLAIN},
        "instance": _joined(pa.chunked_array([part.instance for part, _ in parts])),
        "host": _joined(pa.chunked_array([part.host for part, _ in parts])),
        "active": _narrow(np.concatenate([part.active for part, _ in parts])),
        "request": _narrow(np.repeat(np.array([request for _, request in parts], np.uint64), lengths)),
        "batch": np.full(len(rows), batch, np.uint64),
        "received_at": np.full(len(rows), received_s, np.uint32),
    }
    return pa.table(whole)


def _columns(rows: np.ndarray) -> dict[str, np.ndarray]:
    """Return each field of FLOW[M] as an array, block by block, so that a row comes into the CPU's cache once."""
    columns = {name: np.empty(len(rows), FLOW[name]) for name in _SAID}
    for start in range(0, len(rows), _BLOCK):
        some = rows[start : start + _BLOCK]
        for name, column in columns.items():
            column[start : start + len(some)] = some[name]
    return columns


def _narrow(counts: np.ndarray) -> np.ndarray:
    """Return counts in the smallest type that holds them, because the table is copied several times on its way."""
    return counts.astype(np.min_scalar_type(counts.max(initial=0)), copy=False)


def _joined(texts: pa.ChunkedArray) -> pa.DictionaryArray:
    joined = texts.unify_dictionaries().combine_chunks()
    return joined.chunk(0) if isinstance(joined, pa.ChunkedArray) else joined


def rows_of(table: pa.Table, vocabulary: FlowVocabulary) -> np.ndarray:
    """Return the rows of an answer with the columns `STORED` as FLOW[M]."""
    rows = np.zeros(table.num_rows, FLOW)
    for name, field in (("time", "bucket"), ("start", "start"), ("first_at", "first"), ("last_at", "last")):
        column = table.column(name)
        if not pa.types.is_integer(column.type):
            column = column.cast(pa.timestamp("s" if name == "time" else "ms", tz="UTC")).cast(pa.int64())
        rows[field] = column.to_numpy()
    for name in _PLAIN:
        rows[name] = table.column(name).to_numpy()
    for name in ("client", "server"):
        rows[name] = _read(table.column(name), vocabulary.addresses.code)
    rows["own"] = _read(table.column("own"), vocabulary.names.code)
    return rows


def _instants(values: np.ndarray) -> pa.Array:
    return pa.array(np.ascontiguousarray(values)).cast(pa.timestamp("ms", tz="UTC"))


def _texts(codes: np.ndarray, names: Interner[str]) -> pa.DictionaryArray:
    """Return texts, dictionary-encoded with only the names in use; a negative code is the empty text."""
    used = np.zeros(len(names) + 1, np.bool_)
    used[codes] = True  # -1 marks the last place
    places = np.cumsum(used, dtype=np.int32) - 1
    values = [*names.values[: len(used) - 1], ""]
    texts = [values[code] for code in np.flatnonzero(used).tolist()]
    return pa.DictionaryArray.from_arrays(pa.array(places[codes]), pa.array(texts, pa.string()))


def _read(column: pa.ChunkedArray, code: Callable[[str], int]) -> np.ndarray:
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    joined = _joined(column)
    # The engine puts the empty text into every dictionary. It is no value.
    known = np.array([code(text) if text else -1 for text in joined.dictionary.to_pylist()] or [-1], np.int32)
    codes: np.ndarray = known[joined.indices.to_numpy(zero_copy_only=False)]
    return codes
