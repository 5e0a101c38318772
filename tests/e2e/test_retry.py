"""What a client sends again counts once; what it should send again later is told when."""

from __future__ import annotations

import json
import socket
import threading
from contextlib import contextmanager

import grpc
import pytest
from flask import Flask
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from chronotope.ingest.otlp.decode import OtlpDecoder
from chronotope.ingest.otlp.receiver import grpc_server, traces_blueprint
from chronotope.ingest.spans.columns import Vocabulary
from chronotope.ingest.spans.pairer import Outcome, Pairer
from chronotope.ingest.spans.queue import SpanQueue
from chronotope.schema.errors import StoreError
from chronotope.server.api.problems import register_problems
from chronotope.server.running.web import WebServer
from tests.e2e.otlp_requests import CLIENT, request_of, span_of
from tests.e2e.process import ChronotopeProcess, ServerProcess

pytestmark = pytest.mark.slow

PROTOBUF, JSON, NDJSON = "application/x-protobuf", "application/json", "application/x-ndjson"
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
AT = 1_700_000_000
MAX_BODY = 1 << 20


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with ServerProcess(f"chdb://{tmp_path_factory.mktemp('retry')}/store", grpc=True) as running:
        yield running
        assert running.stop() == 0


def call(trace, target):
    span = span_of(trace, 1, kind=CLIENT, start_s=AT, attributes={"peer.service": target})
    return request_of("caller", span)


def json_call(trace, target, *more):
    """The same spans as OTLP/JSON."""
    span = {
        "traceId": f"{trace:032x}",
        "spanId": f"{1:016x}",
        "kind": 3,
        "startTimeUnixNano": str(AT * 10**9),
        "endTimeUnixNano": str(AT * 10**9 + 10**7),
        "attributes": [{"key": "peer.service", "value": {"stringValue": target}}],
    }
    service = {"attributes": [{"key": "service.name", "value": {"stringValue": "caller"}}]}
    return {"resourceSpans": [{"resource": service, "scopeSpans": [{"spans": [span, *more]}]}]}


def calls_to(server, target):
    edges = server.get("/api/v1/graph", **{"from": AT - 60, "to": AT + 60})["edges"]
    return sum(next(iter(edge["evidence"].values()))["calls"] for edge in edges if edge["target"] == target)


def test_the_same_bytes_count_once_by_whatever_transport(server):
    body = call(1, "once")
    text = json.dumps(json_call(1, "once")).encode()
    with grpc.insecure_channel(server.grpc) as channel:
        for _ in range(2):
            assert server.post("/v1/traces", body, PROTOBUF) == (200, b"")
            assert channel.unary_unary(EXPORT)(body, timeout=60) == b""
            assert server.post("/v1/traces", text, JSON) == (200, b"{}")
    assert calls_to(server, "once") == 1


def test_the_same_bytes_at_the_same_time_count_once(server):
    body = b"".join(call(100 + number, "at-once") for number in range(10))
    senders = [threading.Thread(target=server.post_spans, args=[body]) for _ in range(12)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert calls_to(server, "at-once") == 10


def test_a_batch_that_was_sent_before_in_part_counts_its_new_spans_only(server):
    assert server.post_spans(call(201, "in-part") + call(202, "in-part")) == 200
    assert server.post_spans(call(202, "in-part") + call(203, "in-part")) == 200
    assert calls_to(server, "in-part") == 3


def observation(target, calls=5):
    record = {"time": AT, "layer": "ipc", "source": "caller", "target": target, "calls": calls}
    return json.dumps(record).encode()


def post_observation(server, body, key=None):
    headers = {"Content-Type": NDJSON} | ({"Idempotency-Key": key} if key else {})
    return server.ask("/api/v1/observations", body, headers).json["accepted"]


def test_observations_with_an_idempotency_key_count_once(server):
    for _ in range(3):
        assert post_observation(server, observation("keyed"), "a-key") == 1
    assert calls_to(server, "keyed") == 5
    assert post_observation(server, observation("keyed"), "another-key") == 1
    assert calls_to(server, "keyed") == 10


def test_observations_without_a_key_are_two_collectors_and_count_twice(server):
    for _ in range(2):
        assert post_observation(server, observation("unkeyed")) == 1
    assert calls_to(server, "unkeyed") == 10


def test_retries_count_once_also_after_a_restart(tmp_path):
    store = f"chdb://{tmp_path}/store"
    for kill in (True, False):
        with ServerProcess(store) as server:
            assert server.post_spans(call(1, "restarted")) == 200
            assert post_observation(server, observation("restarted-too"), "a-key") == 1
            assert (calls_to(server, "restarted"), calls_to(server, "restarted-too")) == (1, 5)
            if kill:
                server.kill()
            else:
                assert server.stop() == 0


def test_partial_success_is_told_in_the_form_of_the_request(server):
    bad = {"traceId": "ab", "spanId": "01"}
    text = json.dumps(json_call(301, "beside-a-bad-one", bad, bad)).encode()
    answer = server.ask("/v1/traces", text, {"Content-Type": JSON})
    assert (answer.status, answer.headers["Content-Type"]) == (200, JSON)
    told = {"rejectedSpans": "2", "errorMessage": "spans not used: bad_id: 2"}
    assert answer.json == {"partialSuccess": told}
    body = request_of("caller", *[span_of(302, 2, start_s=0)] * 3)
    answer = server.ask("/v1/traces", body, {"Content-Type": PROTOBUF})
    assert (answer.status, answer.headers["Content-Type"]) == (200, PROTOBUF)
    partial = ExportTraceServiceResponse.FromString(answer.body).partial_success
    assert (partial.rejected_spans, partial.error_message) == (3, "spans not used: time_out_of_range: 3")
    assert calls_to(server, "beside-a-bad-one") == 1


class Slow(Pairer):
    """A pairer that waits, or fails, before it takes a batch."""

    def __init__(self, store, vocabulary):
        super().__init__(store, vocabulary)
        self.begun, self.go_on = threading.Event(), threading.Event()
        self.error = None

    def accept(self, batch):
        """Take a batch when told to."""
        self.begun.set()
        self.go_on.wait(30)
        if self.error:
            raise self.error
        return super().accept(batch)

    def release(self, now):
        """Nothing waits here."""
        return Outcome()


class Receiving(ChronotopeProcess):
    """Receivers in this process, on real sockets, over a writer that can be held."""

    def __init__(self, url, grpc_at, pairer, queue):
        self.url, self.grpc, self.pairer, self.queue = url, grpc_at, pairer, queue


@contextmanager
def receiving(store, **options):
    vocabulary = Vocabulary()
    decoder, pairer = OtlpDecoder(vocabulary), Slow(store, vocabulary)

    def resolve(batch):
        batch.rows["peer"] = vocabulary.service("callee")

    queue = SpanQueue(pairer, resolve, **options)
    queue.start()
    app = Flask(__name__)
    register_problems(app)
    app.register_blueprint(traces_blueprint(decoder, queue.put, MAX_BODY))
    listening = socket.create_server(("127.0.0.1", 0))
    host, port = listening.getsockname()
    web = WebServer(app, [listening], MAX_BODY)
    thread = threading.Thread(target=web.run)
    thread.start()
    calls = grpc_server(decoder, queue.put, MAX_BODY)
    grpc_port = calls.add_insecure_port("127.0.0.1:0")
    calls.start()
    try:
        yield Receiving(f"http://{host}:{port}", f"127.0.0.1:{grpc_port}", pairer, queue)
    finally:
        pairer.go_on.set()
        queue.stop()
        web.stop(5)
        thread.join(10)
        calls.stop(None).wait()


def grpc_refusal(receiving, body):
    """The status of a call that is refused, and when to send it again."""
    with grpc.insecure_channel(receiving.grpc) as channel, pytest.raises(grpc.RpcError) as refusal:
        channel.unary_unary(EXPORT)(body, timeout=30)
    error, retry = refusal.value, RetryInfo()
    details = dict(error.trailing_metadata()).get("grpc-status-details-bin")
    if details is not None:
        status = Status.FromString(details)
        assert (status.code, status.message) == (error.code().value[0], error.details())
        assert status.details[0].Unpack(retry)
    return error.code(), error.details(), retry.retry_delay.seconds


def later(answer, seconds, word):
    """Whether an answer is a 503 that says when to come again."""
    assert (answer.status, answer.headers["Content-Type"]) == (503, "application/problem+json")
    assert answer.headers["Retry-After"] == str(seconds)
    assert word in answer.json["detail"]
    return True


def post(receiving, body):
    return receiving.ask("/v1/traces", body, {"Content-Type": PROTOBUF})


def test_a_full_queue_is_told_with_the_time_to_come_again(store):
    """What was taken before is written; what was refused counts once when it comes again."""
    with receiving(store, max_queued_spans=2) as server:
        senders = [threading.Thread(target=post, args=[server, call(1, "x")])]
        senders[0].start()
        assert server.pairer.begun.wait(30)
        senders.append(threading.Thread(target=post, args=[server, call(2, "x") + call(3, "x")]))
        senders[1].start()
        while server.queue.queued_spans < 2:
            assert senders[1].is_alive()
        assert later(post(server, call(4, "x")), 2, "2 spans are waiting")
        code, details, seconds = grpc_refusal(server, call(4, "x"))
        assert (code, seconds) == (grpc.StatusCode.UNAVAILABLE, 2)
        assert "2 spans are waiting" in details
        server.pairer.go_on.set()
        for sender in senders:
            sender.join(30)
        assert post(server, call(4, "x")).status == 200
    assert store.rows("SELECT sum(calls) FROM edges_10s") == [(4,)]


def test_a_server_that_stops_says_so_and_when_to_come_again(store):
    with receiving(store) as server:
        server.queue.stop()
        assert later(post(server, call(1, "x")), 5, "stopping")
        code, details, seconds = grpc_refusal(server, call(1, "x"))
        assert (code, seconds) == (grpc.StatusCode.UNAVAILABLE, 5)
        assert "stopping" in details


def test_what_the_store_says_stays_inside(store):
    """A statement may be in it."""
    with receiving(store) as server:
        server.pairer.go_on.set()
        server.pairer.error = StoreError("INSERT INTO spans failed")
        answer = post(server, call(1, "x"))
        assert later(answer, 5, "the store cannot be reached")
        code, details, seconds = grpc_refusal(server, call(1, "x"))
        assert (code, seconds) == (grpc.StatusCode.UNAVAILABLE, 5)
        server.pairer.error = RuntimeError("INSERT INTO spans broke")
        unexpected = post(server, call(1, "x"))
        assert unexpected.status == 500
        code, more_details, seconds = grpc_refusal(server, call(1, "x"))
        assert (code, seconds) == (grpc.StatusCode.INTERNAL, 0)
        for said in (answer.body.decode(), details, unexpected.body.decode(), more_details):
            assert "INSERT" not in said


def test_a_store_that_takes_too_long_is_told_and_the_spans_count_once(store):
    with receiving(store, timeout_s=0.2) as server:
        assert later(post(server, call(1, "x")), 5, "did not take the spans within")
        server.pairer.go_on.set()
        while post(server, call(1, "x")).status != 200:
            pass
    assert store.rows("SELECT sum(calls) FROM edges_10s") == [(1,)]
