"""The same questions at the socket: a real `chronotope serve` process, asked over one kept-alive connection.

Timed from sending the request to the last byte of the body, as it is encoded; checked against the history's formula.
"""

from __future__ import annotations

import gzip
import http.client
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode, urlsplit

import numpy as np
import pytest
from benchmarks.bench_graph import random_starts
from benchmarks.history import DAY_S, END_S, MINUTE_LATENCY_S, History
from benchmarks.percentiles import add_percentiles
from tests.e2e.process import ServerProcess

ROUNDS = 100
of_histories = pytest.mark.sizes("history", [(100, 2)], [(100, 30), (1_000, 30), (10_000, 30)], indirect=True)


class Connection:
    """One kept-alive connection that asks for JSON, plain or compressed."""

    def __init__(self, url: str, encoding: str = "") -> None:
        self._http = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
        self._headers = {"Accept-Encoding": encoding} if encoding else {}

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def get(self, target: str) -> bytes:
        self._http.request("GET", target, headers=self._headers)
        answer = self._http.getresponse()
        body = answer.read()
        assert answer.status == 200, body[:500]
        return body


@pytest.fixture(scope="module")
def server(history: History) -> Iterator[ServerProcess]:
    with ServerProcess(history.url) as process:
        yield process


def ask(benchmark: Any, connection: Connection, targets: Iterator[tuple[int, str]]) -> tuple[int, bytes]:
    """Time one GET a round; return the last one's moment and body."""
    last = 0

    def setup() -> tuple[tuple[str], dict[str, Any]]:
        nonlocal last
        last, target = next(targets)
        return (target,), {}

    body = benchmark.pedantic(connection.get, setup=setup, rounds=ROUNDS, warmup_rounds=10)
    add_percentiles(benchmark)
    benchmark.extra_info["body_bytes"] = len(body)
    return last, body


def graphs(starts: Iterator[int], window_s: int, **more: object) -> Iterator[tuple[int, str]]:
    for start in starts:
        yield start, f"/api/v1/graph?{urlencode({'from': start, 'to': start + window_s, **more})}"


def check_calls(history: History, body: bytes, start_s: int, end_s: int) -> None:
    found = {(edge["source"], edge["target"]): edge["evidence"]["trace"]["calls"] for edge in json.loads(body)["edges"]}
    calls = history.calls(start_s, end_s)
    assert found == {history.ends(edge)[:2]: calls[edge] for edge in np.flatnonzero(calls).tolist()}


@of_histories
@pytest.mark.parametrize("encoding", ["", "gzip"], ids=["plain", "gzip"])
def test_graph_of_five_minutes(benchmark: Any, server: ServerProcess, history: History, encoding: str) -> None:
    starts = random_starts(history.start_s, 300, 60)
    with Connection(server.url, encoding) as connection:
        last, body = ask(benchmark, connection, graphs(starts, 300))
    check_calls(history, gzip.decompress(body) if encoding else body, last, last + 300)


@of_histories
def test_graph_of_five_minutes_with_quantiles(benchmark: Any, server: ServerProcess, history: History) -> None:
    starts = random_starts(END_S - MINUTE_LATENCY_S, 300, 60)
    with Connection(server.url) as connection:
        last, body = ask(benchmark, connection, graphs(starts, 300, measures="full"))
    check_calls(history, body, last, last + 300)


@of_histories
def test_graph_of_a_day(benchmark: Any, server: ServerProcess, history: History) -> None:
    starts = random_starts(history.start_s, DAY_S, 3600)
    with Connection(server.url) as connection:
        last, body = ask(benchmark, connection, graphs(starts, DAY_S))
    check_calls(history, body, last, last + DAY_S)


@of_histories
def test_one_edge_by_the_hour(benchmark: Any, server: ServerProcess, history: History) -> None:
    random = np.random.default_rng(19)
    window = urlencode({"from": history.start_s, "to": END_S, "step": "1h"})
    with Connection(server.url) as connection:
        graph = json.loads(connection.get(f"/api/v1/graph?{urlencode({'at': END_S, 'window': '1d'})}"))
        ids = {(edge["source"], edge["target"]): edge["id"] for edge in graph["edges"]}
        edges = iter(lambda: int(random.integers(0, history.edges)), -1)
        targets = ((edge, f"/api/v1/edges/{ids[history.ends(edge)[:2]]}?{window}") for edge in edges)
        edge, body = ask(benchmark, connection, targets)
    expected = history.calls(history.start_s, END_S, np.array([edge]))[0]
    assert sum(json.loads(body)["evidence"]["trace"]["calls"]) == expected
