"""The built Grafana plugins in a real browser, over a running server with the recorded live system.

Node drives the browser: `grafana-plugin/plugins/host/test`. Here is the server, and its data.
"""

from __future__ import annotations

import gzip
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.e2e.live_capture import identities, read_requests, read_truth
from tests.e2e.process import ServerProcess
from tests.e2e.test_page import large, write
from tests.needs import need_debian

pytestmark = pytest.mark.slow

WORKSPACE = Path(__file__).parents[2] / "grafana-plugin"
PLUGINS = WORKSPACE / "plugins"
MODULES = [PLUGINS / name / "dist" / "module.js" for name in ("panel", "datasource")]
BUILT = [WORKSPACE / "node_modules", PLUGINS / "host" / "dist" / "host.js", *MODULES]


def skip_unless_built() -> None:
    missing = [str(path.relative_to(WORKSPACE)) for path in BUILT if not path.exists()]
    if missing:
        pytest.skip(f"not built: {', '.join(missing)}; run npm ci && npm run build in grafana-plugin")


def wait_for_the_new_dependency(server: ServerProcess, began_s: int) -> None:
    """The server looks for events in the background, on a busy machine for minutes; a dashboard asks only once."""
    deadline = time.monotonic() + 300
    while True:
        events = server.get("/api/v1/events", **{"from": began_s - 600, "to": began_s + 900})["events"]
        if any("promo" in str(event) for event in events):
            return
        assert time.monotonic() < deadline, f"no event tells of promo: {events}"
        time.sleep(0.5)


@pytest.fixture(scope="module")
def server(shared_data: Path) -> Iterator[ServerProcess]:
    folder = shared_data / "live_capture"
    truth = read_truth(folder)
    with ServerProcess("chdb://memory") as process:
        process.post_identities(*identities(truth, {}))
        whole = ExportTraceServiceRequest()
        for request in read_requests(folder):
            whole.MergeFromString(request.body)
        assert process.post_spans(whole.SerializeToString()) == 200
        wait_for_the_new_dependency(process, truth["load"]["from_ns"] // 10**9)
        yield process


@pytest.fixture(scope="module")
def huge(shared_data: Path) -> Iterator[ServerProcess]:
    """A real graph of 1,238 services, in 2024."""
    with ServerProcess("chdb://memory") as process:
        write(process, large(shared_data / "jaeger_uber_graph" / "dependencies_large.json.gz"))
        yield process


def test_plugins_do_on_a_dashboard_what_a_person_expects(
    server: ServerProcess, huge: ServerProcess, shared_data: Path
) -> None:
    """Time, slider, variables, hover, links, comparison, focus, search, errors, both themes."""
    skip_unless_built()
    need_debian("chromium")
    truth = read_truth(shared_data / "live_capture")
    began_ms = str(truth["load"]["from_ns"] // 10**6)
    env = {**os.environ, "CHRONOTOPE_URL": server.url, "BEGAN_MS": began_ms, "HUGE_URL": huge.url}
    command = ["npm", "run", "--silent", "test:browser"]
    run = subprocess.run(command, cwd=WORKSPACE, env=env, capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("plugin", ["datasource", "panel"])
def test_a_plugin_is_small(plugin: str) -> None:
    """All scripts of a plugin together: less than 150 kB gzipped."""
    skip_unless_built()
    scripts = (PLUGINS / plugin / "dist").glob("*.js")
    assert sum(len(gzip.compress(script.read_bytes())) for script in scripts) < 150_000
