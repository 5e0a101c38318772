"""A small store with a known history, and the application over it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient

from chronotope.schema.observations import observation_table
from chronotope.schema.storage.migrate import migrate
from chronotope.schema.storage.store import Store
from chronotope.server.api.app import create_app
from chronotope.server.evidence.settings import Settings

T0 = 1_700_006_400  # a day's start
NOW_MS = (T0 + 30 * 86_400) * 1000

FRONT_CART = "2a999666ea1203c2"


def write_history(store: Store) -> None:
    """Write what the tests of this folder ask for.

    In [T0, T0 + 20): front calls cart (trace, seen by both ends; network), once through envoy; cart calls the database
    of a hostile name (ipc, both ends report); a queue in between as hops, resolved to one edge.
    """
    rows = [
        (0, "trace", "shop/front", "shop/cart", "grpc", 0, 1, "", 5, 1, 0, 0, 5000, 5, {50: 5}),
        (10, "trace", "shop/front", "shop/cart", "grpc", 0, 2, "edge/envoy", 7, 0, 0, 0, 14000, 7, {60: 7}),
        (0, "network", "shop/front", "shop/cart", "grpc", 0, 1, "", 0, 0, 3, 100, 0, 0, {}),
        (0, "ipc", "shop/cart", HOSTILE, "postgresql", 0, 1, "", 4, 0, 0, 0, 4000, 4, {40: 4}),
        (0, "ipc", "shop/cart", HOSTILE, "postgresql", 0, 2, "", 9, 9, 0, 0, 9000, 9, {90: 9}),
        (0, "ipc", "ops/probe", "shop/cart", "http", 0, 2, "", 2, 0, 0, 0, 0, 0, {}),
        (10, "trace", "shop/cart", "kafka/orders", "kafka", 2, 1, "", 6, 0, 0, 0, 0, 0, {}),
        (10, "trace", "kafka/orders", "ship/post", "kafka", 2, 2, "", 6, 0, 0, 0, 0, 0, {}),
        (10, "trace", "shop/cart", "ship/post", "kafka", 1, 2, "kafka/orders", 6, 0, 0, 0, 0, 0, {}),
    ]
    kinds = {HOSTILE: "database", "kafka/orders": "messaging", "ops/probe": "unknown"}
    names = (
        "time", "layer", "source", "target", "protocol", "view", "reporter", "via", "calls", "errors", "connections",
        "bytes_sent", "latency_us_sum", "latency_count", "latency",
    )  # fmt: skip
    columns = {name: [row[at] for row in rows] for at, name in enumerate(names)}
    columns["time"] = [T0 + row[0] for row in rows]
    columns["source_kind"] = [kinds.get(str(row[2]), "service") for row in rows]
    columns["target_kind"] = [kinds.get(str(row[3]), "service") for row in rows]
    columns["source_attributes"] = [{"team": "checkout"} if str(row[2]).startswith("shop/") else {} for row in rows]
    store.insert("observations", observation_table(columns))


HOSTILE = 'db"<&>`\\%/x y'


@pytest.fixture(scope="module")
def history() -> Iterator[Store]:
    """A store with a known history; read only."""
    with Store.open("chdb://memory") as store:
        migrate(store)
        write_history(store)
        yield store


@pytest.fixture(scope="module")
def app(history: Store) -> Flask:
    """The application over the known history, a month later."""
    return create_app(history, Settings(clock=lambda: NOW_MS))


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A client of the application."""
    return app.test_client()
