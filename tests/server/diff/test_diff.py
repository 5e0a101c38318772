"""What changed between two windows of a small store."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from flask.testing import FlaskClient
from tests.server.traffic import AFTER, ASKED, BEFORE, T0, client_of, rows_of, statuses

from chronotope.schema.storage.migrate import migrate
from chronotope.schema.storage.store import Store


@pytest.fixture(scope="module")
def client() -> Iterator[FlaskClient]:
    """A day apart: an edge that stays, one more errors, one twice as many calls, one new, one gone, one slower."""
    with Store.open("chdb://memory") as store:
        migrate(store)
        yield client_of(
            store,
            rows_of("trace", "shop/a", "shop/stays", BEFORE, 100),
            rows_of("trace", "shop/a", "shop/stays", AFTER, 100),
            rows_of("trace", "shop/a", "shop/errs", BEFORE, 100, errors=0.01),
            rows_of("trace", "shop/a", "shop/errs", AFTER, 100, errors=0.2),
            rows_of("trace", "shop/a", "shop/grows", BEFORE, 100),
            rows_of("trace", "shop/a", "shop/grows", AFTER, 200),
            rows_of("trace", "ops/b", "shop/slower", BEFORE, 100, latency=60),
            rows_of("trace", "ops/b", "shop/slower", AFTER, 100, latency=70),
            rows_of("trace", "shop/a", "ops/gone", BEFORE, 5),
            rows_of("trace", "shop/a", "ops/new", AFTER, 5),
        )


def test_edges_are_added_removed_changed_and_the_rest_is_left_out(client: FlaskClient) -> None:
    answer = client.get(ASKED).json
    assert statuses(answer) == {
        ("shop/a", "ops/gone"): "removed",
        ("shop/a", "ops/new"): "added",
        ("shop/a", "shop/errs"): "changed",
        ("shop/a", "shop/grows"): "changed",
    }
    summary = {name: answer["summary"][name] for name in ("added", "removed", "changed", "unchanged", "uncovered")}
    assert summary == {"added": 1, "removed": 1, "changed": 2, "unchanged": 2, "uncovered": 0}
    assert answer["coverage"] == []
    assert answer["before"]["seconds"] == answer["after"]["seconds"] == 300
    assert answer["before"]["from"] == "2023-11-15T00:00:00.000Z"


def test_change_says_layer_measure_and_how_sure_it_is(client: FlaskClient) -> None:
    edges = {edge["target"]: edge for edge in client.get(ASKED).json["edges"]}
    (change,) = edges["shop/errs"]["changes"]
    assert (change["layer"], change["measure"]) == ("trace", "error_ratio")
    assert change["before"] == pytest.approx(0.01, abs=0.01)
    assert change["after"] == pytest.approx(0.2, abs=0.03)
    assert change["p_value"] < 1e-6
    (change,) = edges["shop/grows"]["changes"]
    assert change["measure"] == "calls_per_second"
    assert change["effect"] == pytest.approx(2, rel=0.1)
    assert edges["shop/grows"]["before"]["trace"]["calls"] * 2 == pytest.approx(
        edges["shop/grows"]["after"]["trace"]["calls"], rel=0.1
    )


def test_edge_of_one_window_has_no_evidence_in_the_other_and_the_silences_p_value(client: FlaskClient) -> None:
    edges = {edge["target"]: edge for edge in client.get(ASKED).json["edges"]}
    assert edges["ops/gone"]["after"] == {}
    assert edges["ops/gone"]["p_value"] < 1e-6
    assert edges["ops/new"]["before"] == {}
    assert edges["ops/new"]["p_value"] < 1e-6
    assert "p_value" not in edges["shop/errs"]


def test_nodes_have_a_status_by_their_edges(client: FlaskClient) -> None:
    nodes = {node["id"]: node["status"] for node in client.get(ASKED).json["nodes"]}
    assert nodes == {
        "ops/gone": "removed",
        "ops/new": "added",
        "shop/a": "changed",
        "shop/errs": "changed",
        "shop/grows": "changed",
    }


def test_unchanged_ones_come_when_asked_for(client: FlaskClient) -> None:
    answer = client.get(f"{ASKED}&include=unchanged").json
    assert statuses(answer)["shop/a", "shop/stays"] == "unchanged"
    assert {node["id"]: node["status"] for node in answer["nodes"]}["shop/stays"] == "unchanged"


def test_latency_is_compared_when_it_is_read(client: FlaskClient) -> None:
    edges = {edge["target"]: edge for edge in client.get(f"{ASKED}&measures=full").json["edges"]}
    measures = {change["measure"]: change for change in edges["shop/slower"]["changes"]}
    assert set(measures) == {"latency_ms_p50", "latency_ms_p95"} or set(measures) == {"latency_ms_p50"}
    assert measures["latency_ms_p50"]["effect"] == pytest.approx(1.1**10, rel=0.01)
    assert edges["shop/slower"]["after"]["trace"]["latency_ms"]["p95"] > 0


def test_filters_are_those_of_the_graph(client: FlaskClient) -> None:
    found = client.get(f"{ASKED}&include=unchanged&focus=ops/b").json
    assert list(statuses(found)) == [("ops/b", "shop/slower")]
    assert not client.get(f"{ASKED}&protocol=http&include=unchanged").json["edges"]
    assert not client.get(f"{ASKED}&layers=network&include=unchanged").json["edges"]
    assert set(statuses(client.get(f"{ASKED}&search=GONE").json)) == {("shop/a", "ops/gone")}
    assert client.get(f"{ASKED}&focus=nobody").status_code == 422


def test_groups_are_compared_as_wholes(client: FlaskClient) -> None:
    answer = client.get(f"{ASKED}&group_by=namespace&include=unchanged").json
    assert statuses(answer) == {("ops", "shop"): "unchanged", ("shop", "ops"): "unchanged"}
    assert {node["id"]: node["members"] for node in answer["nodes"]} == {"ops": 3, "shop": 5}


def test_limit_keeps_what_changed(client: FlaskClient) -> None:
    answer = client.get(f"{ASKED}&include=unchanged&limit=4").json
    assert answer["truncated"]
    assert "unchanged" not in statuses(answer).values()
    assert answer["summary"]["unchanged"] == 2


def test_the_same_time_twice_has_no_difference(client: FlaskClient) -> None:
    answer = client.get(f"/api/v1/diff?before={T0 + 300}&after={T0 + 300}").json
    assert answer["edges"] == answer["nodes"] == []
    assert answer["summary"]["unchanged"] == 5


@pytest.mark.parametrize(
    ("query", "status", "name"),
    [
        ("before=-1x", 400, "before"),
        ("before=yesterday", 400, "before"),
        ("before=-1d&after=1", 422, "before"),
        ("window=0s", 422, "window"),
        ("include=all", 422, "include"),
        ("significance=2", 422, "significance"),
        ("significance=nan", 422, "significance"),
        ("at=now", 400, "at"),
    ],
)
def test_what_cannot_be_answered_is_refused_by_name(client: FlaskClient, query: str, status: int, name: str) -> None:
    answer = client.get(f"/api/v1/diff?{query}")
    assert answer.status_code == status
    assert name in answer.json["detail"]


def test_past_windows_have_a_tag(client: FlaskClient) -> None:
    tag = client.get(ASKED).headers["ETag"]
    assert client.get(ASKED, headers={"If-None-Match": tag}).status_code == 304
    assert client.get(f"{ASKED}&include=unchanged").headers["ETag"] != tag
