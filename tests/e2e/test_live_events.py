"""The recorded live system, posted to a running server: an event for every dependency that starts or ends, once.

What starts: `promo` two minutes after the load, and a job, `cron`, that only flows see. What ends: the job, a minute
later. An instance that is killed and comes back with another address, and an address that changes its owner, are none.
"""

from __future__ import annotations

import json
import subprocess
import time
from datetime import datetime

import pytest

from tests.e2e.live_capture import identities, read_requests, read_truth, spans_of
from tests.e2e.live_flows import flow_records
from tests.e2e.process import COMMAND, ServerProcess

pytestmark = pytest.mark.slow

AT_ONCE = 60  # requests that follow each other are one request
BASELINE_S, BUCKET_S = 60, 10


@pytest.fixture(scope="module")
def capture(shared_data):
    return shared_data / "live_capture"


@pytest.fixture(scope="module")
def truth(capture):
    return read_truth(capture)


def expected(truth):
    """(type, source, target) → second, of what starts or ends while the load runs.

    Derived from the truth alone: what begins a minute or more after everything else, and what ends that long before.
    """
    begin = min(edge["from_ns"] for edge in truth["edges"]) // 10**9
    end = max(edge["to_ns"] for edge in truth["edges"]) // 10**9
    loaded = min(edge["to_ns"] for edge in truth["edges"] if edge["source"] == "loadgen") // 10**9
    found = {}
    for edge in truth["edges"]:
        pair = (edge["source"], edge["target"])
        if edge["from_ns"] // 10**9 > begin + BASELINE_S:
            found["new_dependency", *pair] = edge["from_ns"] // 10**9
        if edge["to_ns"] // 10**9 < min(loaded, end) - BASELINE_S:
            found["vanished_dependency", *pair] = edge["to_ns"] // 10**9
    return found


def second(text):
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def named(events):
    def name(service):
        return service.rpartition("/")[2]

    return {(one["type"], name(one["edge"]["source"]), name(one["edge"]["target"])): one for one in events}


def events_of(server, truth):
    begin = truth["clock"]["wall_ns"] // 10**9
    return server.get("/api/v1/events", **{"from": begin, "to": begin + 3600})["events"]


def wait_for_events(server, truth, wanted, timeout_s=120):
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        found = events_of(server, truth)
        # A flow that came before the traces of its edge is told as an edge of its own until these are there.
        if len(found) == len(wanted) and named(found).keys() == wanted.keys():
            return found
        time.sleep(0.5)
    return events_of(server, truth)


@pytest.fixture(scope="module")
def story(tmp_path_factory, capture, truth):
    """Everything is posted while the server looks; it is stopped, started again, and stopped. Returns the events."""
    store = f"chdb://{tmp_path_factory.mktemp('events')}/store"
    requests = read_requests(capture)
    namespaces = {resource["service.name"]: resource.get("service.namespace", "") for resource, _ in spans_of(requests)}
    bodies = [b"".join(one.body for one in requests[at : at + AT_ONCE]) for at in range(0, len(requests), AT_ONCE)]
    flows = "\n".join(map(json.dumps, flow_records(capture, truth["clock"]))).encode()
    wanted = expected(truth)
    with ServerProcess(store) as server:
        server.post_identities(*identities(truth, namespaces))
        for body in bodies[: len(bodies) // 2]:
            assert server.post_spans(body) == 200
        assert server.post("/api/v1/flows", flows, "application/x-ndjson")[0] == 200
        for body in bodies[len(bodies) // 2 :]:
            assert server.post_spans(body) == 200
        first = wait_for_events(server, truth, wanted)
        told = server.metric('chronotope_events_total{type="new_dependency"}')
        assert server.stop() == 0
    with ServerProcess(store) as server:
        assert server.post("/api/v1/flows", flows, "application/x-ndjson")[0] == 200
        time.sleep(6)  # it looks every five seconds
        again = events_of(server, truth)
        assert server.stop() == 0
    window = ("--from", str(truth["clock"]["wall_ns"] // 10**9), "--to", str(truth["clock"]["wall_ns"] // 10**9 + 3600))
    shown = subprocess.run([*COMMAND, "events", "--store", store, *window], capture_output=True, text=True, timeout=60)
    return wanted, first, again, told, shown


def test_every_dependency_that_starts_or_ends_is_told_and_nothing_else(story):
    wanted, first, *_ = story
    assert set(wanted) == {
        ("new_dependency", "frontend", "promo"),
        ("new_dependency", "cron", "redis"),
        ("vanished_dependency", "cron", "redis"),
    }
    assert named(first).keys() == wanted.keys()
    assert len(first) == len(wanted)


def test_times_are_those_of_the_data_within_a_bucket(story):
    wanted, first, *_ = story
    for key, event in named(first).items():
        assert abs(second(event["time"]) - wanted[key]) <= BUCKET_S, key
        late = second(event["evident_at"]) - second(event["time"])
        # The job opened two connections in ten seconds for a minute: no rule can be sure at once that it has ended.
        assert late <= (120 if key[0] == "vanished_dependency" else BUCKET_S)


def test_a_restart_and_repeated_data_tell_nothing_twice(story):
    _, first, again, told, _ = story
    assert [(one["id"], one["time"]) for one in again] == [(one["id"], one["time"]) for one in first]
    assert told >= 2


def test_the_command_prints_them(story):
    shown = story[-1]
    assert shown.returncode == 0, shown.stderr
    assert "vanished_dependency" in shown.stdout
    assert "3 events" in shown.stdout
