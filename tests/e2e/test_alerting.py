"""An alert on its way to people: chronotope, a real Alertmanager, a real Prometheus, each started again in between."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.process import ServerProcess
from tests.needs import need_debian
from tests.server.delivery.receiver import Endpoint, endpoint

pytestmark = pytest.mark.slow

RULES = """
rules:
  - name: dev must not call prod
    match: {{source_namespace: dev, target_namespace: prod}}
    when: {{forbidden: true}}
    window: 40s
    severity: critical
    annotations: {{summary: "{{source}} calls {{target}}"}}
delivery:
  resend: 5s
  alertmanagers: [{{url: "{alertmanager}"}}]
  webhooks: [{{url: "{webhook}/hook", secret: "a key"}}]
"""
ROUTES = """
route: {{receiver: people, group_by: [alertname], group_wait: 1s, group_interval: 1s, repeat_interval: 4h}}
receivers: [{{name: people, webhook_configs: [{{url: "{people}", send_resolved: true}}]}}]
"""
SCRAPE = """
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: ["{rules}"]
scrape_configs: [{{job_name: chronotope, static_configs: [{{targets: ["{target}"]}}]}}]
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(holds: Callable[[], Any], what: str, timeout_s: float = 60) -> Any:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        with suppress(urllib.error.URLError, OSError):
            found = holds()
            if found:
                return found
        time.sleep(0.1)
    raise AssertionError(f"not in time: {what}")


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return json.load(answer)


@contextmanager
def running(command: list[str], ready: str, log: Path) -> Iterator[None]:
    """A peer until the end, which it is told of: it keeps what it knows."""
    with log.open("ab") as out, subprocess.Popen(command, stdout=out, stderr=out) as process:
        try:
            wait_until(lambda: urllib.request.urlopen(ready, timeout=2).close() or True, log.read_text)
            yield
        finally:
            process.terminate()
            process.wait(20)


@contextmanager
def alertmanager(folder: Path, port: int, people: str) -> Iterator[None]:
    (folder / "alertmanager.yml").write_text(ROUTES.format(people=people))
    command = [
        "prometheus-alertmanager", f"--config.file={folder}/alertmanager.yml", f"--storage.path={folder}/am",
        f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address=", "--log.level=warn",
    ]  # fmt: skip
    with running(command, f"http://127.0.0.1:{port}/-/ready", folder / "alertmanager.log"):
        yield


@contextmanager
def prometheus(folder: Path, port: int, target: str) -> Iterator[None]:
    rules = files("chronotope.server.rules") / "examples" / "prometheus-rules.yml"
    (folder / "prometheus.yml").write_text(SCRAPE.format(rules=rules, target=target))
    command = [
        "prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/tsdb",
        f"--web.listen-address=127.0.0.1:{port}", "--log.level=error",
    ]  # fmt: skip
    with running(command, f"http://127.0.0.1:{port}/-/ready", folder / "prometheus.log"):
        yield


class Traffic:
    """Calls that must not be, every second, to whatever server runs."""

    def __init__(self) -> None:
        self.server: ServerProcess | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(1):
            call = {
                "time": int(time.time()),
                "layer": "trace",
                "source": "dev/tool",
                "target": "prod/ledger",
                "calls": 1,
            }
            with suppress(OSError, AttributeError):
                self.server.post("/api/v1/observations", json.dumps(call).encode(), "application/x-ndjson")  # type: ignore[union-attr]

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


def told(people: Endpoint) -> Counter[str]:
    return Counter(request.json["status"] for request in people.requests)


def test_an_alert_fires_and_ends_once_though_everybody_starts_again(tmp_path: Path) -> None:
    """chronotope is killed, then Alertmanager stopped and started, while the alert fires: people hear of it once.

    The rule looks back further than a start takes: calls that nobody could take are calls that nobody saw.
    """
    need_debian("prometheus-alertmanager", "prometheus")
    port, seen_by = free_port(), free_port()
    url, store, config = f"http://127.0.0.1:{port}", f"chdb://{tmp_path}/store", tmp_path / "chronotope.yaml"
    traffic = Traffic()
    with endpoint() as people, endpoint() as hook, ExitStack() as opened:
        config.write_text(RULES.format(alertmanager=url, webhook=hook.url))
        with alertmanager(tmp_path, port, people.url):
            with ServerProcess(store, "--config", str(config)) as first:
                traffic.server = first
                people.wait_for(1)
                hook.wait_for(1)
                first.kill()
            second = opened.enter_context(ServerProcess(store, "--config", str(config)))
            traffic.server = second
            with prometheus(tmp_path, seen_by, second.url.removeprefix("http://")):
                firing = f"http://127.0.0.1:{seen_by}/api/v1/alerts"
                wait_until(lambda: _names(get(firing)), "Prometheus' own alert fires")
            (standing,) = second.get("/api/v1/alerts")["alerts"]
        with alertmanager(tmp_path, port, people.url):
            traffic.stop()
            (shown,) = wait_until(lambda: get(f"{url}/api/v2/alerts"), "the new Alertmanager knows of it")
            assert shown["annotations"]["summary"] == "dev/tool calls prod/ledger"
            assert shown["startsAt"] == standing["fired_at"]
            people.wait_for(2, 100)
            hook.wait_for(2, 100)
            assert second.stop() == 0
    assert told(people) == {"firing": 1, "resolved": 1}
    # The kill came when the webhook had answered and before that was written: once more, with the same id.
    ids = [request.json["id"] for request in hook.requests]
    assert len(set(ids)) == 2
    assert len(ids) <= 3
    assert {request.json["starts_at"] for request in hook.requests} == {standing["fired_at"]}


def _names(answer: Any) -> list[str]:
    return [
        alert["labels"]["rule"]
        for alert in answer["data"]["alerts"]
        if alert["labels"]["alertname"] == "ChronotopeRuleFiring" and alert["state"] == "firing"
    ]
