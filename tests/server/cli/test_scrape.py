"""`chronotope scrape` as a user runs it: against a real Prometheus, and against an endpoint that counts."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.process import ChronotopeProcess, chronotope
from tests.ingest.metrics.sources.real_prometheus import prometheus_with

pytestmark = pytest.mark.slow

START_S, STEP_S, SAMPLES = 1_700_000_100, 15, 960  # four hours
END_S = START_S + STEP_S * SAMPLES
EDGES = {("shop/front", "shop/cart"): 3, ("shop/front", "shop/pay"): 5}  # calls in each step


def history() -> str:
    lines = ["# TYPE istio_requests counter"]
    for (source, target), rate in EDGES.items():
        for reporter, shift in (("source", 0), ("destination", 2)):
            labels = ",".join(
                f'{end}_workload="{name.split("/")[1]}",{end}_workload_namespace="{name.split("/")[0]}"'
                for end, name in (("source", source), ("destination", target))
            )
            labels += f',reporter="{reporter}",request_protocol="http",response_code="200"'
            lines += [
                f"istio_requests_total{{{labels}}} {rate * n} {START_S + STEP_S * n + shift}" for n in range(SAMPLES)
            ]
    lines += ["# TYPE up gauge", *(f"up {1} {START_S + STEP_S * n}" for n in range(SAMPLES)), "# EOF", ""]
    return "\n".join(lines)


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with prometheus_with(history(), tmp_path_factory.mktemp("prometheus")) as url:
        yield url


def run(*arguments: str) -> Any:
    done = chronotope(*arguments, "--format", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def calls(store: str, begin_s: int, end_s: int) -> dict[tuple[str, str], int]:
    graph = run("graph", "--store", store, "--from", str(begin_s), "--to", str(end_s))
    return {(edge["source"], edge["target"]): edge["evidence"]["ipc"]["calls"] for edge in graph["edges"]}


def test_backfill_that_is_stopped_and_repeated_counts_every_call_once(prometheus: str, tmp_path: Path) -> None:
    store = f"chdb://{tmp_path}/store"
    scrape = ("scrape", "--prometheus", prometheus, "--store", store)
    middle_s = START_S + STEP_S * 400
    first = run(*scrape, "--from", str(START_S), "--to", str(middle_s))
    again = run(*scrape, "--from", str(START_S), "--to", str(middle_s))
    rest = run(*scrape, "--from", str(START_S - 600), "--to", str(END_S + 60))
    assert first["chunks"] > 1
    assert (again["chunks"], again["observations"], again["read"]) == (0, 0, 0)
    assert again["known_seconds"] == rest["known_seconds"] == middle_s - START_S
    expected = {edge: rate * (SAMPLES - 1) for edge, rate in EDGES.items()}
    assert calls(store, START_S // 60 * 60, END_S + 60) == expected
    hour_s = (START_S // 3600 + 1) * 3600
    assert calls(store, hour_s, hour_s + 3600) == {edge: rate * 240 for edge, rate in EDGES.items()}


def test_check_shows_what_presets_find_and_writes_nothing(prometheus: str) -> None:
    done = chronotope("scrape", "--prometheus", "http://127.0.0.1:9", "--check")
    assert done.returncode == 1
    assert "127.0.0.1:9" in done.stderr
    (report,) = run("scrape", "--prometheus", prometheus, "--check")["sources"]
    assert report["mappings"] == []
    assert report["other_metrics"] == 0  # its samples are of long ago


class Endpoint(BaseHTTPRequestHandler):
    """Every scrape finds ten calls more."""

    scrapes = 0

    def do_GET(self) -> None:
        """Answer as an instrumented client does."""
        Endpoint.scrapes += 1
        called = 'server_address="10.0.0.7",server_port="80"'
        text = (
            "# TYPE http_client_request_duration_seconds histogram\n"
            f"http_client_request_duration_seconds_count{{{called}}} {Endpoint.scrapes * 10}\n"
            f'http_client_request_duration_seconds_count{{method="GET"}} {Endpoint.scrapes}\n'
            "go_goroutines 7\n"
        ).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def endpoint() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Endpoint) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/metrics"
        server.shutdown()
        thread.join()


def test_endpoint_is_scraped_round_after_round(endpoint: str, tmp_path: Path) -> None:
    store = f"chdb://{tmp_path}/store"
    config = tmp_path / "chronotope.yaml"
    config.write_text(
        f"metrics:\n  interval: 1s\n  targets: [{{url: '{endpoint}', service: front, namespace: shop}}]\n"
        "identities: [{address: 10.0.0.7, service: shop/cart}]\n"
    )
    (report,) = run("scrape", "--config", str(config), "--check")["sources"]
    assert report["mappings"][0]["edges"] == [{"source": "shop/front", "target": "shop/cart", "protocol": "http"}]
    assert [(unused["reason"], unused["series"]) for unused in report["unused"]] == [("no_target", 1)]
    assert report["other_metrics"] == 1
    done = chronotope("scrape", "--config", str(config), "--store", store, "--rounds", "3")
    assert done.returncode == 0, done.stderr
    graph = run("graph", "--store", store, "--window", "5m", "--at", "now+1m")
    ((edge, evidence),) = [((e["source"], e["target"]), e["evidence"]["ipc"]) for e in graph["edges"]]
    assert edge == ("shop/front", "shop/cart")
    assert evidence["calls"] == 20


def test_second_process_goes_on_where_the_first_one_was(endpoint: str, tmp_path: Path) -> None:
    """Also what was counted between the two is there, once."""
    store = f"chdb://{tmp_path}/store"
    scrapes = Endpoint.scrapes
    for _ in range(2):
        done = chronotope("scrape", "--target", endpoint, "--store", store, "--rounds", "1")
        assert done.returncode == 0, done.stderr
    graph = run("graph", "--store", store, "--window", "10m", "--at", "now+1m")
    assert [edge["evidence"]["ipc"]["calls"] for edge in graph["edges"]] == [10 * (Endpoint.scrapes - scrapes - 1)]


def test_server_scrapes_what_its_configuration_names(endpoint: str, tmp_path: Path) -> None:
    config = tmp_path / "chronotope.yaml"
    config.write_text(
        "metrics:\n  interval: 1s\n  targets:\n"
        f"    - {{url: '{endpoint}', service: front}}\n    - {{url: 'http://127.0.0.1:9/metrics'}}\n"
    )
    arguments = ("--store", "chdb://memory", "--listen", "127.0.0.1:0", "--otlp-http", "none", "--otlp-grpc", "none")
    with ChronotopeProcess("serve", *arguments, "--config", str(config)) as server:
        server.url = server.wait_for(r"(http://[\d.]+:\d+)")
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            edges = server.get("/api/v1/graph", at="now+1m", window="5m")["edges"]
            if edges and edges[0]["evidence"]["ipc"]["calls"] >= 20:
                break
            time.sleep(0.2)
        metrics = server.ask("/metrics", None, {}).body.decode()
        assert server.stop() == 0
    assert [(edge["source"], edge["target"]) for edge in edges] == [("front", "10.0.0.7")]
    assert 'chronotope_metrics_series{use="used"} 1.0' in metrics
    assert 'chronotope_metrics_read_failures_total{source="http://127.0.0.1:9/metrics"}' in metrics
    assert f'chronotope_metrics_lag_seconds{{source="{endpoint}"}}' in metrics


def test_what_cannot_be_done_is_refused_in_one_line(tmp_path: Path) -> None:
    for arguments, words in (
        ((), "nothing to read"),
        (("--prometheus", "localhost:9090"), "is not an address"),
        (("--target", "http://127.0.0.1:1/metrics"), "no store is given"),
        (("--target", "http://127.0.0.1:1/metrics", "--store", "chdb://memory", "--from", "now-1h"), "have no past"),
    ):
        done = chronotope("scrape", *arguments)
        assert done.returncode in (1, 2)
        assert words in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
