"""What changed between two windows, asked at the socket of a real `chronotope serve`, over one kept-alive connection.

Timed from sending the request to the last byte of the body; the answer is held to what is known of the traffic: the
edges that came or went, most that doubled (of the seldom called ones it cannot be told), and of the others at most the
promised share. An edge of six calls in five minutes has, once in four hundred windows, none.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from benchmarks.bench_socket import Connection
from benchmarks.percentiles import add_percentiles
from benchmarks.two_windows import TwoWindows, ensure_windows
from tests.e2e.process import ServerProcess

ROUNDS = 30
SIGNIFICANCE = 0.01
of_sizes = pytest.mark.sizes("windows", [1_000], [10_000, 100_000], indirect=True)


@pytest.fixture(scope="module")
def windows(request: pytest.FixtureRequest, history_folder: Path) -> TwoWindows:
    return ensure_windows(history_folder, request.param, lambda text: print(text, file=sys.stderr, flush=True))


@pytest.fixture(scope="module")
def server(windows: TwoWindows) -> Iterator[ServerProcess]:
    with ServerProcess(windows.url) as process:
        yield process


@of_sizes
def test_diff_of_five_minutes(benchmark: Any, server: ServerProcess, windows: TwoWindows) -> None:
    with Connection(server.url) as connection:
        target = f"/api/v1/diff?{windows.query}"
        body = benchmark.pedantic(connection.get, args=(target,), rounds=ROUNDS, warmup_rounds=5)
    add_percentiles(benchmark)
    check(json.loads(body), windows)


def check(answer: dict[str, Any], windows: TwoWindows) -> None:
    found: dict[str, set[tuple[str, str]]] = {"added": set(), "removed": set(), "changed": set()}
    for edge in answer["edges"]:
        found[edge["status"]].add((edge["source"], edge["target"]))
    by_chance = 0.001 * windows.edges + 1
    assert len(found["added"] ^ windows.of("new")) <= by_chance
    assert len(found["removed"] ^ windows.of("gone")) <= by_chance
    assert len(found["changed"] & windows.of("doubled")) >= 0.5 * len(windows.of("doubled"))
    wrong = found["changed"] - windows.of("doubled")
    assert len(wrong) <= max(3 * SIGNIFICANCE * len(found["changed"]), 1)
