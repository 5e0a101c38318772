"""The recorded system with other names, addresses (IPv6), ports and times, told in another order: the same answers.

Nothing may depend on what the recording happens to call things: see altered_capture.py.
"""

from __future__ import annotations

import json
import random
import time
from collections import Counter

import pytest

from tests.e2e.altered_capture import Alteration, alter
from tests.e2e.live_capture import identities, read_requests, read_truth
from tests.e2e.live_flows import flow_records
from tests.e2e.process import ServerProcess
from tests.e2e.test_live_flows import expected_edges, minutes, network_edges, post_flows
from tests.e2e.test_live_merged import counted

pytestmark = pytest.mark.slow

NAMES = {
    "loadgen": "k6", "edge-envoy": "north-gate", "frontend": "web", "haproxy": "lb-7", "orders": "Basket_Svc",
    "redis": "kv", "payment": "acme.billing", "recommender": "reco", "promo": "ads", "cron": "nightly",
    "collector": "otelcol", "shop": "prod-eu",
}  # fmt: skip
OLD = [f"10.77.0.{at}" for at in (1, 2, 11, 20, 31, 32, 33, 40, 50, 60, 70, 80, 90)] + ["10.96.0.40"]
PORTS = {
    ("10.77.0.20", 8000): 9000, ("10.96.0.40", 6379): 16380, ("10.77.0.2", 8080): 30443, ("10.77.0.50", 50051): 7777,
}  # fmt: skip
HOW = Alteration(
    names=NAMES,
    places={old: f"fd4b:1:{at * 37:x}::{at * 5 + 1:x}" for at, old in enumerate(OLD)},
    ports=PORTS,
    # No edge of the truth, which may be silent for five seconds, then ends just after a minute has begun.
    shift_ms=(7 * 3600 + 29 * 60 + 41) * 1000 + 777,
)
NAMESPACES = dict.fromkeys(("web", "Basket_Svc", "acme.billing"), "prod-eu")
CONFIG = """
trace: {answer_wait: 1s}
telemetry: {services: [otelcol]}
intermediaries: [{service: lb-7, kind: balancer}]
aliases: {Basket_Svc: prod-eu/Basket_Svc, web: prod-eu/web}
"""


@pytest.fixture(scope="module")
def capture(shared_data, tmp_path_factory):
    return alter(shared_data / "live_capture", tmp_path_factory.mktemp("altered") / "capture", HOW)


@pytest.fixture(scope="module")
def truth(capture):
    return read_truth(capture)


@pytest.fixture(scope="module")
def owners(truth):
    """Ranges of the services, without the virtual address."""
    own = {item["ip"] for item in truth["identities"]}
    return [item for item in identities(truth, NAMESPACES) if item["address"] in own]


@pytest.fixture(scope="module")
def server(tmp_path_factory, capture, truth, owners):
    """Flows in any order, then who owned what, backwards, then metrics and spans, the last first."""
    folder = tmp_path_factory.mktemp("altered_server")
    (folder / "config.yaml").write_text(CONFIG)
    records, requests = flow_records(capture, truth["clock"]), read_requests(capture)[::-1]
    vip = {**owners[0], "service": "kv", "namespace": "", "address": HOW.places["10.96.0.40"]}
    with ServerProcess(f"chdb://{folder}/store", "--config", str(folder / "config.yaml")) as running:
        post_flows(running, random.Random(7).sample(records, len(records)))
        for owner in reversed(owners):
            running.post_identities(owner)
        running.post_identities({**vip, "from": truth["load"]["from_ns"] // 10**6 - 60_000})
        lines = "".join(f"{json.dumps(record)}\n" for record in counted(capture, owners) if record["source"])
        assert running.post("/api/v1/observations", lines.encode(), "application/x-ndjson")[0] == 200
        for start in range(0, len(requests), 100):
            assert running.post_spans(b"".join(request.body for request in requests[start : start + 100])) == 200
        running.wait_for_release()
        yield running
        assert running.stop() == 0


def ids(truth):
    """Name in the truth → service id."""
    return {item["service"]: f"{NAMESPACES.get(item['service'], '')}/{item['service']}".strip("/")
            for item in truth["identities"]}  # fmt: skip


def test_flows_of_every_minute_are_the_truth(server, truth):
    named = ids(truth)
    for begin_s in minutes(truth):
        true = {(named[source], named[target]) for source, target in expected_edges(truth, begin_s, "otelcol")}
        assert set(network_edges(server, begin_s, begin_s + 60)) == true, begin_s - minutes(truth)[0]


def test_layers_together_say_each_dependency_once_with_the_balancer_between(server, truth):
    named = ids(truth)
    window = {"from": minutes(truth)[0] - 60, "to": minutes(truth)[-1] + 120}
    wanted = named["web"], named["Basket_Svc"]
    deadline = time.monotonic() + 120
    while True:
        edges = server.get("/api/v1/graph", **window)["edges"]
        found = [edge for edge in edges if (edge["source"], edge["target"]) == wanted]
        if any(edge["layers"] == ["network", "trace"] for edge in found) or time.monotonic() > deadline:
            break
        time.sleep(0.5)
    assert [(edge["via"], edge["layers"], edge["confidence"], edge["inferred"]) for edge in found] == [
        (["lb-7"], ["network", "trace"], 1.0, False)
    ]
    assert found[0]["evidence"]["trace"]["calls"] == 1017
    pairs = Counter((edge["source"], edge["target"]) for edge in edges if edge["source"] != "unknown")
    true = {(named[edge["source"]], named[edge["target"]]) for edge in truth["edges"]}
    assert set(pairs) == {pair for pair in true if "otelcol" not in pair}
    assert set(pairs.values()) == {1}
