"""Calls by response code: sums at every level, and what is refused."""

from __future__ import annotations

import pyarrow as pa
import pytest
from flask.testing import FlaskClient
from tests.ingest.records.posting import EDGE, NOW_S, post, post_arrow

from chronotope.schema.storage.store import Store


def codes(store: Store, level: str = "10s") -> list[tuple[int, list[tuple[str, int]]]]:
    """(time, calls by code) of one level, by time."""
    rows = store.rows(
        f"SELECT toUnixTimestamp(time) AS at, sumMap(r.codes) FROM latency_{level} AS r GROUP BY at ORDER BY at"
    )
    return [(int(at), sorted(found.items())) for at, found in rows]


def test_calls_by_code_add_up_at_every_level(client: FlaskClient, store: Store) -> None:
    first = {**EDGE, "calls": 7, "codes": {"200": 4, "503": 2, "418": None}}
    answer = post(client, first, {**EDGE, "time": NOW_S + 60, "codes": {"200": 3}}, {**EDGE, "codes": {}})
    assert (answer.status_code, answer.json["accepted"]) == (200, 3)
    assert codes(store, "10s") == [(NOW_S, [("200", 4), ("503", 2)]), (NOW_S + 60, [("200", 3)])]
    assert codes(store, "1m") == codes(store, "10s")
    assert codes(store, "1h") == codes(store, "1d") == [(NOW_S, [("200", 7), ("503", 2)])]


def test_calls_by_code_of_a_long_record_are_spread_and_add_up(client: FlaskClient, store: Store) -> None:
    post(client, {**EDGE, "interval_s": 30, "calls": 10, "codes": {"OK": 7, "UNAVAILABLE": 2}})
    found = codes(store)
    assert [at for at, _ in found] == [NOW_S, NOW_S + 10, NOW_S + 20]
    assert sum(dict(counts).get("OK", 0) for _, counts in found) == 7
    assert sum(dict(counts).get("UNAVAILABLE", 0) for _, counts in found) == 2


@pytest.mark.parametrize(
    ("said", "part"),
    [
        ({"200": 4}, "codes add up to 4, more than calls 3"),
        ({"200": -1}, "codes"),
        ({"200": 0.5}, "codes is not accepted"),
        ({" ": 1}, "codes is not accepted"),
        ({str(code): 0 for code in range(101)}, "at most 100 codes"),
        ([["200", 1]], "codes"),
        ({"200": "1"}, "codes"),
    ],
)
def test_codes_that_are_none_are_refused_by_name(refusing: FlaskClient, said: object, part: str) -> None:
    answer = post(refusing, {**EDGE, "codes": said})
    assert answer.status_code == 422
    assert part in answer.json["errors"][0]["detail"]


def test_codes_may_be_a_struct_or_a_map_of_arrow(client: FlaskClient, store: Store) -> None:
    columns = {name: [value] for name, value in EDGE.items()}
    as_map = pa.array([[("200", 1), ("404", 1), ("200", 1)]], pa.map_(pa.string(), pa.uint32()))
    assert post_arrow(client, {**columns, "codes": [{"200": 2, "503": 1}]}).status_code == 200
    assert post_arrow(client, {**columns, "codes": as_map}).status_code == 200
    assert codes(store) == [(NOW_S, [("200", 4), ("404", 1), ("503", 1)])]
