"""`chronotope demo` as a stranger starts it: something to see within seconds, a past to travel, a clean end."""

from __future__ import annotations

import re
import time
from contextlib import contextmanager

import pytest

from tests.compiling import compile_all, is_compiled
from tests.e2e.process import ChronotopeProcess, chronotope

pytestmark = pytest.mark.slow

HISTORY_S = 1800
NEWCOMER = "shop/adservice"


@contextmanager
def demo(*options):
    """A demo that says where it is; ended by Ctrl-C, with code 0 and nothing but what it means to say."""
    none = ("--otlp-http", "none", "--otlp-grpc", "127.0.0.1:0")
    with ChronotopeProcess("demo", "--history", "30m", "--listen", "127.0.0.1:0", *none, *options) as process:
        process.url = process.wait_for(r"chronotope is at (http://[^/\s]+)/")
        yield process
        assert process.stop() == 0
        assert "Traceback" not in process.log
        assert "WARNING" not in process.log
        assert process.log.endswith("stopping …\n")


@pytest.fixture(scope="module", autouse=True)
def compiled():
    """Compile before the clock runs: the first start on a machine takes longer."""
    if not is_compiled():
        compile_all()


def nodes_of(graph):
    return {node["id"] for node in graph["nodes"]}


def calls_of(graph):
    return sum(edge["evidence"]["trace"]["calls"] for edge in graph["edges"])


def test_a_graph_is_there_at_once_and_grows():
    with demo() as process:
        assert len(process.get("/api/v1/graph")["edges"]) == 13
        recent = {"from": "now-1m", "to": "now+1m"}
        before = calls_of(process.get("/api/v1/graph", **recent))
        deadline = time.monotonic() + 60
        while calls_of(process.get("/api/v1/graph", **recent)) <= before:
            assert time.monotonic() < deadline, "no live traffic came"
            time.sleep(0.5)


def test_its_past_can_be_travelled_and_what_it_suggests_works(tmp_path):
    """Also when it is started again on the same store: the past stays as it was."""
    store = f"chdb://{tmp_path}/demo"
    with demo("--store", store) as process:
        now_s = time.time()
        deployed_s = now_s - HISTORY_S / 3
        before = process.get("/api/v1/graph", at=deployed_s - 60)
        after = process.get("/api/v1/graph", at=deployed_s + 330)
        assert nodes_of(after) - nodes_of(before) == {NEWCOMER}
        assert len(before["edges"]) == 12
        tries = re.findall(r"^  chronotope (.+?)(?:   #.*)?$", process.log, re.M)
        assert [line.split()[0] for line in tries] == ["graph", "graph", "timeline", "services"]
        shown = [chronotope(*line.split()) for line in tries]
        assert [(done.returncode, done.stderr) for done in shown] == [(0, "")] * 4
        assert ["adservice" in done.stdout for done in shown] == [True, False, False, True]
        window = {"from": int(now_s - HISTORY_S) // 10 * 10 + 60, "to": int(now_s) // 10 * 10 - 60}
        first = process.get("/api/v1/graph", **window)
    with demo("--store", store) as process:
        again = process.get("/api/v1/graph", **window)
        assert [edge["evidence"] for edge in again["edges"]] == [edge["evidence"] for edge in first["edges"]]
        assert nodes_of(process.get("/api/v1/graph", at=deployed_s - 60)) == nodes_of(before)


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (("--history", "soon"), 2, "chronotope: --history 'soon' is not a duration"),
        (("--listen", "none"), 2, "--listen cannot be none"),
        (("--store", "chdb:///proc/chronotope"), 1, "chronotope: store chdb:///proc/chronotope: cannot make"),
    ],
)
def test_what_it_cannot_do_is_said_in_a_line(options, code, said):
    ended = chronotope("demo", "--listen", "127.0.0.1:0", "--otlp-http", "none", "--otlp-grpc", "none", *options)
    assert ended.returncode == code
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
