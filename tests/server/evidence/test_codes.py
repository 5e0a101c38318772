"""Response codes in answers: those of the end whose count is used, added up over time, edges and groups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st

from chronotope.schema.names import edge_id
from chronotope.schema.observations import observation_table
from chronotope.schema.storage.migrate import migrate
from chronotope.schema.storage.store import Store
from chronotope.server.api.app import create_app
from chronotope.server.evidence.codes import CodeColumns
from chronotope.server.evidence.settings import Settings

T0 = 1_700_006_400
NOW_MS = (T0 + 7200) * 1000
ROWS = [  # seconds, source, target, reporter, calls, codes
    (0, "shop/web", "shop/cart", 1, 10, {"200": 8, "503": 2}),
    (10, "shop/web", "shop/cart", 1, 5, {"200": 4}),  # one call has no code
    (60, "shop/web", "shop/cart", 1, 3, {"404": 3}),
    (0, "shop/web", "shop/cart", 2, 90, {"200": 90}),  # the other end saw the same calls
    (0, "shop/cart", "pay/bank", 2, 4, {"OK": 3, "UNAVAILABLE": 1}),
    (0, "shop/web", "pay/bank", 1, 2, {"OK": 2}),
    (0, "shop/web", "ship/post", 1, 2, {}),
    (3600, "shop/web", "ship/post", 1, 2, {"200": 2}),
]
CART = edge_id("shop/web", "shop/cart", "http")


@pytest.fixture(scope="module")
def client() -> Iterator[FlaskClient]:
    with Store.open("chdb://memory") as store:
        migrate(store)
        names = ("time", "source", "target", "reporter", "calls", "codes")
        columns: dict[str, Any] = {name: [row[at] for row in ROWS] for at, name in enumerate(names)}
        columns |= {"time": np.array(columns["time"]) + T0, "layer": "ipc", "protocol": "http"}
        columns["codes"] = [list(codes.items()) for codes in columns["codes"]]
        store.insert("observations", observation_table(columns))
        yield create_app(store, Settings(clock=lambda: NOW_MS)).test_client()


def found(client: FlaskClient, question: str) -> dict[tuple[str, str], Any]:
    """(source, target) → the codes of each edge of an answer, None where there are none."""
    graph = client.get(f"/api/v1/graph?{question}").get_json()
    return {(edge["source"], edge["target"]): edge["evidence"]["ipc"].get("codes") for edge in graph["edges"]}


def test_codes_are_those_of_the_end_whose_count_is_used(client: FlaskClient) -> None:
    assert found(client, f"from={T0}&to={T0 + 60}&measures=full") == {
        ("shop/web", "shop/cart"): {"200": 12, "503": 2},
        ("shop/cart", "pay/bank"): {"OK": 3, "UNAVAILABLE": 1},
        ("shop/web", "pay/bank"): {"OK": 2},
        ("shop/web", "ship/post"): None,
    }


@pytest.mark.parametrize("end", [T0 + 70, T0 + 120, T0 + 3600])
def test_codes_add_up_over_every_level(client: FlaskClient, end: int) -> None:
    codes = found(client, f"from={T0}&to={end}&measures=full")
    assert codes["shop/web", "shop/cart"] == {"200": 12, "404": 3, "503": 2}


def test_counts_alone_have_no_codes(client: FlaskClient) -> None:
    assert set(found(client, f"from={T0}&to={T0 + 60}").values()) == {None}


def test_codes_of_groups_are_those_of_all_members(client: FlaskClient) -> None:
    codes = found(client, f"from={T0}&to={T0 + 60}&measures=full&group_by=namespace")
    assert codes["shop", "pay"] == {"OK": 5, "UNAVAILABLE": 1}


def test_codes_of_an_edge_over_time_are_columns(client: FlaskClient) -> None:
    query = f"from={T0}&to={T0 + 120}&step=1m"
    answer = client.get(f"/api/v1/edges/{CART}?{query}&measures=full").get_json()
    assert answer["evidence"]["ipc"]["codes"] == {"200": [12, 0], "404": [0, 3], "503": [2, 0]}
    assert "codes" not in client.get(f"/api/v1/edges/{CART}?{query}").get_json()["evidence"]["ipc"]


def test_codes_are_in_the_answer_about_one_service_and_in_the_difference(client: FlaskClient) -> None:
    answer = client.get(f"/api/v1/services/pay%2Fbank?from={T0}&to={T0 + 60}&measures=full").get_json()
    assert [caller["evidence"]["ipc"]["codes"] for caller in answer["callers"]] == [
        {"OK": 3, "UNAVAILABLE": 1},
        {"OK": 2},
    ]
    diff = client.get(f"/api/v1/diff?before={T0 + 60}&after={T0 + 120}&window=1m&measures=full&include=unchanged")
    (edge,) = (edge for edge in diff.get_json()["edges"] if edge["id"] == CART)
    assert edge["before"]["ipc"]["codes"] == {"200": 12, "503": 2}
    assert edge["after"]["ipc"]["codes"] == {"404": 3}


def test_answer_has_another_tag_when_only_codes_differ(store: Store) -> None:
    client = create_app(store, Settings(clock=lambda: NOW_MS)).test_client()
    row = {"time": np.array([T0]), "layer": "ipc", "source": "a", "target": "b"}
    tags = []
    for more in ({"calls": 3, "codes": [[("200", 3)]]}, {"codes": [[("200", -3), ("404", 3)]]}):
        store.insert("observations", observation_table({**row, **more}))
        answer = client.get(f"/api/v1/graph?from={T0}&to={T0 + 60}&measures=full")
        tags.append(answer.headers["ETag"])
    assert answer.get_json()["edges"][0]["evidence"]["ipc"]["codes"] == {"404": 3}
    assert tags[0] != tags[1]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 4), st.integers(-5, 20)), max_size=40),
    st.lists(st.integers(-1, 5), min_size=10, max_size=10),
)
def test_moving_codes_adds_up_what_falls_together(counts: list[tuple[int, int, int]], place: list[int]) -> None:
    """Edges become others, or are dropped; what cancelled is gone."""
    columns = np.array(sorted(counts), np.int64).reshape(-1, 3).T
    names = [f"c{code}" for code in range(5)]
    moved = CodeColumns(*columns, names).moved(np.array(place))
    expected: Counter[tuple[int, str]] = Counter()
    for edge, code, count in counts:
        if place[edge] >= 0:
            expected[place[edge], names[code]] += count
    got = {(at, names[code]): n for at, code, n in zip(moved.edge, moved.code, moved.count, strict=True)}
    assert got == {key: count for key, count in expected.items() if count > 0}
    shown = moved.records(np.arange(6))
    assert {(at, name): n for at, one in enumerate(shown) if isinstance(one, dict) for name, n in one.items()} == got
