"""The recorded system's traces, flows and metrics together: each dependency is one edge, and the proxy is `via`."""

from __future__ import annotations

import json
import time
from collections import Counter

import pytest

from chronotope.ingest.identity.owners import Identities, Ownership
from chronotope.ingest.metrics.mapping.pipeline import MetricsPipeline
from chronotope.schema.config.config import Config
from tests.e2e.live_capture import identities, read_requests, read_truth
from tests.e2e.live_flows import flow_records
from tests.e2e.process import ServerProcess
from tests.e2e.test_live_flows import post_flows
from tests.ingest.metrics.mapping.test_live_capture import scrapes

pytestmark = pytest.mark.slow

NAMESPACES = dict.fromkeys(("frontend", "orders", "payment"), "shop")
CONFIG = """
trace: {answer_wait: 1s}
telemetry: {services: [collector]}
intermediaries: [{service: haproxy, kind: balancer}]
aliases: {orders: shop/orders, frontend: shop/frontend}
"""
REPORTERS = ("", "source", "target")


def counted(capture, owners):
    """What the scraped metrics say, as records of observations."""
    claims = [
        Ownership(
            one["address"], f"{one['namespace']}/{one['service']}".strip("/"), 0, "service", one["from"], one["to"]
        )
        for one in owners
    ]
    pipeline = MetricsPipeline(Config(), lambda: Identities(claims))
    for samples in scrapes(capture, pipeline):
        for table in pipeline.accept(samples):
            for row in table.to_pylist():
                kept = (
                    "time",
                    "layer",
                    "source",
                    "target",
                    "protocol",
                    "source_kind",
                    "target_kind",
                    "calls",
                    "errors",
                )
                yield {name: row[name] for name in kept} | {"reporter": REPORTERS[row["reporter"]]}


@pytest.fixture(scope="module")
def merged(shared_data, tmp_path_factory):
    """A server that has it all, and the window of the load."""
    capture = shared_data / "live_capture"
    truth = read_truth(capture)
    folder = tmp_path_factory.mktemp("merged")
    (folder / "config.yaml").write_text(CONFIG)
    owners = identities(truth, NAMESPACES)
    with ServerProcess(f"chdb://{folder}/store", "--config", str(folder / "config.yaml")) as server:
        server.post_identities(*owners)
        post_flows(server, flow_records(capture, truth["clock"]))
        lines = "".join(f"{json.dumps(record)}\n" for record in counted(capture, owners) if record["source"])
        assert server.post("/api/v1/observations", lines.encode(), "application/x-ndjson")[0] == 200
        bodies = [request.body for request in read_requests(capture)]
        for start in range(0, len(bodies), 100):  # requests that follow each other are one request
            assert server.post_spans(b"".join(bodies[start : start + 100])) == 200
        server.wait_for_release()
        begin, end = (truth["load"][name] // 10**9 // 10 * 10 for name in ("from_ns", "to_ns"))
        window = {"from": begin, "to": end + 20}
        deadline = time.monotonic() + 60
        while not any(edge["via"] for edge in server.get("/api/v1/graph", **window, layers="network")["edges"]):
            assert time.monotonic() < deadline, server.log
            time.sleep(0.5)
        time.sleep(6)  # one more round, for what came last
        yield server, window
        assert server.stop() == 0


@pytest.fixture(scope="module")
def edges(merged):
    server, window = merged
    found = server.get("/api/v1/graph", **window)["edges"]
    assert Counter((edge["source"], edge["target"]) for edge in found).most_common(1)[0][1] == 1
    return {(edge["source"], edge["target"]): edge for edge in found}


def test_frontend_calls_orders_once_via_the_balancer(edges, merged):
    server, window = merged
    hops = server.get("/api/v1/graph", **window, view="hops")["edges"]
    edge = edges["shop/frontend", "shop/orders"]
    assert edge["via"] == ["haproxy"]
    assert edge["layers"] == ["network", "trace"]
    assert (edge["protocol"], edge["confidence"], edge["inferred"]) == ("http", 1.0, False)
    assert edge["evidence"]["trace"]["calls"] == 1017
    hop = next(hop for hop in hops if (hop["source"], hop["target"]) == ("shop/frontend", "haproxy"))
    assert edge["evidence"]["network"] == {
        **hop["evidence"]["network"],
        "rtt_ms": edge["evidence"]["network"]["rtt_ms"],
    }


def test_the_balancer_keeps_in_the_resolved_view_what_is_its_own(edges):
    """Calls that it could not pass on, its health checks in traces, and what only its metrics count."""
    kept = {pair: edge["layers"] for pair, edge in edges.items() if "haproxy" in pair}
    assert set(kept) >= {("shop/frontend", "haproxy"), ("haproxy", "shop/orders")}
    assert ("haproxy", "promo") not in kept


def test_every_true_edge_is_there_once_and_no_other(edges, shared_data):
    truth = read_truth(shared_data / "live_capture")
    ids = {
        owner["service"]: f"{owner['namespace']}/{owner['service']}".strip("/")
        for owner in identities(truth, NAMESPACES)
    }
    true = {
        (ids[edge["source"]], ids[edge["target"]])
        for edge in truth["edges"]
        if "collector" not in (edge["source"], edge["target"])
    }
    # A metric of the proxies' own listeners knows no caller: that is a finding, not an edge of the truth.
    assert {pair for pair in edges if "unknown" not in pair} == true


def test_flows_join_the_protocol_that_is_spoken(edges):
    spoken = {
        ("edge-envoy", "shop/frontend"): "http",
        ("shop/orders", "shop/payment"): "grpc",
        ("shop/orders", "redis"): "redis",
        ("shop/frontend", "recommender"): "http",
    }
    assert {pair: edges[pair]["protocol"] for pair in spoken} == spoken
    assert all({"network", "trace"} <= set(edges[pair]["layers"]) for pair in spoken)


def test_hops_are_as_they_were_seen(merged):
    server, window = merged
    found = server.get("/api/v1/graph", **window, view="hops", layers="network")["edges"]
    pairs = {(edge["source"], edge["target"]) for edge in found}
    assert {("shop/frontend", "haproxy"), ("haproxy", "shop/orders")} <= pairs
    assert ("shop/frontend", "shop/orders") not in pairs
    assert not any(edge["via"] for edge in found)
