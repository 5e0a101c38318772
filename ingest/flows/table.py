"""Read flows back from the store.

Invariant: every answer has whole rows, in no order that anything may rely on.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from chronotope.ingest.flows.batch_order import COUNTED
from chronotope.ingest.flows.buckets import STORED, rows_of
from chronotope.ingest.flows.rows import FLOW, FlowVocabulary
from chronotope.schema.storage.store import Store

_COLUMNS = ", ".join(STORED)
_A_QUERY = 5_000  # a parameter of a server may have 128 KiB
ALL_BATCHES = 2**63 - 1  # no batch has a higher number


def read_buckets(
    store: Store, vocabulary: FlowVocabulary, buckets: list[int], *, clients: list[str] | None = None,
    before_batch: int = ALL_BATCHES, position: int | None = None,
) -> np.ndarray:  # fmt: skip
    """Return the rows of some buckets (Unix seconds) that earlier batches wrote.

    Args:
        clients: of these client addresses at least; None for all.
        position: only of batches that count there, see batchorder.py; None for all.
    """
    found = [np.empty(0, FLOW)]
    some = clients is not None and len(clients) <= _A_QUERY
    condition = (" AND client IN {clients:Array(String)}" if some else "") + _counted(position)
    for start in range(0, len(buckets), _A_QUERY):
        table = store.query(
            f"SELECT {_COLUMNS} FROM flows "
            f"WHERE time IN (SELECT toDateTime(arrayJoin({{times:Array(UInt32)}}), 'UTC')) "
            f"AND batch < {{before:UInt64}}{condition}",
            {
                "times": buckets[start : start + _A_QUERY],
                "before": before_batch,
                "clients": clients if some else [],
                "position": position or 0,
            },
        )
        found.append(rows_of(table, vocabulary))
    return np.concatenate(found)


def _counted(position: int | None) -> str:
    return "" if position is None else f" AND {COUNTED}"


def read_batch(store: Store, vocabulary: FlowVocabulary, batch: int) -> np.ndarray:
    """Return the rows that a batch wrote."""
    table = store.query(f"SELECT {_COLUMNS} FROM flows WHERE batch = {{batch:UInt64}}", {"batch": batch})
    return rows_of(table, vocabulary)


def requests_of(store: Store, batch: int) -> list[int]:
    """Return the digests of the requests that a batch brought."""
    rows = store.rows("SELECT DISTINCT request FROM flows WHERE batch = {batch:UInt64}", {"batch": batch})
    return [int(request) for (request,) in rows]


def stored_buckets(store: Store) -> set[int]:
    """Return the buckets that have rows, Unix seconds."""
    table = store.query("SELECT DISTINCT toUInt32(time) AS bucket FROM flows")
    return set(table.column("bucket").to_pylist())


def last_batch(store: Store) -> int:
    """Return the number of the last batch, 0 when there is none."""
    return int(store.rows("SELECT max(batch) FROM flows")[0][0])


def known_requests(store: Store, position: int | None = None) -> list[int]:
    """Return the digests of requests, oldest first. With a position, only those that count there."""
    rows = store.rows(
        f"SELECT request FROM flows WHERE request != 0{_counted(position)} GROUP BY request ORDER BY max(batch)",
        {"position": position or 0},
    )
    return [int(request) for (request,) in rows]


def read_addresses(store: Store, vocabulary: FlowVocabulary) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return all addresses that have flows: their codes, and their flows' first and last start, Unix milliseconds."""
    table = store.query(
        """
        SELECT toString(address) AS address, toUnixTimestamp64Milli(min(start)) AS first,
            toUnixTimestamp64Milli(max(start)) AS last
        FROM flows ARRAY JOIN [client, server] AS address GROUP BY address
        """
    )
    codes = [vocabulary.addresses.code(address) for address in table.column("address").to_pylist()]
    return np.array(codes, np.int64), table.column("first").to_numpy(), table.column("last").to_numpy()


def read_units(
    store: Store, vocabulary: FlowVocabulary, affected: Sequence[tuple[int, int, int]], position: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the buckets (Unix seconds) and client addresses (codes) of flows that new owners may affect.

    Args:
        affected: (address code, begin, end) in Unix milliseconds; it holds for flows that start between.
        position: as for `read_buckets`.
    """
    buckets, clients = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for start in range(0, len(affected), _A_QUERY // 10):
        some = affected[start : start + _A_QUERY // 10]
        table = store.query(
            """
            WITH
                transform(toString(client), {addresses:Array(String)}, {begins:Array(Int64)}, {never:Int64}) AS begin_1,
                transform(toString(client), {addresses:Array(String)}, {ends:Array(Int64)}, {ever:Int64}) AS end_1,
                transform(toString(server), {addresses:Array(String)}, {begins:Array(Int64)}, {never:Int64}) AS begin_2,
                transform(toString(server), {addresses:Array(String)}, {ends:Array(Int64)}, {ever:Int64}) AS end_2,
                toUnixTimestamp64Milli(start) AS at
            SELECT DISTINCT toUInt32(time) AS bucket, toString(client) AS address
            FROM flows
            WHERE (client IN {addresses:Array(String)} OR server IN {addresses:Array(String)})
                AND ((at >= begin_1 AND at < end_1) OR (at >= begin_2 AND at < end_2))
            """
            + _counted(position),
            {
                "addresses": [vocabulary.addresses[code] for code, _, _ in some],
                "begins": [begin for _, begin, _ in some],
                "ends": [end for _, _, end in some],
                "never": 2**62,
                "ever": -(2**62),
                "position": position or 0,
            },
        )
        buckets.append(table.column("bucket").to_numpy().astype(np.int64))
        codes = [vocabulary.addresses.code(address) for address in table.column("address").to_pylist()]
        clients.append(np.array(codes, np.int64))
    return np.unique(np.concatenate(buckets)), np.unique(np.concatenate(clients))
