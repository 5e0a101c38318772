"""Read from the store what detection needs: evidence by bucket, arrival times, names of edges.

Invariant: evidence is that of the resolved view, without what corrections took back. What both ends report counts once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from chronotope.schema.observations import BUCKET_S, HOPS_ONLY, LAYERS
from chronotope.schema.storage.store import Store
from chronotope.server.detection.detector import Evidence
from chronotope.server.events.event import EventEdge, edge_of
from chronotope.server.evidence.statement import during

WIDTHS: Mapping[str, int] = {"10s": 1, "1m": 6, "1h": 360}
_READING_S = 60  # what expires so soon may be gone when it is read

# An end that reports alone may be either; where both do, the larger count is the more complete one.
_EVIDENCE = """
SELECT toUnixTimestamp(time) AS second, cityHash64(source, target, protocol) AS edge,
       toInt8(indexOf({layers:Array(String)}, toString(layer)) - 1) AS layer_code,
       greatest(sumIf(calls, reporter != 2), sumIf(calls, reporter = 2)) AS called,
       greatest(sumIf(connections, reporter != 2), sumIf(connections, reporter = 2)) AS connected,
       (sum(bytes_sent) > 0 OR sum(bytes_received) > 0) AS carried,
       toFloat64(greatest(if(layer = 'network', connected, called), toInt64(carried OR connected > 0))) AS events
FROM edges_%s
WHERE %s AND view != {hops:UInt8}
GROUP BY time, edge, layer
HAVING events > 0
"""
_ARRIVALS = """
SELECT toUnixTimestamp(time) AS second, max(toUnixTimestamp64Milli(arrived_at)) AS arrived_ms
FROM bucket_arrivals
WHERE toUnixTimestamp64Milli(arrived_at) > {since:Int64}
GROUP BY time
ORDER BY second
"""
_NAMES = """
SELECT DISTINCT cityHash64(source, target, protocol) AS edge, toString(source) AS caller, toString(target) AS callee,
       toString(protocol) AS over
FROM edge_lifetimes
WHERE edge IN {numbers:Array(UInt64)}
"""


class Arrivals(NamedTuple):
    """Buckets (Unix time / 10 s, rising), and when evidence of each last arrived (Unix milliseconds)."""

    bucket: np.ndarray
    arrived_ms: np.ndarray


def read_evidence(store: Store, start: int, end: int, level: str = "10s") -> Evidence:
    """Return the evidence of the buckets [start, end). A row of a coarse level stands at the start of its bucket."""
    parameters: dict[str, Any] = {"layers": list(LAYERS), "hops": HOPS_ONLY}
    interval = during(0, start * BUCKET_S, end * BUCKET_S, parameters)
    table = store.query(_EVIDENCE % (level, interval), parameters)
    return Evidence(
        table.column("second").to_numpy().astype(np.int64) // BUCKET_S,
        table.column("layer_code").to_numpy(),
        table.column("edge").to_numpy().astype(np.uint64),
        table.column("events").to_numpy(),
    )


def read_arrivals(store: Store, since_ms: int) -> Arrivals:
    """Return the buckets for which evidence arrived after an instant of the store's clock."""
    table = store.query(_ARRIVALS, {"since": since_ms})
    buckets = table.column("second").to_numpy().astype(np.int64) // BUCKET_S
    return Arrivals(buckets, table.column("arrived_ms").to_numpy().astype(np.int64))


def read_names(store: Store, numbers: Iterable[int]) -> dict[int, EventEdge]:
    """Return the edges of some numbers."""
    asked = sorted(set(numbers))
    if not asked:
        return {}
    rows = store.query(_NAMES, {"numbers": asked}).to_pylist()
    return {row["edge"]: edge_of(row["caller"], row["callee"], row["over"]) for row in rows}


def read_latest(store: Store, horizon: int) -> int:
    """Return the last bucket before a horizon that has evidence, 0 when there is none."""
    sql = "SELECT toUnixTimestamp(max(time)) FROM bucket_arrivals WHERE toUnixTimestamp(time) < {horizon:Int64}"
    return int(store.rows(sql, {"horizon": horizon * BUCKET_S})[0][0]) // BUCKET_S


def whole_from(kept_s: Mapping[str, int | None], now_ms: int) -> dict[str, int]:
    """Return level → the first bucket of which nothing has expired. Before it, missing evidence proves nothing.

    Args:
        kept_s: level → for how long the store keeps it; None or absent: for ever.
        now_ms: Unix milliseconds.
    """
    kept = {level: kept_s.get(level) for level in WIDTHS}
    begin_s = {level: 0 if age is None else max(now_ms // 1000 - age + _READING_S, 0) for level, age in kept.items()}
    return {level: -(-second // BUCKET_S) for level, second in begin_s.items()}


def read_size(store: Store) -> int:
    """Return how many rows the finest level has."""
    return int(store.rows("SELECT count() FROM edges_10s")[0][0])


def first_buckets(store: Store) -> dict[str, int]:
    """Return level → its first bucket in the store. Empty levels are left out."""
    found = {}
    for level in WIDTHS:
        count, first = store.rows(f"SELECT count(), toUnixTimestamp(min(time)) FROM edges_{level}")[0]
        if count:
            found[level] = int(first) // BUCKET_S
    return found
