"""Edges whose direction nobody saw: how sure they are, in graphs, differences and series alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from tests.ingest.flows.building import T0_S, flow, open_writer, sent

from chronotope.schema.config.config import Config
from chronotope.schema.observations import RESOLVED_ONLY, observation_table
from chronotope.schema.storage.store import Store
from chronotope.server.api.app import create_app
from chronotope.server.evidence.settings import Settings

BY_PORT, BY_ORDER = 0.97, 0.5
LATER_S = 7200


def take(store: Store, *lines: dict[str, Any], identities: Sequence[dict[str, Any]] = ()) -> None:
    """Write flows as a server that has just started."""
    writer, vocabulary = open_writer(store, Config.model_validate({"identities": list(identities)}))
    writer.accept([sent(vocabulary, *lines)])


def seen(target: str, direction: str | None, at_s: float = 0, port: int = 5432, **more: Any) -> dict[str, Any]:
    """A flow from `app` to an address, of which nobody knows more; without a direction, its word is taken."""
    line = flow("10.0.0.1", target, port, at_s=at_s, service="app", direction=direction, **more)
    return {name: value for name, value in line.items() if value is not None}


def observe(store: Store, layer: str, target: str, protocol: str, at_s: int = 0) -> None:
    columns = {"time": [T0_S + at_s], "layer": layer, "source": "app", "target": target, "protocol": protocol}
    store.insert("observations", observation_table({**columns, "calls": [3]}))


def get(store: Store, path: str) -> Any:
    client = create_app(store, Settings(clock=lambda: (T0_S + 86_400) * 1000)).test_client()
    answer = client.get(f"/api/v1/{path}")
    assert answer.status_code == 200, answer.text
    return answer.get_json()


def sureness(store: Store, at_s: int = 0, more: str = "") -> dict[str, tuple[float, bool]]:
    """Target → confidence and whether inferred, of a minute's graph; the series of each edge must say the same."""
    window = f"from={T0_S + at_s}&to={T0_S + at_s + 60}"
    found = {}
    for edge in get(store, f"graph?{window}{more}")["edges"]:
        told = edge["confidence"], edge["inferred"]
        found[edge["target"]] = told
        series = get(store, f"edges/{edge['id']}?{window}&step=1m{more}")
        assert (series["confidence"], series["inferred"]) == told, edge["target"]
    return found


def test_what_no_syn_showed_is_less_sure_and_not_inferred(any_store: Store) -> None:
    said = {"10.0.0.2": "syn", "10.0.0.3": "port", "10.0.0.4": "unknown", "10.0.0.5": None}
    take(any_store, *(seen(target, direction) for target, direction in said.items()))
    assert sureness(any_store) == {
        "10.0.0.2": (1, False),
        "10.0.0.3": (BY_PORT, False),
        "10.0.0.4": (BY_ORDER, False),
        "10.0.0.5": (1, False),
    }
    assert sureness(any_store, more="&view=hops&layers=network")["10.0.0.3"] == (BY_PORT, False)


@pytest.mark.parametrize("order", [("syn", "port"), ("port", "syn")])
def test_one_syn_at_any_time_settles_an_edge_for_all_windows(store: Store, order: tuple[str, str]) -> None:
    """A connection from before the agent's start is guessed; the next one of the same edge shows who calls."""
    first, second = order
    take(store, seen("10.0.0.2", first))
    take(store, seen("10.0.0.2", second, LATER_S), seen("10.0.0.2", "port", LATER_S, port=80))
    assert sureness(store) == {"10.0.0.2": (1, False)}
    later = get(store, f"graph?from={T0_S + LATER_S}&to={T0_S + LATER_S + 60}")["edges"]
    assert {edge["protocol"]: edge["confidence"] for edge in later} == {"postgresql": 1, "http": BY_PORT}


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_either_end_may_know_who_sent_syn(store: Store, order: tuple[int, int]) -> None:
    """The client's agent started late; the server's saw the connection open. What the client's host saw counts."""
    both = {"client_port": 40000, "connections": 0}
    ends = [
        flow("10.0.0.1", "10.0.0.2", 80, service="app", direction="port", bytes_sent=7, **both),
        flow("10.0.0.1", "10.0.0.2", 80, "server", service="web", direction="syn", bytes_sent=8, **both),
    ]
    for number in order:
        take(store, ends[number], identities=[{"address": "10.0.0.1", "service": "app"}])
    (edge,) = get(store, f"graph?from={T0_S}&to={T0_S + 60}")["edges"]
    assert edge["evidence"]["network"]["bytes_sent"] == 7
    assert edge["confidence"] == 1


def test_traces_and_metrics_of_any_time_confirm_a_direction(store: Store) -> None:
    take(store, *(seen(target, "port", at_s) for target in ("10.0.0.2", "10.0.0.3") for at_s in (0, LATER_S)))
    take(store, seen("10.0.0.4", "unknown", port=40000))
    observe(store, "trace", "10.0.0.2", "postgresql")
    observe(store, "ipc", "10.0.0.4", "grpc", LATER_S)
    expected = {"10.0.0.2": (1, False), "10.0.0.3": (BY_PORT, False)}
    assert sureness(store) == {**expected, "10.0.0.4": (1, False)}
    assert sureness(store, LATER_S)["10.0.0.2"] == (1, False)
    assert sureness(store, more="&layers=network") == {
        "10.0.0.2": (BY_PORT, False),
        "10.0.0.3": (BY_PORT, False),
        "10.0.0.4": (BY_ORDER, False),
    }


def test_what_was_resolved_is_as_sure_as_its_resolution(store: Store) -> None:
    take(store, seen("10.0.0.2", "port", LATER_S))
    resolved = {
        "time": [T0_S], "layer": "network", "source": "app", "target": "10.0.0.2", "protocol": "postgresql",
        "via": "lb", "view": RESOLVED_ONLY, "reporter": 3, "connections": [1], "bytes_sent": [1],
    }  # fmt: skip
    store.insert("observations", observation_table(resolved))
    assert sureness(store) == {"10.0.0.2": (1, False)}
    assert sureness(store, LATER_S) == {"10.0.0.2": (BY_PORT, False)}


def test_a_difference_says_it_of_the_last_window_that_has_the_edge(any_store: Store) -> None:
    take(any_store, seen("10.0.0.2", "port"), seen("10.0.0.3", "unknown", LATER_S), seen("10.0.0.4", "syn"))
    asked = f"before={T0_S + 60}&after={T0_S + LATER_S + 60}&window=1m&include=unchanged"
    found = {
        edge["target"]: (edge["status"], edge["confidence"], edge["inferred"])
        for edge in get(any_store, f"diff?{asked}")["edges"]
    }
    assert found["10.0.0.2"] == ("removed", BY_PORT, False)
    assert found["10.0.0.3"] == ("added", BY_ORDER, False)
    assert found["10.0.0.4"][1:] == (1, False)


def test_a_group_is_as_sure_as_its_surest_edge(store: Store) -> None:
    for n, direction in ((1, "unknown"), (2, "port"), (3, "unknown")):
        end = {"address": f"10.0.1.{n}", "service": f"t{n}", "namespace": "two" if n < 3 else "three"}
        line = flow(f"10.0.0.{n}", f"10.0.1.{n}", 80, service=f"s{n}", namespace="one", direction=direction)
        take(store, line, identities=[end])
    edges = get(store, f"graph?from={T0_S}&to={T0_S + 60}&group_by=namespace")["edges"]
    assert {(edge["source"], edge["target"]): (edge["confidence"], edge["inferred"]) for edge in edges} == {
        ("one", "two"): (BY_PORT, False),
        ("one", "three"): (BY_ORDER, False),
    }


def test_an_answers_tag_changes_when_a_direction_becomes_known(store: Store) -> None:
    take(store, seen("10.0.0.2", "port"))
    client = create_app(store, Settings(clock=lambda: (T0_S + 86_400) * 1000)).test_client()
    path = f"/api/v1/graph?from={T0_S}&to={T0_S + 60}"
    before = client.get(path).headers["ETag"]
    assert client.get(path).headers["ETag"] == before
    take(store, seen("10.0.0.2", "syn", LATER_S))
    assert client.get(path).headers["ETag"] != before
