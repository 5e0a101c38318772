"""Questions over HTTP and as commands: the small known history, what is refused, and what has no answer."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from click.testing import CliRunner
from flask.testing import FlaskClient
from tests.server.conftest import HOSTILE, T0

from chronotope.schema.observations import observation_table
from chronotope.schema.storage.store import Store
from chronotope.server.api.app import create_app
from chronotope.server.cli.main import main
from chronotope.server.evidence.settings import Settings

WINDOW = f"from={T0}&to={T0 + 60}"
CART = "/api/v1/services/shop%2Fcart/blast-radius"
PATHS, CYCLES, SINGLE_POINTS = "/api/v1/paths", "/api/v1/cycles", "/api/v1/single-points-of-failure"
ROUTES = [CART, f"{PATHS}?source=shop/front&target=shop/cart", CYCLES, SINGLE_POINTS]


def asked(client: FlaskClient, route: str, window: str = WINDOW) -> Any:
    answer = client.get(f"{route}{'&' if '?' in route else '?'}{window}")
    assert answer.status_code == 200, answer.data
    return answer.json


def test_share_of_a_callers_caller_is_the_product_of_the_parts(client: FlaskClient) -> None:
    """Cart makes 4 calls to the database and 6 to post: front and probe depend on post with 6 of 10 of all they do."""
    answer = asked(client, "/api/v1/services/ship%2Fpost/blast-radius")
    assert [(one["service"], one["hops"], one["share"], one["calls"]) for one in answer["callers"]] == [
        ("shop/cart", 1, 0.6, 10),
        ("ops/probe", 2, 0.6, 2),
        ("shop/front", 2, 0.6, 12),
    ]
    assert answer["totals"] == {"callers": 3, "direct": 1}
    assert not answer["truncated"]
    assert answer["window"]["seconds"] == 60


def test_max_hops_lists_fewer_callers_with_the_same_shares(client: FlaskClient) -> None:
    answer = asked(client, "/api/v1/services/ship%2Fpost/blast-radius?max_hops=1")
    assert [(one["service"], one["share"]) for one in answer["callers"]] == [("shop/cart", 0.6)]
    assert answer["totals"]["callers"] == 3
    assert answer["truncated"]


def test_one_layer_alone_has_its_own_shares(client: FlaskClient) -> None:
    answer = asked(client, "/api/v1/services/ship%2Fpost/blast-radius?layers=trace")
    assert [(one["service"], one["share"]) for one in answer["callers"]] == [("shop/cart", 1.0), ("shop/front", 1.0)]


def test_connections_stand_for_calls_where_only_the_network_saw_an_edge(client: FlaskClient) -> None:
    answer = asked(client, f"{CART}?layers=network")
    assert [(one["service"], one["calls"]) for one in answer["callers"]] == [("shop/front", 3)]
    assert "connections stand for calls" in answer["note"]


def test_paths_name_each_step_with_its_calls(client: FlaskClient) -> None:
    (path,) = asked(client, "/api/v1/paths?source=shop/front&target=ship/post&view=hops")["paths"]
    assert path["services"] == ["shop/front", "shop/cart", "kafka/orders", "ship/post"]
    assert path["hops"] == 3
    assert path["steps"][1] == {
        "source": "shop/cart", "target": "kafka/orders", "protocols": ["kafka"], "calls": 6, "share": 0.6
    }  # fmt: skip


def test_service_between_its_callers_and_callees_is_a_single_point_of_failure(client: FlaskClient) -> None:
    (point,) = asked(client, "/api/v1/single-points-of-failure")["single_points_of_failure"]
    assert (point["service"], point["callers"], point["cuts_off"]) == ("shop/cart", 2, 2)
    assert point["services"] == [HOSTILE, "ship/post"]


def test_graph_without_cycles_says_so(client: FlaskClient) -> None:
    answer = asked(client, "/api/v1/cycles")
    assert answer["cycles"] == []
    assert "circles" in answer["note"]


@pytest.mark.parametrize("route", ROUTES)
def test_time_without_data_is_an_empty_answer_with_a_note(client: FlaskClient, route: str) -> None:
    answer = asked(client, route, "at=2020-01-01T00:00:00Z")
    assert answer["note"] == "Nothing was seen in this window; at and window choose another."
    assert [value for value in answer.values() if isinstance(value, list)] == [[]]


@pytest.mark.parametrize("route", ROUTES)
def test_answer_about_the_past_has_a_tag(client: FlaskClient, route: str) -> None:
    url = f"{route}{'&' if '?' in route else '?'}{WINDOW}"
    tag = client.get(url).headers["ETag"]
    assert client.get(url, headers={"If-None-Match": tag}).status_code == 304


@pytest.mark.parametrize(
    ("route", "note"),
    [
        ("/api/v1/services/shop%2Ffront/blast-radius", "Nobody calls the service in this window."),
        (f"{CART}?protocol=none", "Nothing was seen in this window; at and window choose another."),
        (f"{CART}?protocol=postgresql&layers=trace", "Nothing was seen in this window; at and window choose another."),
        ("/api/v1/services/ops%2Fprobe/blast-radius?layers=trace", "The service has no edge in this window."),
        ("/api/v1/paths?source=ship/post&target=shop/cart", "No calls lead from source to target within max_hops."),
        ("/api/v1/paths?source=ops/probe&target=shop/cart&layers=trace", "No edge in this window has 'ops/probe'."),
        ("/api/v1/paths?source=shop/cart&target=shop/cart",
         "Source and target are the same service; /api/v1/cycles shows ways back to it."),
    ],
)  # fmt: skip
def test_answer_without_content_says_why(client: FlaskClient, route: str, note: str) -> None:
    assert asked(client, route)["note"] == note


@pytest.mark.parametrize(
    ("route", "status", "named"),
    [
        ("/api/v1/services/nobody/blast-radius", 404, "service 'nobody' was never seen"),
        ("/api/v1/paths?source=nobody&target=shop/cart", 404, "source 'nobody' was never seen"),
        ("/api/v1/paths?source=shop/cart&target=nobody", 404, "target 'nobody' was never seen"),
        ("/api/v1/paths?source=nobody&target=nobody", 404, "'nobody'"),
        ("/api/v1/paths?source=shop/cart", 400, "target is missing"),
        ("/api/v1/paths?source=shop/cart&target=ship/post&max_hops=0", 422, "at least 1"),
        ("/api/v1/paths?source=shop/cart&target=ship/post&limit=1001", 422, "at most 1000"),
        (f"{CART}?max_hops=1000001", 422, "max_hops '1000001' is out of range; accepted: at most 1000000"),
        (f"{CART}?max_hops=many", 400, "max_hops 'many' is not a whole number"),
        (f"{CART}?hops=3", 400, "did you mean 'max_hops'"),
        ("/api/v1/cycles?window=0s", 422, "window"),
        ("/api/v1/single-points-of-failure?layers=gossip", 422, "gossip"),
    ],
)
def test_refusal_names_what_is_wrong(client: FlaskClient, route: str, status: int, named: str) -> None:
    answer = client.get(route)
    assert (answer.status_code, answer.content_type) == (status, "application/problem+json")
    assert named in answer.json["detail"]


def test_a_million_hops_are_accepted(client: FlaskClient) -> None:
    assert asked(client, f"{CART}?max_hops=1000000")["totals"]["callers"] == 2
    assert asked(client, "/api/v1/paths?source=shop/front&target=ship/post&max_hops=1000000")["paths"]


def test_service_itself_is_still_answered_beside_its_blast_radius(client: FlaskClient) -> None:
    assert asked(client, "/api/v1/services/shop%2Fcart")["service"]["id"] == "shop/cart"


def test_service_that_is_called_like_a_question_is_answered_for_itself(store: Store) -> None:
    """How the slash was sent tells them apart."""
    rows = {"time": [T0] * 2, "layer": ["trace"] * 2, "calls": [1, 1]}
    ends = {"source": ["a", "b"], "target": ["x/blast-radius", "x"]}
    store.insert("observations", observation_table(rows | ends))
    client = create_app(store, Settings(clock=lambda: (T0 + 3600) * 1000)).test_client()
    assert asked(client, "/api/v1/services/x%2Fblast-radius")["service"]["id"] == "x/blast-radius"
    assert asked(client, "/api/v1/services/x/blast-radius")["callers"][0]["service"] == "b"
    radius = asked(client, "/api/v1/services/x%2Fblast-radius/blast-radius")
    assert (radius["service"], radius["callers"][0]["service"]) == ("x/blast-radius", "a")


@pytest.mark.parametrize("command", ["blast-radius", "paths", "cycles", "single-points-of-failure"])
def test_command_explains_itself_and_says_that_a_store_is_missing(command: str) -> None:
    runner = CliRunner(env={"CHRONOTOPE_STORE": ""})
    arguments = ["a"] if command == "blast-radius" else []
    assert "Examples:" in runner.invoke(main, [command, "--help"]).stdout
    assert runner.invoke(main, [command, *arguments]).exit_code == 2


WORDS = ["--from", str(T0), "--to", str(T0 + 60)]


@pytest.mark.parametrize(
    ("command", "route", "shown"),
    [
        (["blast-radius", "ship/post"], "/api/v1/services/ship%2Fpost/blast-radius?",
         ["60.00%", "3 callers depend on ship/post, 1 of them directly"]),
        (["blast-radius", HOSTILE, "--max-hops", "1"],
         "/api/v1/services/db%22%3C%26%3E%60%5C%25%2Fx%20y/blast-radius?max_hops=1&", ["40.00%"]),
        (["paths", "--source", "shop/front", "--target", "ship/post", "--view", "hops"],
         f"{PATHS}?source=shop/front&target=ship/post&view=hops&",
         ["shop/front → shop/cart → kafka/orders → ship/post", "1 paths"]),
        (["cycles"], f"{CYCLES}?", ["No services call each other in circles"]),
        (["single-points-of-failure"], f"{SINGLE_POINTS}?", [f"shop/cart: {HOSTILE}, ship/post"]),
    ],
)  # fmt: skip
def test_command_prints_a_table_or_exactly_the_http_body(
    client: FlaskClient, command: list[str], route: str, shown: list[str]
) -> None:
    runner = CliRunner(env={"CHRONOTOPE_STORE": "chdb://memory"})
    table = runner.invoke(main, [*command, *WORDS])
    assert table.exit_code == 0, table.stderr
    assert [text for text in shown if text not in table.stdout] == []
    assert runner.invoke(main, [*command, *WORDS, "--format", "json"]).stdout_bytes == client.get(route + WINDOW).data


def test_command_imports_neither_the_server_nor_the_collectors() -> None:
    code = (
        "import sys; from chronotope.server.cli.main import main; import chronotope.server.cli.questions; "
        "print([name for name in ('flask', 'numba', 'grpc', 'waitress', 'networkx') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
