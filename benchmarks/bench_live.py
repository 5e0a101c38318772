"""How live the map is: a call is posted to a real server under load, and the graph is asked until it shows the call.

Two clocks: `durable_ms` until the server has acknowledged both spans, `visible` until a graph has the new edge.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from benchmarks.percentiles import add_percentiles
from tests.e2e.otlp_requests import CLIENT, request_of, span_of
from tests.e2e.process import ServerProcess

LOAD = Path(__file__).with_name("span_load.py")


@contextmanager
def load(server: ServerProcess, spans_per_s: int) -> Iterator[subprocess.Popen[str] | None]:
    """Post spans at a steady rate from a process of its own."""
    if not spans_per_s:
        yield None
        return
    command = [sys.executable, str(LOAD), server.url, str(spans_per_s)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            for _ in range(3):  # the first seconds load code
                process.stdout.readline()
            yield process
        finally:
            process.terminate()


def call_of(number: int, now_s: float) -> bytes:
    """One call between two services that nobody has heard of."""
    trace = (time.time_ns() << 32) + number
    client = request_of(f"probe-from-{number}", span_of(trace, 1, kind=CLIENT, start_s=now_s))
    return client + request_of(f"probe-to-{number}", span_of(trace, 2, 1, start_s=now_s))


def seen(server: ServerProcess, number: int) -> bool:
    query = urlencode({"at": "now+10s", "window": "5m", "search": f"probe-to-{number}"})
    edges = server.get(f"/api/v1/graph?{query}")["edges"]
    return [(edge["source"], edge["evidence"]["trace"]["calls"]) for edge in edges] == [(f"probe-from-{number}", 1)]


@pytest.mark.sizes("spans_per_s", [0, 5_000], [0, 5_000, 20_000, 100_000])
@pytest.mark.sizes("probes", [10], [100])
def test_span_to_graph(benchmark: Any, tmp_path: Path, spans_per_s: int, probes: int) -> None:
    durable: list[float] = []
    number = 100_000  # no number is the beginning of another

    def run() -> None:
        nonlocal number
        number += 1
        began = time.perf_counter()
        assert server.post_spans(call_of(number, time.time())) == 200
        durable.append(time.perf_counter() - began)
        while not seen(server, number):
            assert time.perf_counter() - began < 30, "the call never came"
            time.sleep(0.005)

    with ServerProcess(f"chdb://{tmp_path}/store") as server, load(server, spans_per_s) as loading:
        benchmark.pedantic(run, rounds=probes, warmup_rounds=2)
        if loading:
            loading.terminate()
            accepted = [int(line) for line in loading.stdout]
            benchmark.extra_info["accepted_spans_per_s"] = accepted[-1] if accepted else None
    add_percentiles(benchmark, durable)
    for quantile in (50, 99):
        benchmark.extra_info[f"durable_p{quantile}_ms"] = benchmark.extra_info.pop(f"p{quantile}_ms")
    add_percentiles(benchmark)
