"""A recorded live system, posted again to a running server: the true trace edges, each with its true calls.

What was recorded holds on purpose: two proxies in the way, a virtual address, an address that changes its owner, an
instance killed with its spans unsent, peers that send no spans, health checks, old and new conventions mixed.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
import yaml
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.e2e.live_capture import identities, read_requests, read_truth, spans_of
from tests.e2e.process import ServerProcess, chronotope

pytestmark = pytest.mark.slow

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
SENDERS = 16

# Edges that `truth.json` sees in another layer only, and the line of the policy that gives them from spans too:
# "A server or consumer span without a parent, or whose parent never comes, that names its caller […] gives that edge;
# by address, only if an identity owns it."
CALLED_BY_ADDRESS = {
    ("loadgen", "edge-envoy"): "Envoy's ingress spans have no parent and name 10.77.0.1",
    ("haproxy", "shop/orders"): "spans of health checks have no parent and name 10.77.0.20",
}


@pytest.fixture(scope="module")
def capture(shared_data):
    return shared_data / "live_capture"


@pytest.fixture(scope="module")
def requests(capture):
    return read_requests(capture)


@pytest.fixture(scope="module")
def spans(requests):
    return list(spans_of(requests))


@pytest.fixture(scope="module")
def window(spans):
    """All that was recorded."""
    starts = [span.start_time_unix_nano / 1e9 for _, span in spans]
    return {"from": math.floor(min(starts) / 10) * 10, "to": math.ceil(max(starts) / 10) * 10 + 10}


@pytest.fixture(scope="module")
def owners(capture, spans):
    namespaces = {resource["service.name"]: resource.get("service.namespace", "") for resource, _ in spans}
    assert namespaces == {"edge-envoy": "", "frontend": "shop", "orders": "shop", "payment": "shop"}
    return identities(read_truth(capture), namespaces)


@pytest.fixture(scope="module")
def server(tmp_path_factory, requests, owners):
    """A server that was told who owns what, and then got every request, many at a time, as it came in."""
    folder = tmp_path_factory.mktemp("live")
    config = folder / "config.yaml"
    config.write_text("trace: {answer_wait: 1s}\n")  # so that spans whose parent never comes need no minute
    with ServerProcess(f"chdb://{folder}/store", "--config", str(config), grpc=True) as running:
        running.post_identities(*owners)
        with grpc.insecure_channel(running.grpc) as channel, ThreadPoolExecutor(SENDERS) as senders:
            export = channel.unary_unary(EXPORT)

            def send(request):
                if request.transport == "grpc":
                    return export(request.body, timeout=60) == b""
                return running.post("/v1/traces", request.body, "application/x-protobuf") == (200, b"")

            assert all(senders.map(send, requests))
        running.wait_for_release()
        yield running
        assert running.stop() == 0


@pytest.fixture(scope="module")
def graph(server, window):
    return server.get("/api/v1/graph", **window, measures="full")


@pytest.fixture(scope="module")
def dump(tmp_path_factory, requests):
    """The recorded requests as one file: requests that follow each other are one request."""
    path = tmp_path_factory.mktemp("dump") / "requests.otlp"
    path.write_bytes(b"".join(request.body for request in requests))
    return path


def import_graph(folder, dump, window, *options):
    """The graph of a fresh store into which the file was imported."""
    store = f"chdb://{folder}/store"
    done = chronotope("import", str(dump), "--input", "otlp", "--store", store, "--format", "json", *options)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["read"], told["reasons"]) == (11_153, {})
    times = ("--from", str(window["from"]), "--to", str(window["to"]))
    answered = chronotope("graph", "--store", store, *times, "--measures", "full", "--format", "json")
    assert answered.returncode == 0, answered.stderr
    return json.loads(answered.stdout)


def to_ten_seconds(edge):
    """An edge whose ends are as exact as they are where an answer came late, and what had been told was taken back."""
    return edge | {name: edge[name][: len("2026-11-22T22:21:4")] for name in ("first_seen", "last_seen")}


def calls_of(graph):
    """(source, target, protocol) → calls."""
    return {(e["source"], e["target"], e["protocol"]): e["evidence"]["trace"]["calls"] for e in graph["edges"]}


def kinds_of(graph):
    return {node["id"]: node["kind"] for node in graph["nodes"]}


def counted_spans(spans):
    """Counts that follow from the spans alone, by the plainest means.

    Returns:
        (caller, callee) → server spans with a parent in another service; (service, address) → client spans that no
        server span has for its parent; and services' server spans whose parent was never sent.
    """
    known = {(span.trace_id, span.span_id): resource["service.name"] for resource, span in spans}
    parents = {(span.trace_id, span.parent_span_id) for _, span in spans if span.kind == Span.SPAN_KIND_SERVER}
    answered, unanswered, orphans = Counter(), Counter(), Counter()
    for resource, span in spans:
        service = resource["service.name"]
        if span.kind == Span.SPAN_KIND_SERVER and span.parent_span_id:
            caller = known.get((span.trace_id, span.parent_span_id))
            if caller is None:
                orphans[service] += 1
            else:
                answered[caller, service] += 1
        elif span.kind == Span.SPAN_KIND_CLIENT and (span.trace_id, span.span_id) not in parents:
            attributes = {item.key: item.value.string_value for item in span.attributes}
            unanswered[service, attributes.get("server.address") or attributes.get("net.peer.name")] += 1
    return answered, unanswered, orphans


def test_every_true_edge_is_there_with_its_calls_and_no_other_one(graph, spans):
    answered, unanswered, orphans = counted_spans(spans)
    assert orphans == {"payment": 7}  # orders-2 was killed before it sent their parents
    roots = Counter(resource["service.name"] for resource, span in spans if not span.parent_span_id)
    assert calls_of(graph) == {
        ("edge-envoy", "shop/frontend", "http"): answered["edge-envoy", "frontend"],
        ("shop/frontend", "shop/orders", "http"): answered["frontend", "orders"],
        ("shop/orders", "shop/payment", "grpc"): answered["orders", "payment"] + orphans["payment"],
        ("shop/frontend", "haproxy", "http"): unanswered["frontend", "10.77.0.20"],
        ("shop/frontend", "recommender", "http"): unanswered["frontend", "10.77.0.60"],
        ("shop/frontend", "promo", "http"): unanswered["frontend", "10.77.0.80"] + unanswered["frontend", "10.77.0.32"],
        ("shop/orders", "redis", "redis"): unanswered["orders", "10.96.0.40"],
        ("loadgen", "edge-envoy", "http"): roots["edge-envoy"],
        ("haproxy", "shop/orders", "http"): roots["orders"],
    }
    assert sum(calls_of(graph).values()) == 8092


def test_edges_are_those_that_the_truth_calls_visible_in_traces(graph, capture, owners):
    ids = {owner["service"]: "/".join(filter(None, (owner["namespace"], owner["service"]))) for owner in owners}
    edges = read_truth(capture)["edges"]
    true = {(ids[e["source"]], ids[e["target"]]) for e in edges if any("trace" in seen for seen in e["visible_in"])}
    found = {(edge["source"], edge["target"]) for edge in graph["edges"]}
    assert found - true == CALLED_BY_ADDRESS.keys()
    assert true - found == set()


def test_kinds_and_namespaces_are_what_spans_and_owners_say(graph):
    """Of redis nothing but client spans is known: these say database, the identity says its name."""
    services = {"loadgen", "edge-envoy", "shop/frontend", "haproxy", "shop/orders", "recommender", "promo"}
    assert kinds_of(graph) == {**dict.fromkeys(services | {"shop/payment"}, "service"), "redis": "database"}


def test_nothing_is_there_that_must_not_appear(graph):
    """Failed connects and telemetry make no edges, and the address that moved is not taken for its former owner."""
    found = {(edge["source"], edge["target"]) for edge in graph["edges"]}
    assert ("haproxy", "promo") not in found
    assert not any("collector" in pair or "cron" in pair for pair in found)
    assert not any(node[0].isdigit() for node in kinds_of(graph))


def test_an_edge_is_absent_before_it_began(server, capture, window):
    """Promo was started 121 s after the load."""
    began_s = next(e for e in read_truth(capture)["edges"] if e["target"] == "promo")["from_ns"] // 10**9
    before = server.get("/api/v1/graph", **{"from": window["from"], "to": began_s // 10 * 10})
    after = server.get("/api/v1/graph", **{"from": began_s // 10 * 10, "to": window["to"]})
    assert "promo" not in kinds_of(before)
    assert calls_of(after)["shop/frontend", "promo", "http"] == 636
    assert len(kinds_of(before)) == len(kinds_of(after)) - 1


def test_errors_are_those_of_spans_with_status_error(graph):
    errors = {(e["source"], e["target"]): e["evidence"]["trace"]["errors"] for e in graph["edges"]}
    assert errors["shop/orders", "shop/payment"] == 52
    assert errors["shop/frontend", "haproxy"] == 3  # haproxy had no server to send them to
    assert errors["shop/orders", "redis"] == 0


def test_an_import_of_the_same_requests_gives_the_same_graph(graph, dump, owners, window, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump({"identities": owners}))
    imported = import_graph(tmp_path, dump, window, "--config", str(config))
    assert [to_ten_seconds(edge) for edge in imported["edges"]] == [to_ten_seconds(edge) for edge in graph["edges"]]
    assert kinds_of(imported) == kinds_of(graph)


def test_without_owners_a_call_that_nobody_answers_goes_to_the_address(dump, window, spans, tmp_path):
    """A caller that is only an address gives no edge: neither the load generator nor the health checks have one."""
    imported = import_graph(tmp_path, dump, window)
    _, unanswered, _ = counted_spans(spans)
    addresses = {
        ("shop/frontend", "10.77.0.20", "http"): 10,
        ("shop/frontend", "10.77.0.60", "http"): 1024,
        ("shop/frontend", "10.77.0.80", "http"): 409,
        ("shop/frontend", "10.77.0.32", "http"): 227,
        ("shop/orders", "10.96.0.40", "redis"): 2034,
    }
    assert {address: calls for (_, address), calls in unanswered.items()} == {
        address: calls for (_, address, _), calls in addresses.items()
    }
    answered = {
        ("edge-envoy", "shop/frontend", "http"): 1027,
        ("shop/frontend", "shop/orders", "http"): 1017,
        ("shop/orders", "shop/payment", "grpc"): 1017,
    }
    assert calls_of(imported) == addresses | answered
    bare = {node: kind for node, kind in kinds_of(imported).items() if node[0].isdigit()}
    assert bare == dict.fromkeys(["10.77.0.20", "10.77.0.32", "10.77.0.60", "10.77.0.80"], "external") | {
        "10.96.0.40": "database"
    }


def read_json(command, store, *options):
    """What a command answers from a store."""
    done = chronotope(command, "--store", store, *options, "--format", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def history(tmp_path_factory, dump, owners):
    """The store into which the capture was imported as history, with who owned what."""
    folder = tmp_path_factory.mktemp("history")
    config, store = folder / "config.yaml", f"chdb://{folder}/store"
    config.write_text(yaml.safe_dump({"identities": owners}))
    done = chronotope("import", str(dump), "--input", "otlp", "--store", store, "--config", str(config))
    assert done.returncode == 0, done.stderr
    return store


def happened(capture, event, name):
    """When something was done to the real system, Unix seconds."""
    lines = map(json.loads, (capture / "events.jsonl").read_text().splitlines())
    return next(line["ts_ns"] // 10**9 for line in lines if (line["event"], line["name"]) == (event, name))


def around(at_s, seconds):
    """Some seconds before and after an instant, cut by ten seconds, as options of `diff`."""
    begin = at_s // 10 * 10
    return "--before", str(begin), "--after", str(begin + seconds), "--window", f"{seconds}s"


def test_the_answers_name_what_was_done_to_the_system(history, capture, window):
    """Promo came; orders-2 was killed, and for a moment the proxy had nobody to hand requests to."""
    came, killed = happened(capture, "config", "promo_host=10.77.0.80"), happened(capture, "stop", "orders-2")
    for at_s, seconds, target in ((came, 30, "promo"), (killed, 60, "haproxy")):
        edges = read_json("diff", history, *around(at_s, seconds))["edges"]
        assert [(e["source"], e["target"]) for e in edges if e["status"] == "added"] == [("shop/frontend", target)]
    times = ("--from", str(window["from"]), "--to", str(window["to"]))
    events = read_json("events", history, *times, "--type", "new_dependency")["events"]
    assert [event["edge"]["target"] for event in events] == ["promo", "haproxy"]
    answer = read_json("culprits", history, "--at", str(came // 10 * 10 + 60), "--window", "1m")
    first = answer["culprits"][0]
    assert (first["service"], first["reasons"][0]["target"]) == ("shop/frontend", "promo")


def test_an_address_that_moved_is_named_where_nobody_owns_it(dump, capture, tmp_path):
    moved, store = happened(capture, "config", "promo_host=10.77.0.32"), f"chdb://{tmp_path}/store"
    assert chronotope("import", str(dump), "--input", "otlp", "--store", store).returncode == 0
    edges = read_json("diff", store, *around(moved, 50))["edges"]
    statuses = {edge["target"]: edge["status"] for edge in edges if edge["status"] in ("added", "removed")}
    assert statuses["10.77.0.32"] == "added"
    last = read_json("graph", store, "--from", str(moved // 10 * 10 + 10), "--to", str(moved // 10 * 10 + 60))["edges"]
    assert "10.77.0.80" not in {edge["target"] for edge in last}
