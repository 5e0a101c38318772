"""Changes that people and pipelines report: taken once, refused by line, and shown by the reading route."""

from __future__ import annotations

import json

import pytest
from flask.testing import FlaskClient

from chronotope.ingest.records.changes import changes_blueprint
from chronotope.schema.storage.store import Store
from chronotope.server.api.app import create_app
from chronotope.server.evidence.settings import Settings

NOW_MS = 1_700_006_400_000
AT = "2023-11-15T00:00:00Z"
NDJSON = "application/x-ndjson"


@pytest.fixture
def client(store: Store) -> FlaskClient:
    routes = changes_blueprint(store, clock=lambda: NOW_MS, max_body_bytes=10_000, aliases={"cart": "shop/cart"})
    return create_app(store, Settings(clock=lambda: NOW_MS + 60_000), blueprints=[routes]).test_client()


def post(client, body, kind=NDJSON, **headers):
    text = body if isinstance(body, str | bytes) else json.dumps(body)
    return client.post("/api/v1/events", data=text, content_type=kind, headers=headers)


def shown(client, query=""):
    answer = client.get(f"/api/v1/events?from=now-1d{query}")
    assert answer.status_code == 200, answer.json
    return answer.json["events"]


CHANGE = {
    "time": "2023-11-14T23:59:00Z", "type": "deployment", "service": "cart", "title": "cart 1.2",
    "attributes": {"version": "1.2", "replicas": 3}, "url": "https://ci.example/42",
}  # fmt: skip


def test_a_change_is_shown_with_all_it_said_and_its_service_as_aliased(client):
    assert post(client, CHANGE).json == {"accepted": 1, "rejected": 0, "errors": []}
    (event,) = shown(client)
    assert event.pop("id")
    assert event.pop("detected_at") == "2023-11-15T00:00:00.000Z"
    assert event.pop("evident_at") == event["time"]
    assert event == {
        "time": "2023-11-14T23:59:00.000Z", "type": "deployment", "service": "shop/cart", "title": "cart 1.2",
        "attributes": {"version": "1.2", "replicas": "3"}, "url": "https://ci.example/42",
        "edge": None, "layers": [], "probability": None, "change_event": None, "rule": None,
    }  # fmt: skip


@pytest.mark.parametrize("form", ["one", "array", "lines"])
def test_one_record_an_array_and_lines_are_taken(client, form):
    two = [CHANGE, CHANGE | {"title": "cart 1.3"}]
    sent = {"one": (two[0], "application/json"), "array": (two, "application/json; charset=utf-8"),
            "lines": ("\n".join(map(json.dumps, two)), NDJSON)}[form]  # fmt: skip
    assert post(client, *sent).status_code == 200
    assert len(shown(client)) == (1 if form == "one" else 2)


def test_the_same_change_reported_twice_is_one(client):
    for _ in range(3):
        assert post(client, CHANGE).status_code == 200
    assert len(shown(client)) == 1


def test_a_retry_without_a_time_counts_once_by_its_key(store):
    now = [NOW_MS]
    routes = changes_blueprint(store, clock=lambda: now[0], max_body_bytes=10_000)
    client = create_app(store, Settings(clock=lambda: NOW_MS + 60_000), blueprints=[routes]).test_client()
    for _ in range(2):
        post(client, {"type": "deployment", "service": "a"}, **{"Idempotency-Key": "one"})
        now[0] += 1000
    assert [event["time"] for event in shown(client)] == ["2023-11-15T00:00:00.000Z"]


def test_a_bad_line_is_refused_by_its_number_and_the_rest_is_taken(client):
    lines = [CHANGE, {"type": "deployment"}, {"service": "a"}, {"type": "new_dependency", "service": "a"},
             {"type": "x", "service": "a", "time": "soon"}]  # fmt: skip
    answer = post(client, "\n".join(map(json.dumps, lines)) + "\n[1]\n{").json
    assert (answer["accepted"], answer["rejected"]) == (1, 6)
    details = {error["line"]: error["detail"] for error in answer["errors"]}
    assert sorted(details) == [2, 3, 4, 5, 6, 7]
    assert "service" in details[2]
    assert "type" in details[3]
    assert "found by the server itself" in details[4]
    assert "soon" in details[5]


def test_nothing_taken_is_422_and_what_is_no_json_400(client):
    assert post(client, {"type": "deployment"}).status_code == 422
    assert post(client, "{", "application/json").status_code == 400
    assert post(client, "a=b", "text/plain").status_code == 415
    assert post(client, b"[" * 9_000, "application/json").status_code == 400


def test_events_are_cut_by_time_type_and_service_and_the_latest_are_kept(client):
    for minute in range(5):
        post(client, CHANGE | {"time": f"2023-11-14T23:5{minute}:00Z", "type": f"t{minute % 2}"})
    post(client, CHANGE | {"service": "other"})
    assert len(shown(client, "&service=shop/cart")) == 5
    assert len(shown(client, "&type=t0,t1")) == 5
    assert [event["time"][14:16] for event in shown(client, "&type=t1")] == ["51", "53"]
    answer = client.get("/api/v1/events?from=2023-11-14T23:51:00Z&to=2023-11-14T23:54:00Z&limit=2").json
    assert [event["time"][14:16] for event in answer["events"]] == ["52", "53"]
    assert answer["truncated"] is True
    assert client.get("/api/v1/events?from=now&to=now-1h").status_code == 422
