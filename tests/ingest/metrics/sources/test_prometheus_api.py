"""The client against a server that is slow, overloaded or wrong."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs

import pytest
from tests.ingest.metrics.sources.http_stage import Reply, stage

from chronotope.ingest.metrics.counters.columns import SeriesTable
from chronotope.ingest.metrics.sources.prometheus_api import PrometheusSource
from chronotope.ingest.metrics.sources.prometheus_http import PrometheusHttp, TooMuch
from chronotope.schema.errors import InvalidValue, SourceError

GOOD = json.dumps({"status": "success", "data": {"resultType": "matrix", "result": []}}).encode()


@contextmanager
def source_of(
    answer: Callable[[str, dict[str, list[str]]], Reply], **options: object
) -> Iterator[tuple[PrometheusSource, list[float]]]:
    """A source that reads from a stage, and the pauses that it makes."""
    pauses: list[float] = []
    with stage(lambda path, body, _: answer(path, parse_qs(body.decode()))) as url:
        http = PrometheusHttp(url, sleep=pauses.append, **options)  # type: ignore[arg-type]
        try:
            yield PrometheusSource(http, SeriesTable()), pauses
        finally:
            http.close()


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_an_overloaded_server_is_asked_again_after_growing_pauses(status: int) -> None:
    replies = iter([Reply(status=status)] * 3 + [Reply(GOOD)])
    with source_of(lambda *_: next(replies)) as (source, pauses):
        assert len(list(source.read(["a"], 0, 1000))) == 1
        assert source.http.repeated == 3
    assert len(pauses) == 3
    assert all(low <= pause <= 2 * low for low, pause in zip((0.5, 1, 2), pauses, strict=True))


def test_the_server_may_say_how_long_to_wait() -> None:
    replies = iter([Reply(status=429, headers={"Retry-After": "17"}), Reply(GOOD)])
    with source_of(lambda *_: next(replies)) as (source, pauses):
        list(source.read(["a"], 0, 1000))
    assert pauses == [17.0]


def test_a_server_that_stays_overloaded_is_an_error_in_the_end() -> None:
    with (
        source_of(lambda *_: Reply(b"busy", status=503), attempts=3) as (source, pauses),
        pytest.raises(SourceError, match=r"status 503: busy \(after 3 attempts\)"),
    ):
        list(source.read(["a"], 0, 1000))
    assert len(pauses) == 2


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 422])
def test_a_refusal_is_not_tried_again(status: int) -> None:
    with (
        source_of(lambda *_: Reply(b"<b>no</b>", status=status)) as (source, pauses),
        pytest.raises(SourceError, match=f"status {status}"),
    ):
        list(source.read(["a"], 0, 1000))
    assert pauses == []


def test_a_server_that_is_not_there_or_late_is_an_error() -> None:
    with stage(lambda *_: Reply(GOOD, before=lambda: time.sleep(0.5))) as url:
        http = PrometheusHttp(url, timeout_s=0.1, attempts=2, sleep=lambda _: None)
        with pytest.raises(SourceError, match="cannot be read"):
            http.get("metadata")
        http.close()
    http = PrometheusHttp(url, attempts=2, sleep=lambda _: None)
    with pytest.raises(SourceError, match="cannot be read"):
        http.get("metadata")
    http.close()


@pytest.mark.parametrize("body", [b"<html>login</html>", b"{}", b'{"status":"error","error":"no"}'])
def test_an_answer_that_is_none_of_prometheus_is_an_error(body: bytes) -> None:
    with source_of(lambda *_: Reply(body)) as (source, _), pytest.raises(SourceError):
        list(source.read(["a"], 0, 1000))


def test_a_body_over_the_limit_is_asked_for_in_halves() -> None:
    ranges: list[int] = []

    def answer(path: str, form: dict[str, list[str]]) -> Reply:
        milliseconds = int(form["query"][0].removeprefix("a[").removesuffix("ms]"))
        ranges.append(milliseconds)
        return Reply(GOOD + b" " * milliseconds)

    with source_of(answer, max_body_bytes=30_000) as (source, _):
        chunks = list(source.read(["a"], 0, 100_000))
    assert [(chunk.begin_ms, chunk.end_ms) for chunk in chunks] == [(0, 100_000)]
    assert ranges == [100_000, 50_000, 25_000, 25_000, 50_000, 25_000, 25_000]


def test_what_is_too_much_even_for_a_second_is_an_error() -> None:
    with source_of(lambda *_: Reply(b" " * 3000), max_body_bytes=2000) as (source, _), pytest.raises(TooMuch):
        list(source.read(["a"], 0, 4000))


def test_no_more_requests_are_under_way_than_allowed() -> None:
    now, most, lock = 0, 0, threading.Lock()

    def answer(*_: object) -> Reply:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.01)
        with lock:
            now -= 1
        return Reply(GOOD)

    with source_of(answer) as (source, _):
        chunks = list(source.read(["a", "b", "c"], 0, 10_000, chunk_ms=1000))
    assert [chunk.begin_ms for chunk in chunks] == list(range(0, 10_000, 1000))
    assert most == 2


def test_steps_never_ask_for_more_points_than_prometheus_gives() -> None:
    asked: list[tuple[str, str, str]] = []

    def answer(path: str, form: dict[str, list[str]]) -> Reply:
        asked.append((form["start"][0], form["end"][0], form["step"][0]))
        return Reply(GOOD)

    with source_of(answer) as (source, _):
        list(source.read(["a"], 0, 12_000_000, chunk_ms=10**12, step_ms=1000))
    assert sorted(asked) == [("0.000", "10999.999", "1.000"), ("11000.000", "11999.999", "1.000")]


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidValue, match="not a Prometheus address"):
        PrometheusHttp("prometheus:9090")
