"""A real application under `opentelemetry-instrument`: OpenTelemetry's own exporters send, the graph shows who called.

The two ends of every call export by different transports, and each program by either.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.e2e.process import ServerProcess

pytestmark = pytest.mark.slow

APP = Path(__file__).parent / "app"
INSTRUMENT = Path(sys.executable).parent / "opentelemetry-instrument"
HTTP, GRPC = "http/protobuf", "grpc"
CALLS, FAILING = 12, 3


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with ServerProcess(f"chdb://{tmp_path_factory.mktemp('client')}/store", grpc=True) as running:
        yield running
        assert running.stop() == 0


class Program:
    """One program of the application, exporting to a server."""

    def __init__(self, server, transport, namespace, name, *arguments):
        self._log = tempfile.NamedTemporaryFile("w+", suffix=".log")  # noqa: SIM115 - closed in __exit__
        endpoint = server.url if transport == HTTP else f"http://{server.grpc}"
        settings = {
            "OTEL_SERVICE_NAME": name,
            "OTEL_RESOURCE_ATTRIBUTES": f"service.namespace={namespace},team=team-of-{name},stage=test",
            "OTEL_EXPORTER_OTLP_PROTOCOL": transport,
            "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
            "OTEL_TRACES_EXPORTER": "otlp",
            "OTEL_METRICS_EXPORTER": "none",
            "OTEL_LOGS_EXPORTER": "none",
            "OTEL_BSP_SCHEDULE_DELAY": "100",
        }
        command = [sys.executable, str(INSTRUMENT), sys.executable, str(APP / f"{name}.py"), *map(str, arguments)]
        self._process = subprocess.Popen(
            command, env=os.environ | settings, stdout=self._log, stderr=subprocess.STDOUT, cwd=APP
        )

    @property
    def log(self):
        return Path(self._log.name).read_text()

    @property
    def port(self):
        """The port it listens on, once it does."""
        deadline = time.monotonic() + 60
        while not (found := re.search(r"listening on (\d+)", self.log)):
            assert self._process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.05)
        return int(found[1])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()
        self._log.close()


def get(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.read().decode()


def graph_of(server, namespace, calls):
    """The graph of a namespace, once it holds so many calls."""
    deadline = time.monotonic() + 30
    while True:
        graph = server.get("/api/v1/graph", namespace=namespace, window="10m", at="now+1m")
        if sum(edge["evidence"]["trace"]["calls"] for edge in graph["edges"]) >= calls or time.monotonic() > deadline:
            return graph
        time.sleep(0.2)


@pytest.mark.parametrize(("own", "others"), [(HTTP, GRPC), (GRPC, HTTP)], ids=["http-first", "grpc-first"])
def test_an_instrumented_application_shows_its_calls(server, own, others):
    namespace = f"shop-{own.partition('/')[0]}"
    with ExitStack() as programs:
        prices = programs.enter_context(Program(server, own, namespace, "prices"))
        backend = programs.enter_context(Program(server, others, namespace, "backend", prices.port))
        frontend = programs.enter_context(Program(server, own, namespace, "frontend", backend.port, prices.port))
        for number in range(CALLS):
            assert get(frontend.port, f"/buy/item-{number}") == f"price of item-{number} 200"
        for _ in range(FAILING):
            assert get(frontend.port, "/buy/nothing") == "price of nothing 500"
        graph = graph_of(server, namespace, 3 * CALLS + 2 * FAILING)
        logs = prices.log + backend.log + frontend.log
    name = {short: f"{namespace}/{short}" for short in ("frontend", "backend", "prices")}
    evidence = {
        (edge["source"], edge["target"], edge["protocol"]): edge["evidence"]["trace"] for edge in graph["edges"]
    }
    assert {edge: (seen["calls"], seen["errors"]) for edge, seen in evidence.items()} == {
        (name["frontend"], name["prices"], "grpc"): (CALLS + FAILING, 0),
        (name["frontend"], name["backend"], "http"): (CALLS + FAILING, FAILING),
        (name["backend"], name["prices"], "grpc"): (CALLS, 0),
    }
    assert all(0 < seen["latency_ms"]["mean"] < 10_000 for seen in evidence.values())
    assert {node["id"]: node["kind"] for node in graph["nodes"]} == dict.fromkeys(name.values(), "service")
    for node in graph["nodes"]:
        assert node["namespace"] == namespace
        assert node["attributes"]["team"] == f"team-of-{node['name']}"
        assert node["attributes"]["stage"] == "test"
        assert node["attributes"]["telemetry.sdk.language"] == "python"
    assert "Failed to export" not in logs
    assert "Transient error" not in logs
