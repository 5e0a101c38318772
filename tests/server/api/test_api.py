from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from flask.testing import FlaskClient

from chronotope.schema.errors import Busy, StoreError
from chronotope.server.api.app import create_app
from chronotope.server.evidence.settings import Settings

T0 = 1_700_006_400
WINDOW = f"from={T0}&to={T0 + 60}"


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ("at=yesterday", 400, "at 'yesterday' is not a time; accepted: RFC 3339"),
        ("window=5", 400, "window '5' is not a duration; accepted"),
        ("atr=now", 400, "parameter 'atr' is not known; did you mean 'at'? accepted: at, window"),
        ("at=now&at=now-1h", 400, "at is given 2 times"),
        ("depth=two", 400, "depth 'two' is not a whole number"),
        ("namespace=a,,b", 400, "namespace has an empty entry"),
        ("depth=0", 422, "depth '0' is out of range; accepted: at least 1"),
        ("layers=trace,foo", 422, "layers 'foo' is not known; accepted: 'network', 'ipc' or 'trace'"),
        ("from=now&to=now-1h", 422, "is empty; from must be before to"),
        ("at=now&from=now-1h", 422, "exclude each other"),
        ("focus=nobody", 422, "focus 'nobody' was never seen"),
        ("at=now-99y", 422, "outside 1970"),
    ],
)
def test_a_refusal_names_parameter_value_and_what_is_accepted(
    client: FlaskClient, query: str, status: int, said: str
) -> None:
    answer = client.get(f"/api/v1/graph?{query}")
    problem = json.loads(answer.data)
    assert answer.content_type == "application/problem+json"
    assert (answer.status_code, problem["status"], problem["instance"]) == (status, status, "/api/v1/graph")
    assert said in problem["detail"]
    assert set(problem) == {"type", "title", "status", "detail", "instance"}


@pytest.mark.parametrize("path", ["/nowhere", "/api/v1/services/nobody", "/api/v1/edges/0000000000000000"])
def test_what_is_not_there_is_a_problem_too(client: FlaskClient, path: str) -> None:
    answer = client.get(path)
    assert (answer.status_code, answer.content_type) == (404, "application/problem+json")


class BrokenStore:
    """Stands for a server that cannot be reached."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def query(self, *_: Any, **__: Any) -> Any:
        raise self.error

    rows = query_together = query


def broken(error: Exception) -> FlaskClient:
    return create_app(BrokenStore(error), Settings()).test_client()  # type: ignore[arg-type]


def test_a_store_that_refuses_is_503_without_a_word_of_sql() -> None:
    answer = broken(StoreError("store x: Code: 60. Unknown table in SELECT source FROM edges_1m")).get("/api/v1/graph")
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert "SELECT" not in answer.text
    assert broken(StoreError("gone")).get("/readyz").status_code == 503


def test_too_much_at_once_says_when_to_come_back() -> None:
    answer = broken(Busy("too much is waiting", retry_after_s=7)).get("/api/v1/graph")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "7")


def test_an_error_of_ours_shows_nothing_of_the_inside() -> None:
    answer = broken(RuntimeError("secret")).get("/api/v1/graph")
    assert (answer.status_code, answer.content_type) == (500, "application/problem+json")
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text


def test_liveness_needs_no_store_and_readiness_needs_all_migrations(client: FlaskClient) -> None:
    assert broken(StoreError("gone")).get("/healthz").status_code == 200
    assert client.get("/readyz").json == {"status": "ready"}


def test_a_past_window_is_not_sent_twice(client: FlaskClient) -> None:
    first = client.get(f"/api/v1/graph?{WINDOW}")
    assert "no-cache" in first.headers["Cache-Control"]
    again = client.get(f"/api/v1/graph?{WINDOW}", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    assert again.headers["ETag"] == first.headers["ETag"]
    other = client.get(f"/api/v1/graph?{WINDOW}&format=dot", headers={"If-None-Match": first.headers["ETag"]})
    assert other.status_code == 200


def test_a_window_that_may_still_change_is_not_kept(client: FlaskClient) -> None:
    answer = client.get("/api/v1/graph")
    assert answer.headers["Cache-Control"] == "no-store"
    assert "ETag" not in answer.headers


def test_big_answers_are_compressed_when_the_client_accepts_it(client: FlaskClient) -> None:
    plain = client.get(f"/api/v1/graph?{WINDOW}")
    assert "Content-Encoding" not in plain.headers
    packed = client.get(f"/api/v1/graph?{WINDOW}", headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert "Accept-Encoding" in packed.headers["Vary"]
    assert gzip.decompress(packed.data) == plain.data
    assert "Content-Encoding" not in client.get("/healthz", headers={"Accept-Encoding": "gzip"}).headers


def test_requests_are_counted_by_route_not_by_path(client: FlaskClient) -> None:
    client.get("/api/v1/services/nobody")
    client.get("/nowhere-at-all")
    text = client.get("/metrics").text
    assert 'chronotope_http_requests_total{method="GET",route="/api/v1/services/<path:service>",status="404"}' in text
    assert "nowhere" not in text
    assert "chronotope_http_request_duration_seconds_bucket" in text


def test_grafana_draws_the_graph_from_fields_and_data(client: FlaskClient) -> None:
    base = "/grafana/nodegraph/api"
    assert client.get(f"{base}/health").status_code == 200
    fields = client.get(f"{base}/graph/fields").json
    data = client.get(f"{base}/graph/data?{WINDOW}").json
    for row in data["nodes"]:
        assert set(row) == {field["field_name"] for field in fields["nodes_fields"]}
        assert row["arc__ok"] + row["arc__errors"] in (0.0, 1.0)
    known = {row["id"] for row in data["nodes"]}
    assert {row["source"] for row in data["edges"]} | {row["target"] for row in data["edges"]} == known


def test_the_page_loads_nothing_from_elsewhere(client: FlaskClient) -> None:
    page = client.get("/")
    assert page.content_type == "text/html; charset=utf-8"
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]
    assert "http" not in page.text.replace("http-equiv", "")
    assert client.get("/page.js").status_code == client.get("/page.css").status_code == 200
