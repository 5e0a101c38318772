"""The built Grafana plugins in a real browser, over a running server with the recorded live system.

Node drives the browser: `grafana-plugin/plugins/host/test`. Here is the server, and its data.
"""

from __future__ import annotations

import gzip
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.e2e.live_capture import identities, read_requests, read_truth
from tests.e2e.process import ServerProcess
from tests.e2e.test_page import large, write

pytestmark = pytest.mark.slow

PLUGINS = Path(__file__).parents[2] / "grafana-plugin" / "plugins"
BUILT = [PLUGINS / name for name in ("node_modules", "panel/dist/module.js", "datasource/dist/module.js")]


def skip_unless_built() -> None:
    missing = [str(path.relative_to(PLUGINS)) for path in BUILT if not path.exists()]
    if missing:
        pytest.skip(f"not built: {', '.join(missing)}; run npm ci && npm run build in grafana-plugin/plugins")


@pytest.fixture(scope="module")
def server(shared_data: Path) -> Iterator[ServerProcess]:
    folder = shared_data / "live_capture"
    with ServerProcess("chdb://memory") as process:
        process.post_identities(*identities(read_truth(folder), {}))
        whole = ExportTraceServiceRequest()
        for request in read_requests(folder):
            whole.MergeFromString(request.body)
        assert process.post_spans(whole.SerializeToString()) == 200
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
    if not shutil.which("chromium"):
        pytest.skip("no chromium: apt-get install chromium")
    truth = read_truth(shared_data / "live_capture")
    began_ms = str(truth["load"]["from_ns"] // 10**6)
    env = {**os.environ, "CHRONOTOPE_URL": server.url, "BEGAN_MS": began_ms, "HUGE_URL": huge.url}
    command = ["npm", "run", "--silent", "test:browser"]
    run = subprocess.run(command, cwd=PLUGINS, env=env, capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("plugin", ["datasource", "panel"])
def test_a_plugin_is_small(plugin: str) -> None:
    """All scripts of a plugin together: less than 150 kB gzipped."""
    skip_unless_built()
    scripts = (PLUGINS / plugin / "dist").glob("*.js")
    assert sum(len(gzip.compress(script.read_bytes())) for script in scripts) < 150_000
