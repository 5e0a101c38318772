"""Span rows to the store's `spans` table and back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from chronotope.ingest.columns.codes import encode
from chronotope.ingest.spans.columns import CONSUMER, SERVER, SPAN, Node, Vocabulary
from chronotope.schema.storage.store import Store

_COLUMNS = (
    "trace_hi, trace_lo, span, parent, start_ns, duration_ns, service, peer, peer_kind, protocol, weight, kind, flags, "
    "batch, rewrite"
)
_MOST_SINCE = 2_000  # batches, of the ten thousand inserts whose tokens the store remembers
_TRACES_A_QUERY = 5_000  # a parameter of a server may have 128 KiB


def sides(rows: np.ndarray) -> np.ndarray:
    """uint8[N]: 1 for a server or consumer span, which may share its id with a client half."""
    side: np.ndarray = ((rows["kind"] == SERVER) | (rows["kind"] == CONSUMER)).astype(np.uint8)
    return side


def span_table(
    rows: np.ndarray, vocabulary: Vocabulary, batch: int, received_s: int, *, writer: str, rewrite: bool
) -> pa.Table:
    """Return SPAN[N] as columns of the table `spans`."""
    nodes, protocols = vocabulary.nodes.values, vocabulary.protocols.values
    whole: dict[str, Any] = {
        name: np.ascontiguousarray(rows[name]) for name in ("trace_hi", "trace_lo", "span", "parent")
    }
    whole["start_ns"] = np.ascontiguousarray(rows["start_ns"])
    whole["duration_ns"] = rows["end_ns"] - rows["start_ns"]
    whole["service"] = encode(rows["service"], lambda code: nodes[code].id)
    whole["peer"] = encode(rows["peer"], lambda code: nodes[code].id)
    whole["peer_kind"] = encode(rows["peer"], lambda code: nodes[code].kind)
    whole["protocol"] = encode(rows["protocol"], lambda code: protocols[code])
    for name in ("weight", "kind", "flags"):
        whole[name] = np.ascontiguousarray(rows[name])
    count = len(rows)
    whole["side"] = sides(rows)
    whole["batch"] = np.full(count, batch, np.uint64)
    whole["writer"] = encode(np.full(count, 0), lambda _: writer)
    whole["rewrite"] = np.full(count, rewrite, np.uint8)
    whole["received_at"] = np.full(count, received_s, np.uint32)
    return pa.table(whole)


def rows_of(table: pa.Table, vocabulary: Vocabulary) -> np.ndarray:
    """Return the rows of a `spans` answer as SPAN[N]; of several versions of a span, the newest."""
    rows = np.zeros(table.num_rows, SPAN)
    for name in ("trace_hi", "trace_lo", "span", "parent", "start_ns", "weight", "kind", "flags"):
        rows[name] = table[name].to_numpy()
    rows["end_ns"] = rows["start_ns"] + table["duration_ns"].to_numpy()
    rows["service"] = _codes(table["service"], vocabulary.service)
    rows["protocol"] = _codes(table["protocol"], vocabulary.protocols.code)
    rows["peer"] = _peers(table, vocabulary)
    newest = np.lexsort((-table["batch"].to_numpy().astype(np.int64), sides(rows), rows["span"], rows["trace_lo"]))
    rows = rows[newest]
    again = np.zeros(len(rows), bool)
    for name in ("trace_lo", "trace_hi", "span"):
        same = rows[name][1:] == rows[name][:-1]
        again[1:] = same if name == "trace_lo" else again[1:] & same
    again[1:] &= sides(rows)[1:] == sides(rows)[:-1]
    return rows[~again]


def _codes(column: pa.ChunkedArray, code: Callable[[str], int]) -> np.ndarray:
    joined = column.combine_chunks()
    known = np.array([code(name) for name in joined.dictionary.to_pylist()] or [0], np.int32)
    codes: np.ndarray = known[joined.indices.to_numpy()]
    return codes


def _peers(table: pa.Table, vocabulary: Vocabulary) -> np.ndarray:
    peer, kind = table["peer"].combine_chunks(), table["peer_kind"].combine_chunks()
    ids, kinds = peer.dictionary.to_pylist(), kind.dictionary.to_pylist()
    both = peer.indices.to_numpy().astype(np.int64) * (len(kinds) or 1) + kind.indices.to_numpy()
    used, index = np.unique(both, return_inverse=True)
    nodes = [Node(ids[pair // len(kinds)], kinds[pair % len(kinds)]) for pair in used.tolist()]
    known = np.array([vocabulary.nodes.code(node) if node.id else -1 for node in nodes] or [0], np.int32)
    codes: np.ndarray = known[index]
    return codes


def last_batches(store: Store) -> dict[str, int]:
    """Return the last batch of each writer that is not long ago: of older ones the store may have forgotten tokens."""
    rows = store.rows(
        """
        SELECT writer, max(batch) AS last FROM spans GROUP BY writer
        HAVING last >= (
            SELECT min(batch) FROM (SELECT DISTINCT batch FROM spans ORDER BY batch DESC LIMIT {most:UInt32})
        )
        """,
        {"most": _MOST_SINCE},
    )
    return {str(writer): int(batch) for writer, batch in rows}


def read_traces(store: Store, vocabulary: Vocabulary, traces: np.ndarray, before_batch: int = 2**63 - 1) -> np.ndarray:
    """Return all spans of traces, named by `trace_lo` uint64[T], that earlier batches wrote."""
    found = [np.empty(0, SPAN)]
    for start in range(0, len(traces), _TRACES_A_QUERY):
        some = traces[start : start + _TRACES_A_QUERY].tolist()
        table = store.query(
            f"SELECT {_COLUMNS} FROM spans WHERE trace_lo IN {{traces:Array(UInt64)}} AND batch < {{before:UInt64}}",
            {"traces": some, "before": before_batch},
        )
        found.append(rows_of(table, vocabulary))
    return np.concatenate(found)


def read_batch(store: Store, vocabulary: Vocabulary, batch: int) -> tuple[np.ndarray, bool]:
    """Return the rows a batch wrote, and whether it rewrote known ones."""
    table = store.query(f"SELECT {_COLUMNS} FROM spans WHERE batch = {{batch:UInt64}}", {"batch": batch})
    rewrite = bool(table.num_rows and table["rewrite"][0].as_py())
    return rows_of(table, vocabulary), rewrite


def read_newest(store: Store, vocabulary: Vocabulary, limit: int) -> np.ndarray:
    """Return the most recently received spans, at least `limit` when there are so many, by whole seconds."""
    since = store.rows(
        "SELECT toUInt32(min(received_at)) FROM (SELECT received_at, sum(count()) OVER (ORDER BY received_at DESC) AS "
        "running FROM spans GROUP BY received_at) WHERE running <= {limit:UInt64}",
        {"limit": limit},
    )
    table = store.query(
        f"SELECT {_COLUMNS} FROM spans WHERE received_at >= toDateTime({{since:UInt32}}, 'UTC')",
        {"since": int(since[0][0])},
    )
    return rows_of(table, vocabulary)


def read_trace_ids(store: Store) -> Iterator[np.ndarray]:
    """Yield the `trace_lo` of all spans in the store, uint64 by the million."""
    total = int(store.rows("SELECT count() FROM spans")[0][0])
    parts = max(1, total // 4_000_000)
    for part in range(parts):
        table = store.query(
            "SELECT DISTINCT trace_lo FROM spans WHERE trace_lo % {parts:UInt32} = {part:UInt32}",
            {"parts": parts, "part": part},
        )
        yield table["trace_lo"].to_numpy()
