"""One dependency is one edge: flows of a generic protocol join the protocol that traces or metrics name."""

from __future__ import annotations

from typing import Any

import pytest
from flask.testing import FlaskClient

from chronotope.schema.names import edge_id
from chronotope.schema.observations import observation_table
from chronotope.schema.storage.store import Store
from chronotope.server.api.app import create_app
from chronotope.server.evidence.settings import Settings

T0 = 1_700_006_400
WINDOW = f"from={T0}&to={T0 + 60}"
LATER = T0 + 86_400
ROWS = [
    (T0, "network", "shop/cart", "tcp", 3, 0),
    (T0 + 10, "trace", "shop/cart", "http", 0, 5),
    (T0, "network", "shop/mail", "tcp", 1, 0),
    (T0, "trace", "shop/mail", "http", 0, 1),
    (T0, "ipc", "shop/mail", "grpc", 0, 1),
    (T0, "network", "shop/bank", "tcp", 1, 0),
    (LATER, "network", "shop/cart", "tcp", 3, 0),
]


@pytest.fixture
def client(store: Store) -> FlaskClient:
    columns = list(zip(*ROWS, strict=True))
    names = ("time", "layer", "target", "protocol", "connections", "calls")
    store.insert(
        "observations", observation_table({**dict(zip(names, map(list, columns), strict=True)), "source": ["a"] * 7})
    )
    return create_app(store, Settings(clock=lambda: (LATER + 86_400) * 1000)).test_client()


def edges(client: FlaskClient, query: str) -> dict[tuple[str, str], Any]:
    answer = client.get(f"/api/v1/graph?{query}").get_json()
    return {(edge["target"], edge["protocol"]): edge for edge in answer["edges"]}


def test_flows_and_traces_of_a_pair_are_one_edge_with_the_applications_id(client: FlaskClient) -> None:
    edge = edges(client, WINDOW)["shop/cart", "http"]
    assert edge["layers"] == ["network", "trace"]
    assert edge["id"] == edge_id("a", "shop/cart", "http")
    assert edge["evidence"]["network"]["connections"] == 3
    assert edge["evidence"]["trace"]["calls"] == 5
    assert edge["first_seen"].endswith("00:00:00.000Z")


def test_flows_stay_apart_where_applications_name_two_protocols_or_none(client: FlaskClient) -> None:
    found = edges(client, WINDOW)
    assert set(found) == {
        ("shop/cart", "http"),
        *(("shop/mail", p) for p in ("tcp", "http", "grpc")),
        ("shop/bank", "tcp"),
    }


def test_the_network_alone_speaks_for_itself(client: FlaskClient) -> None:
    assert set(edges(client, f"{WINDOW}&layers=network")) == {
        (f"shop/{name}", "tcp") for name in ("cart", "mail", "bank")
    }


def test_a_window_without_traces_shows_the_same_edge(client: FlaskClient) -> None:
    assert set(edges(client, f"from={LATER}&to={LATER + 60}")) == {("shop/cart", "http")}


def test_a_filter_by_protocol_means_the_joined_one(client: FlaskClient) -> None:
    assert edges(client, f"{WINDOW}&protocol=http")["shop/cart", "http"]["layers"] == ["network", "trace"]
    assert set(edges(client, f"{WINDOW}&protocol=tcp")) == {("shop/mail", "tcp"), ("shop/bank", "tcp")}


def test_diff_timeline_and_series_know_one_edge(client: FlaskClient) -> None:
    diff = client.get(f"/api/v1/diff?before={T0 + 60}&after={LATER + 60}&window=1m&include=unchanged").get_json()
    assert [edge["protocol"] for edge in diff["edges"] if edge["target"] == "shop/cart"] == ["http"]
    timeline = client.get(f"/api/v1/timeline?{WINDOW}&step=1m").get_json()
    assert (timeline["edges"], timeline["calls"]) == ([5], [7])
    series = client.get(f"/api/v1/edges/{edge_id('a', 'shop/cart', 'http')}?{WINDOW}&step=1m").get_json()
    assert series["layers"] == ["network", "trace"]
    assert series["evidence"]["network"]["connections"] == [3]
