from __future__ import annotations

from typing import Any

import pytest
from flask import Flask

from chronotope.schema.observations import observation_table
from chronotope.schema.storage.store import Store
from chronotope.server.api.app import create_app
from chronotope.server.evidence.settings import Settings

T0 = 1_700_006_400
WINDOW = f"from={T0}&to={T0 + 60}"


@pytest.fixture
def own(store: Store) -> tuple[Store, Flask]:
    return store, create_app(store, Settings(clock=lambda: (T0 + 86_400) * 1000))


def write(store: Store, time: int, calls: int, **more: Any) -> None:
    columns = {"time": [time], "layer": "trace", "source": "a", "target": "b", "calls": [calls], **more}
    store.insert("observations", observation_table(columns))


def test_late_data_changes_the_tag_of_a_past_window_and_todays_traffic_does_not(own: tuple[Store, Flask]) -> None:
    store, app = own
    client = app.test_client()
    write(store, T0, 5)
    first = client.get(f"/api/v1/graph?{WINDOW}").headers["ETag"]
    write(store, T0 + 3600, 5)
    assert client.get(f"/api/v1/graph?{WINDOW}").headers["ETag"] == first
    write(store, T0 + 10, 1)
    assert client.get(f"/api/v1/graph?{WINDOW}").headers["ETag"] != first


def test_what_corrections_cancel_is_not_there(own: tuple[Store, Flask]) -> None:
    store, app = own
    write(store, T0, 5, via="x")
    write(store, T0, -5, via="x")
    graph = app.test_client().get(f"/api/v1/graph?{WINDOW}").json
    assert (graph["nodes"], graph["edges"]) == ([], [])
    write(store, T0 + 20, 5, via="x")
    write(store, T0 + 20, -5, via="x")
    write(store, T0 + 20, 5)
    assert app.test_client().get(f"/api/v1/graph?{WINDOW}").json["edges"][0]["via"] == []


def test_a_failed_connection_alone_is_no_edge(own: tuple[Store, Flask]) -> None:
    store, app = own
    columns = {"time": [T0], "layer": "network", "source": "a", "target": "b", "failed_connections": [3]}
    store.insert("observations", observation_table(columns))
    assert app.test_client().get(f"/api/v1/graph?{WINDOW}").json["edges"] == []


def test_attributes_are_those_that_held_then(own: tuple[Store, Flask]) -> None:
    store, app = own
    write(store, T0, 1, source_attributes=[{"version": "1"}])
    write(store, T0 + 600, 1, source_attributes=[{"version": "2"}])
    client = app.test_client()

    def version(at: int) -> str:
        nodes = client.get(f"/api/v1/graph?from={at}&to={at + 60}").json["nodes"]
        return str(nodes[0]["attributes"]["version"])

    assert (version(T0), version(T0 + 600)) == ("1", "2")
