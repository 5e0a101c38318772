"""The store: observations through all levels, and what an edge's minute costs on disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from chronotope.schema.observations import observation_table
from chronotope.schema.storage.migrate import migrate
from chronotope.schema.storage.store import Store

START_S = 1_767_139_200
EDGES = 1_000
MEDIAN_US = 20_000.0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(f"chdb://{tmp_path}/store") as opened:
        migrate(opened)
        yield opened


def names(edges: np.ndarray, offset: int = 0) -> pa.Array:
    """Service names of the ends of edges: five edges from each service, to different ones."""
    services = EDGES // 5
    service = edges // 5 if not offset else (edges // 5 + 1 + edges % 5 * 37) % services
    values = pa.array([f"shop/service-{number:05}" for number in range(services)])
    return pa.DictionaryArray.from_arrays(pa.array(service.astype(np.int32)), values)


def histograms(edges: np.ndarray, calls: np.ndarray, random: np.random.Generator) -> pa.Array:
    """Log-normal latencies, each edge around a median of its own, in the buckets of latency.py."""
    median = np.log(MEDIAN_US * (1 + edges % 17)) / np.log(1.1)
    bucket = np.clip(np.repeat(median, calls) + random.normal(0, 5, int(calls.sum())), 0, 255).astype(np.int64)
    key, counts = np.unique(np.repeat(np.arange(len(calls)), calls) * 256 + bucket, return_counts=True)
    offsets = np.searchsorted(key, np.arange(len(calls) + 1) * 256).astype(np.int32)
    return pa.MapArray.from_arrays(pa.array(offsets), pa.array((key % 256).astype(np.uint8)), pa.array(counts))


def observations(time_s: np.ndarray, edges: np.ndarray, *, latency: bool, seed: int) -> pa.Table:
    """Return N rows of trace evidence: about 30 calls each, a few errors."""
    random = np.random.default_rng(seed)
    calls = random.poisson(30, len(edges)) + 1
    columns: dict[str, Any] = {
        "time": time_s,
        "first_at": time_s * 1000 + 17,
        "last_at": time_s * 1000 + 9_900,
        "layer": "trace",
        "source": names(edges),
        "target": names(edges, 1),
        "protocol": "http",
        "reporter": np.full(len(edges), 2),
        "calls": calls,
        "errors": random.binomial(calls, 0.01),
    }
    if latency:
        columns["latency"] = histograms(edges, calls, random)
        columns["latency_count"] = calls
        columns["latency_us_sum"] = (calls * MEDIAN_US * random.uniform(0.9, 1.3, len(calls))).astype(np.int64)
    return observation_table(columns)


@pytest.mark.parametrize("latency", [False, True], ids=["counts", "latency"])
@pytest.mark.sizes("rows", [1_000, 10_000], [1_000, 10_000, 100_000, 500_000])
def test_insert_through_all_levels(benchmark: Any, store: Store, rows: int, latency: bool) -> None:
    """One insert of N observations, each of an edge and ten seconds of its own; all levels and lifetimes follow."""
    number = np.arange(rows)
    table = observations(START_S + number // EDGES * 10, number % EDGES, latency=latency, seed=3)
    token = 0

    def setup() -> tuple[tuple[Any, ...], dict[str, Any]]:
        nonlocal token
        token += 1
        return ("observations", table, f"round-{token}"), {}

    benchmark.pedantic(store.insert, setup=setup, rounds=4, warmup_rounds=1)
    calls = sum(table["calls"].to_pylist()) * token
    for level in ("edges_10s", "edges_1m", "edges_1h", "edges_1d", "edge_hours"):
        assert store.rows(f"SELECT sum(calls) FROM {level}") == [(calls,)]
    expected = calls if latency else 0
    assert store.rows("SELECT sum(arraySum(mapValues(latency))) FROM latency_1d") == [(expected,)]
    benchmark.extra_info["rows_per_s"] = round(rows / benchmark.stats.stats.median)


@pytest.mark.sizes("minutes", [20], [240])
def test_disk_bytes_of_an_edge_and_minute(benchmark: Any, store: Store, minutes: int) -> None:
    """What merged parts of the minute level take; 60 % of 1,000 edges are active in a minute."""
    random = np.random.default_rng(5)
    tens = np.arange(minutes * 6)
    minute, edge = np.nonzero(random.random((minutes, EDGES)) < 0.6)
    slices = np.repeat(tens.reshape(minutes, 6)[minute].ravel(), 1)
    time_s, edges = START_S + slices * 10, np.repeat(edge, 6)
    order = np.lexsort((edges, time_s))
    for part, rows in enumerate(np.array_split(order, max(1, len(order) // 100_000))):
        store.insert("observations", observations(time_s[rows], edges[rows], latency=True, seed=part), f"part-{part}")

    def merge() -> None:
        for table in ("edges_1m", "latency_1m", "edges_10s", "latency_10s"):
            store.command(f"OPTIMIZE TABLE {table} FINAL")

    benchmark.pedantic(merge, rounds=1)
    cost = {
        table: (rows, size / rows)
        for table, rows, size in store.rows(
            "SELECT table, sum(rows), sum(bytes_on_disk) FROM system.parts "
            "WHERE active AND database = currentDatabase() GROUP BY table"
        )
        if rows
    }
    assert cost["edges_1m"][0] == cost["latency_1m"][0] == len(edge)
    assert cost["edges_10s"][0] == len(edges)
    counts, latency = cost["edges_1m"][1], cost["latency_1m"][1]
    benchmark.extra_info["counts_bytes"] = round(counts, 1)
    benchmark.extra_info["counts_and_latency_bytes"] = round(counts + latency, 1)
    benchmark.extra_info["ten_seconds_counts_bytes"] = round(cost["edges_10s"][1], 1)
    benchmark.extra_info["ten_seconds_latency_bytes"] = round(cost["latency_10s"][1], 1)
