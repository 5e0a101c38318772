from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient

from chronotope.schema.names import edge_id

T0 = 1_700_006_400
HOSTILE = 'db"<&>`\\%/x y'
WINDOW = f"from={T0}&to={T0 + 60}"


def ask(client: FlaskClient, query: str = "", route: str = "/api/v1/graph") -> Any:
    answer = client.get(f"{route}?{WINDOW}&{query}")
    assert answer.status_code == 200, answer.text
    return answer.json


def pairs(graph: Any) -> list[tuple[str, str]]:
    return [(edge["source"], edge["target"]) for edge in graph["edges"]]


def edge(graph: Any, source: str, target: str) -> Any:
    return next(e for e in graph["edges"] if (e["source"], e["target"]) == (source, target))


def test_edges_are_in_order_and_have_the_id_of_their_names(client: FlaskClient) -> None:
    graph = ask(client)
    assert pairs(graph) == [
        ("ops/probe", "shop/cart"),
        ("shop/cart", HOSTILE),
        ("shop/cart", "ship/post"),
        ("shop/front", "shop/cart"),
    ]
    for found in graph["edges"]:
        assert found["id"] == edge_id(found["source"], found["target"], found["protocol"])
    assert [node["id"] for node in graph["nodes"]] == sorted(node["id"] for node in graph["nodes"])
    assert graph["totals"] == {"nodes": 5, "edges": 4}
    assert graph["truncated"] is False


def test_the_window_is_the_one_that_was_used(client: FlaskClient) -> None:
    graph = client.get(f"/api/v1/graph?from={T0}.5&to={T0 + 55}").json
    assert graph["window"] == {
        "from": "2023-11-15T00:00:00.000Z",
        "to": "2023-11-15T00:01:00.000Z",
        "seconds": 60,
        "resolution_seconds": 60,
    }


def test_an_edge_shows_the_measures_of_each_layer_apart(client: FlaskClient) -> None:
    found = edge(ask(client), "shop/front", "shop/cart")
    assert found["layers"] == ["network", "trace"]
    assert found["via"] == ["edge/envoy"]
    assert (found["first_seen"], found["last_seen"]) == ("2023-11-15T00:00:00.000Z", "2023-11-15T00:00:10.000Z")
    assert found["evidence"] == {
        "network": {
            "connections": 3,
            "failed_connections": 0,
            "bytes_sent": 100,
            "bytes_received": 0,
            "retransmits": 0,
            "rtt_ms": {"mean": None},
        },
        "trace": {
            "calls": 12,
            "errors": 1,
            "calls_per_second": 0.2,
            "error_ratio": 0.083333,
            "latency_ms": {"mean": 1.583333},
            "latency_at": "mixed",
        },
    }


def test_quantiles_come_with_measures_full_only(client: FlaskClient) -> None:
    latency = edge(ask(client, "measures=full"), "shop/front", "shop/cart")["evidence"]["trace"]["latency_ms"]
    # Five calls in bucket 50 and seven in bucket 60, see schema.latency.
    assert latency["p50"] == pytest.approx(1.1**59.5 / 1000)
    assert latency["p95"] == pytest.approx(1.1**59.5 / 1000)
    unknown = edge(ask(client, "measures=full"), "shop/cart", "ship/post")["evidence"]["trace"]["latency_ms"]
    assert unknown == {"mean": None, "p50": None, "p95": None, "p99": None}


def test_what_both_ends_of_an_ipc_edge_report_counts_once(client: FlaskClient) -> None:
    """The source's count is used, and the target's only where the source is silent (policy, metrics)."""
    graph = ask(client, "measures=full")
    both = edge(graph, "shop/cart", HOSTILE)["evidence"]["ipc"]
    assert (both["calls"], both["errors"], both["latency_ms"]["mean"]) == (4, 0, 1.0)
    assert both["latency_ms"]["p50"] == pytest.approx(1.1**39.5 / 1000)
    assert edge(graph, "ops/probe", "shop/cart")["evidence"]["ipc"]["calls"] == 2


def test_hops_show_what_resolved_collapses(client: FlaskClient) -> None:
    resolved, hops = ask(client), ask(client, "view=hops")
    assert edge(resolved, "shop/cart", "ship/post")["via"] == ["kafka/orders"]
    assert ("shop/cart", "kafka/orders") in pairs(hops)
    assert ("kafka/orders", "ship/post") in pairs(hops)
    assert ("shop/cart", "ship/post") not in pairs(hops)


def test_one_layer_alone_is_its_own_view(client: FlaskClient) -> None:
    graph = ask(client, "layers=network")
    assert pairs(graph) == [("shop/front", "shop/cart")]
    assert list(graph["edges"][0]["evidence"]) == ["network"]


def test_nodes_have_kind_attributes_and_sums_of_both_sides(client: FlaskClient) -> None:
    nodes = {node["id"]: node for node in ask(client)["nodes"]}
    cart = nodes["shop/cart"]
    assert (cart["name"], cart["namespace"], cart["kind"]) == ("cart", "shop", "service")
    assert cart["attributes"] == {"team": "checkout"}
    assert cart["layers"] == ["network", "ipc", "trace"]
    assert cart["inbound"]["trace"] == {"calls": 12, "errors": 1}
    assert cart["inbound"]["ipc"] == {"calls": 2, "errors": 0}
    assert cart["outbound"]["ipc"] == {"calls": 4, "errors": 0}
    assert nodes[HOSTILE]["kind"] == "database"
    assert nodes["ops/probe"]["kind"] == "unknown"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("namespace=ops", [("ops/probe", "shop/cart")]),
        ("kind=database", [("shop/cart", HOSTILE)]),
        ("protocol=grpc,http", [("ops/probe", "shop/cart"), ("shop/front", "shop/cart")]),
        ("search=POST", [("shop/cart", "ship/post")]),
        ("focus=shop/front", [("shop/front", "shop/cart")]),
        ("focus=ship/post&direction=downstream", []),
        ("focus=ship/post&direction=upstream", [("shop/cart", "ship/post")]),
        (
            "focus=ship/post&direction=upstream&depth=2",
            [("ops/probe", "shop/cart"), ("shop/cart", "ship/post"), ("shop/front", "shop/cart")],
        ),
        ("focus=shop/cart&direction=downstream&depth=9&kind=database", [("shop/cart", HOSTILE)]),
        ("focus=shop/front&direction=downstream&depth=9&kind=database", []),  # each hop passes the filters
    ],
)
def test_filters_and_focus_show_a_part(client: FlaskClient, query: str, expected: list[tuple[str, str]]) -> None:
    assert pairs(ask(client, query)) == expected


def test_a_node_keeps_its_own_sums_however_the_picture_is_cropped(client: FlaskClient) -> None:
    whole = {node["id"]: node for node in ask(client)["nodes"]}
    for node in ask(client, "focus=ship/post")["nodes"]:
        assert node == whole[node["id"]]


def test_the_busiest_edges_stay_under_a_limit_and_totals_count_all(client: FlaskClient) -> None:
    graph = ask(client, "limit=2")
    assert pairs(graph) == [("shop/cart", "ship/post"), ("shop/front", "shop/cart")]
    assert graph["truncated"] is True
    assert graph["totals"] == {"nodes": 5, "edges": 4}


def test_nodes_with_the_same_value_become_one(client: FlaskClient) -> None:
    graph = ask(client, "group_by=namespace&measures=full")
    nodes = {node["id"]: node for node in graph["nodes"]}
    shop = nodes["shop"]
    assert (shop["name"], shop["members"], shop["attributes"]) == ("shop", 2, {"namespace": "shop"})
    assert shop["internal"]["trace"] == {"calls": 12, "errors": 1}
    assert HOSTILE not in nodes  # its id has a slash: it is in a namespace as well
    assert ("ops", "shop") in pairs(graph)
    assert ("shop", "shop") not in pairs(graph)
    assert edge(graph, "shop", "ship")["id"] == edge_id("shop", "ship", "kafka")


def test_grouping_by_an_attribute_leaves_those_without_it_alone(client: FlaskClient) -> None:
    nodes = [node["id"] for node in ask(client, "group_by=team")["nodes"]]
    assert nodes == sorted(["checkout", HOSTILE, "ops/probe", "ship/post"])


def test_a_service_has_its_callers_and_callees(client: FlaskClient) -> None:
    answer = ask(client, route="/api/v1/services/" + quote("shop/cart", safe=""))
    assert [e["source"] for e in answer["callers"]] == ["ops/probe", "shop/front"]
    assert [e["target"] for e in answer["callees"]] == [HOSTILE, "ship/post"]
    assert answer["service"]["degree"] == {"inbound": 2, "outbound": 2}
    hostile = ask(client, route="/api/v1/services/" + quote(HOSTILE, safe=""))
    assert hostile["service"]["id"] == HOSTILE


def test_a_service_that_is_silent_in_the_window_is_known_all_the_same(client: FlaskClient) -> None:
    answer = client.get("/api/v1/services/shop%2Fcart?at=now").json
    assert answer["callers"] == []
    assert answer["service"]["kind"] == "service"


def test_services_are_listed_with_their_degree(client: FlaskClient) -> None:
    services = {s["id"]: s for s in ask(client, "search=sh", route="/api/v1/services")["services"]}
    assert list(services) == ["ship/post", "shop/cart", "shop/front"]
    assert services["shop/front"]["degree"] == {"inbound": 0, "outbound": 1}


def test_an_edge_over_time_has_one_value_a_step(client: FlaskClient) -> None:
    found = edge_id("shop/front", "shop/cart", "grpc")
    answer = client.get(f"/api/v1/edges/{found}?from={T0 - 10}&to={T0 + 30}&step=10s&measures=full").json
    trace = answer["evidence"]["trace"]
    assert len(answer["time"]) == 4
    assert trace["calls"] == [0, 5, 7, 0]
    assert trace["error_ratio"] == [None, 0.2, 0.0, None]
    assert trace["latency_ms"]["mean"] == [None, 1.0, 2.0, None]
    assert trace["latency_ms"]["p50"][1] == pytest.approx(1.1**49.5 / 1000, abs=1e-6)
    assert answer["evidence"]["network"]["connections"] == [0, 3, 0, 0]
    assert answer["via"] == ["edge/envoy"]


def test_an_edge_by_the_hour_is_read_from_the_table_of_hours(client: FlaskClient) -> None:
    found = edge_id("shop/front", "shop/cart", "grpc")
    answer = client.get(f"/api/v1/edges/{found}?from={T0 - 7200}&to={T0 + 7200}&step=1h").json
    assert answer["evidence"]["trace"]["calls"] == [0, 0, 12, 0]


def test_a_timeline_counts_what_came_and_went(client: FlaskClient) -> None:
    answer = client.get(f"/api/v1/timeline?from={T0 - 10}&to={T0 + 30}&step=10s").json
    assert answer["edges"] == [0, 3, 2, 0]
    assert answer["nodes"] == [0, 4, 3, 0]
    assert answer["added"] == [0, 3, 1, 0]
    assert answer["removed"] == [0, 0, 2, 2]
    assert answer["calls"] == [0, 5 + 4 + 2, 7 + 6, 0]
    assert answer["errors"] == [0, 1, 0, 0]


def test_a_step_that_has_not_ended_cannot_say_what_is_gone(client: FlaskClient) -> None:
    answer = client.get("/api/v1/timeline?from=now-20s&to=now%2B5s&step=10s").json
    assert answer["removed"][-1] is None
    assert answer["removed"][0] == 0
