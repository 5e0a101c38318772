"""Observations of collectors: from the body of a request to rows that are stored; sums are checked."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import orjson
import pyarrow as pa
import pytest
from flask import Flask

from chronotope.ingest.records.observations import observations_blueprint
from chronotope.schema.storage.migrate import migrate
from chronotope.schema.storage.store import Store

START_S = 1_767_225_600
RECORDS, EDGES = 100_000, 1_000


@pytest.fixture
def store() -> Iterator[Store]:
    with Store.open("chdb://memory") as opened:
        migrate(opened)
        yield opened


def columns() -> dict[str, list[Any]]:
    rows = range(RECORDS)
    return {
        "time": [START_S + row // EDGES * 10 for row in rows],
        "layer": ["ipc"] * RECORDS,
        "source": [f"shop/web-{row % EDGES // 10}" for row in rows],
        "target": [f"shop/api-{row % EDGES}" for row in rows],
        "protocol": ["http"] * RECORDS,
        "calls": [row % 97 for row in rows],
        "errors": [row % 97 // 50 for row in rows],
        "latency_ms_sum": [row % 97 * 4.5 for row in rows],
        "latency_ms_buckets": [[[5, row % 97]] for row in rows],
    }


def arrow_body(given: dict[str, list[Any]]) -> bytes:
    table, stream = pa.table(given), io.BytesIO()
    with pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table)
    return stream.getvalue()


def ndjson_body(given: dict[str, list[Any]]) -> bytes:
    rows = (dict(zip(given, values, strict=True)) for values in zip(*given.values(), strict=True))
    return b"\n".join(map(orjson.dumps, rows))


@pytest.mark.parametrize("form", ["arrow", "ndjson"])
def test_observations_to_stored_edges(benchmark: Any, store: Store, form: str) -> None:
    app = Flask("benchmark")
    app.register_blueprint(observations_blueprint(store, clock=lambda: START_S * 1000, max_body_bytes=1 << 28))
    body = {"arrow": arrow_body, "ndjson": ndjson_body}[form](columns())
    kind = {"arrow": "application/vnd.apache.arrow.stream", "ndjson": "application/x-ndjson"}[form]
    client = app.test_client()
    answer = benchmark.pedantic(
        client.post, ("/api/v1/observations",), {"data": body, "content_type": kind}, rounds=3, warmup_rounds=1
    )
    assert answer.get_json()["accepted"] == RECORDS
    assert store.rows("SELECT sum(calls) FROM edges_1d") == [(4 * sum(row % 97 for row in range(RECORDS)),)]
    benchmark.extra_info["records_per_s"] = round(RECORDS / benchmark.stats.stats.median)
