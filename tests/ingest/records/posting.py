"""Observations posted to the route, and what of them is stored."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
import pyarrow as pa
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from chronotope.ingest.records.observations import observations_blueprint
from chronotope.schema.latency import bucket_of
from chronotope.schema.storage.store import Store

NOW = 1_767_225_600_000  # 2026-01-01T00:00:00Z
NOW_S = NOW // 1000
URL = "/api/v1/observations"
EDGE: dict[str, Any] = {"time": NOW_S, "layer": "ipc", "source": "shop/web", "target": "shop/cart", "calls": 3}


def client_of(store: Store) -> FlaskClient:
    app = Flask("test")
    app.testing = True
    app.register_blueprint(
        observations_blueprint(store, clock=lambda: NOW, max_body_bytes=1 << 20, aliases={"old": "shop/new"})
    )
    return app.test_client()


def post(client: FlaskClient, *records: object, **headers: str) -> TestResponse:
    body = "\n".join(record if isinstance(record, str) else json.dumps(record) for record in records)
    return client.post(URL, data=body, content_type="application/x-ndjson", headers=headers)


def post_arrow(client: FlaskClient, columns: dict[str, Any], compression: str | None = None) -> TestResponse:
    table, stream = pa.table(columns), io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression=compression)
    with pa.ipc.new_stream(stream, table.schema, options=options) as writer:
        writer.write_table(table)
    return client.post(URL, data=stream.getvalue(), content_type="application/vnd.apache.arrow.stream")


def stored(store: Store, *columns: str, where: str = "view < 2") -> list[tuple[Any, ...]]:
    """Return rows of the finest level, by time."""
    sql = f"SELECT {', '.join(columns)} FROM edges_10s FINAL WHERE {where} ORDER BY ALL"
    return [tuple(row) for row in store.rows(sql)]


def bucket(latency_ms: float) -> int:
    return int(bucket_of(np.array([int(latency_ms * 1e6)]))[0])
