"""The built-in page in a real browser: grafana-plugin/page/browser, run against a server with known data.

Pictures of it, in both themes and three sizes, are left in `$CHRONOTOPE_PICTURES`, if that is set.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.e2e.process import ServerProcess
from tests.needs import need_debian

pytestmark = pytest.mark.slow

WORKSPACE = Path(__file__).parents[2] / "grafana-plugin"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
LARGE = WORKSPACE.parents[1] / "shared" / "data" / "jaeger_uber_graph" / "dependencies_large.json.gz"
LARGE_AT = "2024-03-02T12:00:10Z"
KINDS = {"shop/orders-db": "database", "kafka/orders": "messaging", "pay.example.com": "external", "unknown": "unknown"}


def seconds(clock: str) -> int:
    return int(datetime.fromisoformat(clock).replace(tzinfo=UTC).timestamp())


def shop() -> Iterator[dict[str, object]]:
    """An hour of a small shop: recs appears at 10:30, soap is gone from 10:40, the database fails from 10:45."""
    begin = seconds("2024-03-01T10:00")
    for minute in range(60):
        calls = [("shop/front", "shop/cart", 600), ("shop/cart", "shop/orders-db", 900), ("unknown", "shop/front", 700)]
        calls += [("shop/cart", "kafka/orders", 60), ("kafka/orders", "shop/ship", 60)]
        calls += [("shop/cart", "pay.example.com", 50)] + [("shop/cart", "shop/recs", 300)] * (minute >= 30)
        calls += [("shop/front", "legacy/soap", 200)] * (minute < 40)
        for at in range(6):
            for source, target, count in calls:
                broken = target == "shop/orders-db" and minute >= 45
                record = {"time": begin + minute * 60 + at * 10, "layer": "trace", "source": source, "target": target}
                record |= {"protocol": "http", "calls": count // 6, "errors": count // 20 if broken else 0}
                record |= {"source_kind": KINDS.get(source, "service"), "target_kind": KINDS.get(target, "service")}
                record |= {"latency_ms_sum": count, "latency_ms_buckets": [[5, count // 6]]}
                yield record | ({"source_attributes": {"team": "platform"}} if source == "shop/cart" else {})
            yield {
                "time": begin + minute * 60 + at * 10, "layer": "network", "source": "shop/cart",
                "target": "shop/orders-db", "protocol": "http", "connections": 3, "bytes_sent": 4000,
                "bytes_received": 90_000,
            }  # fmt: skip


def too_large() -> Iterator[dict[str, object]]:
    at = seconds("2024-03-03T12:00")
    for number in range(3000):
        for step in (1, 77, 1211):
            ends = (f"n{end % 30}/s{end}" for end in (number, (number + step) % 3000))
            source, target = ends
            yield {"time": at, "layer": "ipc", "source": source, "target": target, "protocol": "grpc", "calls": number}


def large(path: Path) -> Iterator[dict[str, object]]:
    """A real graph of 1,238 services (Jaeger's sample of Uber)."""
    at = seconds("2024-03-02T12:00")
    for edge in json.loads(gzip.decompress(path.read_bytes())):
        record = {"time": at, "layer": "trace", "source": edge["parent"], "target": edge["child"], "protocol": "http"}
        yield record | {"calls": edge["callCount"]}


def need_workspace() -> None:
    need_debian("node")
    if not (WORKSPACE / "node_modules" / "playwright-core").exists():
        pytest.skip("grafana-plugin has no node_modules: npm ci")


def write(server: ServerProcess, records: Iterator[dict[str, object]]) -> None:
    body = "\n".join(json.dumps(record) for record in records).encode()
    status, answer = server.post("/api/v1/observations", body, "application/x-ndjson")
    assert (status, json.loads(answer)["rejected"]) == (200, 0), answer


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, str]]:
    """Servers with known data, as the browser's tests are told of them."""
    need_debian("node", *([] if any(map(shutil.which, BROWSERS)) else ["chromium"]))
    need_workspace()
    with ExitStack() as stack:
        small = stack.enter_context(ServerProcess("chdb://memory"))
        write(small, shop())
        write(small, too_large())
        told = {"CHRONOTOPE_URL": small.url}
        if LARGE.exists():
            other = stack.enter_context(ServerProcess("chdb://memory"))
            write(other, large(LARGE))
            told["LARGE_URL"] = f"{other.url}/?at={LARGE_AT}"
        yield told


def test_the_page_does_in_a_browser_what_people_expect(servers: dict[str, str]) -> None:
    environment = {**os.environ, **servers, "PICTURES": os.environ.get("CHRONOTOPE_PICTURES", "")}
    tests = sorted(str(path.relative_to(WORKSPACE)) for path in (WORKSPACE / "page" / "browser").glob("*.test.mjs"))
    command = ["node", "--test", "--test-reporter=spec", *tests]
    done = subprocess.run(command, cwd=WORKSPACE, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2000:]


def test_the_page_that_is_served_is_built_from_its_sources() -> None:
    need_workspace()
    done = subprocess.run(["node", "scripts/build-page.mjs", "--check"], cwd=WORKSPACE, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
