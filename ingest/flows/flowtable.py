"""Reading back flows from the store.

Invariant: every answer is of whole rows, in no order that anything may rely on.
"""

from __future__ import annotations

import numpy as np

from chronotope.ingest.flows.landing import STORED, rows_of
from chronotope.ingest.flows.rows import FLOW, FlowVocabulary
from chronotope.schema.store import Store

_COLUMNS = ", ".join(STORED)
_A_QUERY = 5_000  # a parameter of a server may have 128 KiB
_EVER = 2**63 - 1


def read_buckets(
    store: Store, vocabulary: FlowVocabulary, buckets: list[int], *, clients: list[str] | None = None,
    before_batch: int = _EVER,
) -> np.ndarray:  # fmt: skip
    """Return the rows of some buckets (Unix seconds) that earlier batches wrote, of all or of some client addresses."""
    found = [np.empty(0, FLOW)]
    condition = "" if clients is None else " AND client IN {clients:Array(String)}"
    for start in range(0, len(buckets), _A_QUERY):
        table = store.query(
            f"SELECT {_COLUMNS} FROM flows "
            f"WHERE time IN (SELECT toDateTime(arrayJoin({{times:Array(UInt32)}}), 'UTC')) AND batch < {{before:UInt64}}{condition}",
            {"times": buckets[start : start + _A_QUERY], "before": before_batch, "clients": clients or []},
        )
        found.append(rows_of(table, vocabulary))
    return np.concatenate(found)


def read_batch(store: Store, vocabulary: FlowVocabulary, batch: int) -> np.ndarray:
    """Return the rows that a batch wrote."""
    table = store.query(f"SELECT {_COLUMNS} FROM flows WHERE batch = {{batch:UInt64}}", {"batch": batch})
    return rows_of(table, vocabulary)


def stored_buckets(store: Store) -> set[int]:
    """Return the buckets that have rows, Unix seconds."""
    table = store.query("SELECT DISTINCT toUInt32(time) AS bucket FROM flows")
    return set(table.column("bucket").to_pylist())


def last_batch(store: Store) -> int:
    """Return the number of the last batch, 0 when there is none."""
    return int(store.rows("SELECT max(batch) FROM flows")[0][0])


def known_requests(store: Store) -> list[int]:
    """Return the digests of requests, oldest first."""
    rows = store.rows("SELECT request FROM flows WHERE request != 0 GROUP BY request ORDER BY max(batch)")
    return [int(request) for (request,) in rows]
