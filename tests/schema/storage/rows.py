"""Rows for the table `observations`, and what every table behind it must hold of them."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa

from chronotope.schema.observations import MEASURES, observation_table
from chronotope.schema.storage.store import Store

START = 1_700_000_000 // 86400 * 86400
COUNTS = {"edges_10s": 10, "edges_1m": 60, "edges_1h": 3600, "edges_1d": 86400, "edge_hours": 3600}
LATENCIES = {"latency_10s": 10, "latency_1m": 60, "latency_1h": 3600, "latency_1d": 86400}
DESCRIBED = ("edge_lifetimes", "services", "service_attributes")
HOSTILE = [
    "'; DROP TABLE edges_10s; --",
    "\\",
    "\\'",
    '"`',
    "\\N",
    "a\tb\nc",
    "{x:String}",
    "%s",
    "ü 日本 🦆",
    "",
    "x" * 9000,
]


def some_rows(sign: int = 1, rows: int = 600) -> pa.Table:
    """Return rows of 5 edges over 3 days, each measure another number, by a fixed seed."""
    random = np.random.default_rng(7)
    edge = random.integers(0, 5, rows)
    measures = {name: sign * random.integers(0, 100, rows) for name in MEASURES}
    columns: dict[str, Any] = {
        "time": START + random.integers(0, 3 * 8640, rows) * 10,
        "layer": np.array(["trace", "ipc"])[edge % 2],
        "source": np.array(["a", "ü", "a", "c", "d"])[edge],
        "target": np.array(["b", "b", "日本", "b", "d"])[edge],
        "reporter": edge % 3,
        "latency": [[(int(one % 256), sign * 2), (255, sign)] for one in random.integers(0, 200, rows)],
        "source_attributes": [{"team": "x"}] * rows,
    }
    return observation_table({**columns, **measures, "calls": sign * (1 + measures["calls"] * sign)})


def many_rows() -> pa.Table:
    """Return enough rows for a kill to find the insert at work."""
    return pa.concat_tables([some_rows(rows=60_000)] * 3)


def totals(store: Store) -> dict[str, Any]:
    """Return what is in every table behind the table `observations`."""
    sums = ", ".join(f"sum({name})" for name in MEASURES)
    found: dict[str, Any] = {table: store.rows(f"SELECT {sums} FROM {table}")[0] for table in COUNTS}
    for table in LATENCIES:
        found[table] = store.rows(f"SELECT sumMap(latency) FROM {table}")[0][0]
    for table in DESCRIBED:
        found[table] = store.rows(f"SELECT * FROM {table} FINAL ORDER BY ALL")
    return found


def expected_totals(table: pa.Table) -> tuple[dict[str, int], Counter[int]]:
    latency: Counter[int] = Counter()
    for pairs in table["latency"].to_pylist():
        for bucket, count in pairs:
            latency[bucket] += count
    return {name: sum(table[name].to_pylist()) for name in MEASURES}, latency


def assert_holds_once(store: Store, table: pa.Table) -> None:
    found = totals(store)
    measures, latency = expected_totals(table)
    for name in COUNTS:
        assert found[name] == tuple(measures.values()), name
    for name in LATENCIES:
        assert found[name] == dict(latency), name
