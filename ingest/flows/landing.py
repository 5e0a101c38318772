"""Checked flow records as rows: cut into buckets of ten seconds, and as columns of the table `flows` and back.

Invariant: `rows_of(table)` gives what `landed` made, attribution aside.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from chronotope.ingest.flows.record import Seen
from chronotope.ingest.flows.rows import FLOW, MEASURES, FlowVocabulary
from chronotope.ingest.records.columns import Text
from chronotope.ingest.records.spreading import BUCKET_MS, Spread, spread
from chronotope.ingest.spans.columns import Interner
from chronotope.schema.errors import TooLarge

MAX_ROWS = 3_000_000  # one insert is one block, see store.py
_OPENED = ("connections", "failed_connections")
STORED = (
    "time", "start", "first_at", "last_at", "client", "server", "client_port", "server_port", "transport", "observer",
    "direction", "own", *MEASURES,
)  # fmt: skip
_PLAIN = ("client_port", "server_port", "transport", "observer", "direction", *MEASURES)


@dataclass(frozen=True, slots=True)
class Landed:
    """M rows, and what only the store keeps of them."""

    rows: np.ndarray  # FLOW[M]
    instance: pa.Array
    host: pa.Array
    active: np.ndarray


def landed(seen: Seen, alive: np.ndarray, vocabulary: FlowVocabulary) -> Landed:
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
    rows = np.zeros(len(places), FLOW)
    rows["bucket"], rows["start"] = over.bucket[places], seen.start_ms[record]
    rows["first"], rows["last"] = over.first_at[places], over.last_at[places]
    rows["client"] = _codes(seen.client, vocabulary.addresses)[record]
    rows["server"] = _codes(seen.server, vocabulary.addresses)[record]
    rows["own"] = _codes(seen.own, vocabulary.names)[record]
    rows["client_port"], rows["server_port"] = seen.ports["client"][record], seen.ports["server"][record]
    for name in ("transport", "observer", "direction"):
        rows[name] = getattr(seen, name)[record]
    for name, column in measures.items():
        rows[name] = column[places]
    return Landed(rows, seen.instance.arrow(record), seen.host.arrow(record), active[places].astype(np.uint32))


def _share(over: Spread, name: str, totals: np.ndarray) -> np.ndarray:
    if name in _OPENED:
        return np.where(over.first, totals[over.record], 0)
    return over.share(totals)


def _codes(said: Text, codes: Interner[str]) -> np.ndarray:
    """Return the code of each record's text; -1 where it is absent or empty."""
    known = np.array([*(codes.code(value) if value else -1 for value in said.values), -1], np.int32)
    found: np.ndarray = known[said.codes]
    return found


def flow_table(flows: Landed, vocabulary: FlowVocabulary, request: np.ndarray, batch: int, received_s: int) -> pa.Table:
    """Return rows as columns of the table `flows`; `request` is uint64[M]."""
    rows, count = flows.rows, len(flows.rows)
    whole: dict[str, Any] = {
        "time": rows["bucket"].astype(np.uint32),
        "start": _instants(rows["start"]),
        "first_at": _instants(rows["first"]),
        "last_at": _instants(rows["last"]),
        "client": _texts(rows["client"], vocabulary.addresses),
        "server": _texts(rows["server"], vocabulary.addresses),
        "own": _texts(rows["own"], vocabulary.names),
        **{name: np.ascontiguousarray(rows[name]) for name in _PLAIN},
        "instance": flows.instance,
        "host": flows.host,
        "active": flows.active,
        "request": request,
        "batch": np.full(count, batch, np.uint64),
        "received_at": np.full(count, received_s, np.uint32),
    }
    return pa.table(whole)


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
    joined = column.unify_dictionaries().combine_chunks()
    joined = joined.chunk(0) if isinstance(joined, pa.ChunkedArray) else joined
    # The engine puts the empty text into every dictionary; it is no value.
    known = np.array([code(text) if text else -1 for text in joined.dictionary.to_pylist()] or [-1], np.int32)
    codes: np.ndarray = known[joined.indices.to_numpy(zero_copy_only=False)]
    return codes
