"""Bad input over the socket: a clear refusal each, the server goes on, and nothing that was there before is lost."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
import zlib

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.e2e.otlp_requests import CLIENT, SERVER, request_of, span_of
from tests.e2e.process import GONE, ServerProcess

pytestmark = pytest.mark.slow

PROTOBUF, JSON, NDJSON = "application/x-protobuf", "application/json", "application/x-ndjson"
ARROW = "application/vnd.apache.arrow.stream"
TRACES, OBSERVATIONS, IDENTITIES = "/v1/traces", "/api/v1/observations", "/api/v1/identities"
EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
AT = 1_700_000_000
LIMIT = 64 * 1024 * 1024
LARGE = 100_000_000


def call(trace, target="callee", **attributes):
    """A request with one call of `caller`."""
    span = span_of(trace, 1, kind=CLIENT, start_s=AT, attributes={"peer.service": target, **attributes})
    return request_of("caller", span)


GOOD = call(1)


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with ServerProcess(f"chdb://{tmp_path_factory.mktemp('bad')}/store", grpc=True) as process:
        assert process.post_spans(GOOD) == 200
        yield process
        assert process.stop() == 0
        assert "Traceback" not in process.log
        assert "SELECT" not in process.log


def graph_of(process, at=AT):
    edges = process.get("/api/v1/graph", **{"from": at - 60, "to": at + 60})["edges"]
    return {(e["source"], e["target"]): e["evidence"]["trace"]["calls"] for e in edges}


@pytest.fixture
def server(running):
    """The server; after the test it still answers, takes spans, and has what it had."""
    before = graph_of(running)
    yield running
    assert running.get("/readyz") == {"status": "ready"}
    fresh = int(time.time_ns())
    assert running.post_spans(call(fresh, f"after-{fresh}")) == 200
    after = graph_of(running)
    assert after.pop(("caller", f"after-{fresh}")) == 1
    assert before.items() <= after.items()


def refused(answer, status, *words, path=TRACES):
    """Whether an answer is a problem that names what is wrong, and nothing of the inside."""
    problem = json.loads(answer.body)
    assert (answer.status, answer.headers["Content-Type"]) == (status, "application/problem+json")
    assert problem.keys() == {"type", "title", "status", "detail", "instance"}
    assert (problem["status"], problem["instance"]) == (status, path)
    for word in words:
        assert word in problem["detail"]
    for secret in ("SELECT", "INSERT", "Traceback", "DB::", ".py", "line 0"):
        assert secret not in problem["detail"]
    return True


NAN = b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"startTimeUnixNano":NaN}]}]}]}'


@pytest.mark.parametrize(
    ("body", "content_type", "headers", "status", "words"),
    [
        (GOOD[:-5], PROTOBUF, {}, 400, ["malformed protobuf"]),
        (b"\xff" * 50, PROTOBUF, {}, 400, ["malformed protobuf"]),
        (GOOD, JSON, {}, 400, ["not JSON"]),
        (b"", JSON, {}, 400, ["not JSON", "empty"]),
        (b"[]", JSON, {}, 400, ["object with resourceSpans"]),
        (b'{"resourceSpans":7}', JSON, {}, 400, ["resourceSpans: 7 is not a list"]),
        (NAN, JSON, {}, 400, ["not JSON", "column 65"]),
        (b"[" * 100_000, JSON, {}, 400, ["not JSON"]),
        (b'{"resourceSpans":' * 5000 + b"1" + b"}" * 5000, JSON, {}, 400, ["not JSON"]),
        (GOOD, "text/plain", {}, 415, ["'text/plain'", PROTOBUF, JSON]),
        (GOOD, "", {}, 415, [PROTOBUF]),
        (b"junk", PROTOBUF, {"Content-Encoding": "gzip"}, 400, ["not gzip"]),
        (b"junk", PROTOBUF, {"Content-Encoding": "deflate"}, 400, ["not deflate"]),
        (gzip.compress(GOOD)[:-9], PROTOBUF, {"Content-Encoding": "gzip"}, 400, ["ends too early"]),
        (gzip.compress(GOOD) + b"junk", PROTOBUF, {"Content-Encoding": "gzip"}, 400, ["not gzip"]),
        (zlib.compress(GOOD)[:-2], PROTOBUF, {"Content-Encoding": "deflate"}, 400, ["ends too early"]),
        (b"", PROTOBUF, {"Content-Encoding": "gzip"}, 400, ["ends too early"]),
        (GOOD, PROTOBUF, {"Content-Encoding": "br"}, 415, ["'br'", "gzip"]),
    ],
    ids=[
        "truncated-protobuf",
        "no-protobuf",
        "protobuf-as-json",
        "empty-json",
        "list",
        "number-for-list",
        "nan",
        "deep-lists",
        "deep-objects",
        "text",
        "no-content-type",
        "no-gzip",
        "no-deflate",
        "truncated-gzip",
        "gzip-and-garbage",
        "truncated-deflate",
        "empty-gzip",
        "unknown-encoding",
    ],
)
def test_spans_that_cannot_be_read_are_refused(server, body, content_type, headers, status, words):
    answer = server.ask(TRACES, body, {"Content-Type": content_type, **headers})
    assert refused(answer, status, *words)


@pytest.mark.parametrize("path", [OBSERVATIONS, IDENTITIES])
def test_records_that_cannot_be_read_are_refused(server, path):
    assert refused(server.ask(path, b"{}", {"Content-Type": "text/csv"}), 415, "'text/csv'", NDJSON, path=path)
    assert refused(server.ask(path, b"xx", {"Content-Type": ARROW}), 400, "Arrow IPC", path=path)
    lines = b'{"time":NaN}\n[]\n\n' + b"[" * 5000 + b'\n{"time":1e400}\n' + b"\xff\xfe\n"
    answer = server.ask(path, lines, {"Content-Type": NDJSON})
    assert (answer.status, answer.json["accepted"], answer.json["rejected"]) == (422, 0, 5)
    assert [error["line"] for error in answer.json["errors"]] == [1, 2, 4, 5, 6]
    assert server.ask(path, b"", {"Content-Type": NDJSON}).status == 422


def test_a_request_without_spans_is_taken(server):
    assert server.post(TRACES, b"", PROTOBUF) == (200, b"")
    assert server.post(TRACES, b"{}", JSON) == (200, b"{}")


@pytest.mark.parametrize("path", [TRACES, OBSERVATIONS])
def test_a_hundred_megabytes_are_too_large_however_they_come(server, path):
    kind = {"Content-Type": PROTOBUF if path == TRACES else NDJSON}
    assert refused(server.ask(path, bytes(LARGE), kind), 413, str(LARGE), str(LIMIT), path=path)
    packed = gzip.compress(bytes(2 * LARGE), 1)
    assert len(packed) < 1_000_000
    bomb = server.ask(path, packed, {**kind, "Content-Encoding": "gzip"})
    assert refused(bomb, 413, "unpacks to more than", str(LIMIT), path=path)


def raw(server, *pieces):
    """Send bytes as they are; return what comes back until the server closes."""
    host, _, port = server.url.removeprefix("http://").partition(":")
    answer = b""
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        try:
            for piece in pieces:
                connection.sendall(piece)
            while received := connection.recv(65_536):
                answer += received
        except ConnectionError:
            pass  # it closes on what it will not read to the end
    return answer


HEAD = f"POST {TRACES} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: {PROTOBUF}\r\n".encode()


def test_a_hundred_megabytes_in_chunks_are_too_large(server):
    piece = b"%x\r\n%b\r\n" % (1_000_000, bytes(1_000_000))
    answer = raw(server, HEAD, b"Transfer-Encoding: chunked\r\n\r\n", *[piece] * 100, b"0\r\n\r\n")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b" 413 " in head.splitlines()[0]
    assert str(LARGE) in json.loads(body)["detail"]


@pytest.mark.parametrize(
    ("pieces", "status", "word"),
    [
        ([b"nonsense\r\n\r\n\r\n"], 400, ""),
        ([HEAD, b"Content-Length: 9999999999\r\n\r\n"], 413, "max_body"),
        ([HEAD, b"Content-Length: -5\r\n\r\n"], 400, "Content-Length"),
        ([HEAD, b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"], 400, "chunk"),
        ([b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"x" * 300_000 + b"\r\n\r\n"], 431, "max_header"),
    ],
    ids=["no-http", "announced-too-large", "negative-length", "bad-chunk", "long-header"],
)
def test_what_is_hardly_http_is_refused_as_a_problem_too(server, pieces, status, word):
    head, _, body = raw(server, *pieces).partition(b"\r\n\r\n")
    assert f" {status} ".encode() in head.splitlines()[0]
    assert b"application/problem+json" in head
    assert word in json.loads(body)["detail"]


def spans_with_bad_ids():
    def span(**fields):
        known = {"trace_id": b"1" * 16, "span_id": b"2" * 8, "start_time_unix_nano": AT * 10**9, "kind": SERVER}
        return Span(**(known | fields))

    none = (b"", bytes(16), b"1" * 15, b"1" * 17)
    return [span(trace_id=bad) for bad in none] + [span(span_id=bad) for bad in (b"", bytes(8), b"2" * 9)]


def test_ids_of_wrong_length_are_counted_and_the_rest_is_taken(server):
    bad = spans_with_bad_ids()
    good = span_of(77, 1, kind=CLIENT, start_s=AT, attributes={"peer.service": "beside-bad-ids"})
    body = request_of("caller", *bad, good)
    status, answered = server.post(TRACES, body, PROTOBUF)
    partial = ExportTraceServiceResponse.FromString(answered).partial_success
    assert (status, partial.rejected_spans, partial.error_message) == (200, 7, "spans not used: bad_id: 7")
    with grpc.insecure_channel(server.grpc) as channel:
        assert channel.unary_unary(EXPORT)(body, timeout=60) == answered
    assert graph_of(server)["caller", "beside-bad-ids"] == 1


def test_times_out_of_range_are_counted_and_the_rest_is_taken(server):
    """Year 1 does not fit OTLP's number and wraps; 1970 means that nobody set it; 2200 is a broken clock."""
    year_1, year_2200 = -62_135_596_800, 7_258_118_400
    request = ExportTraceServiceRequest.FromString(call(88, "beside-bad-times"))
    for number, second in enumerate((year_1, 0, year_2200), 1):
        span = request.resource_spans[0].scope_spans[0].spans.add()
        span.CopyFrom(span_of(88, number + 1, 1, start_s=AT))
        span.start_time_unix_nano = second * 10**9 % 2**64
    _, answered = server.post(TRACES, request.SerializeToString(), PROTOBUF)
    partial = ExportTraceServiceResponse.FromString(answered).partial_success
    assert (partial.rejected_spans, partial.error_message) == (3, "spans not used: time_out_of_range: 3")
    assert graph_of(server)["caller", "beside-bad-times"] == 1
    lines = [{"time": time_, "layer": "trace", "source": "a", "target": "b", "calls": 1} for time_ in (year_1, 10**14)]
    answer = server.ask(OBSERVATIONS, "\n".join(map(json.dumps, lines)).encode(), {"Content-Type": NDJSON})
    assert (answer.status, answer.json["rejected"]) == (422, 2)
    assert all("time" in error["detail"] for error in answer.json["errors"])


def test_spans_without_a_service_are_counted(server):
    _, answered = server.post(TRACES, request_of("", span_of(99, 1, start_s=AT)), PROTOBUF)
    partial = ExportTraceServiceResponse.FromString(answered).partial_success
    assert (partial.rejected_spans, partial.error_message) == (1, "spans not used: no_service: 1")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("n" * 10_000, None),
        ("nul\0escape\x1b[31m\r\nend\x7f", "nul\ufffdescape\ufffd[31m\ufffd\ufffdend\ufffd"),
        ("a'); DROP TABLE spans; --", "a'); DROP TABLE spans; --"),
        ("{name:String} \\' `x` <script>", "{name:String} \\' `x` <script>"),
    ],
    ids=["10-kilobytes", "control-characters", "sql", "placeholder"],
)
def test_odd_names_are_names_and_nothing_else(server, name, shown):
    trace = abs(hash(name)) + 1
    span = span_of(trace, 1, kind=CLIENT, start_s=AT, attributes={"peer.service": f"{name}2", name: name})
    assert server.post(TRACES, request_of(name, span), PROTOBUF) == (200, b"")
    ends = {pair: calls for pair, calls in graph_of(server).items() if pair[0][:3] == name[:3]}
    ((source, target), calls) = ends.popitem()
    assert (calls, ends) == (1, {})
    if shown is None:
        assert len(source) == len(target) == 256
        assert source != target
    else:
        assert (source, target) == (shown, f"{shown}2")
    detail = server.get(f"/api/v1/services/{''.join(f'%{byte:02x}' for byte in source.encode())}")
    assert detail is not None


def test_a_thousand_resource_attributes_are_cut_and_not_refused(server):
    request = ExportTraceServiceRequest.FromString(call(1000, "beside-many-attributes"))
    request.resource_spans[0].resource.attributes[0].value.string_value = "many"
    for number in range(1000):
        request.resource_spans[0].resource.attributes.add(key=f"key-{number}").value.string_value = "value"
    assert server.post(TRACES, request.SerializeToString(), PROTOBUF) == (200, b"")
    assert graph_of(server)["many", "beside-many-attributes"] == 1
    nodes = server.get("/api/v1/graph", **{"from": AT - 60, "to": AT + 60})["nodes"]
    assert 0 < len(next(node for node in nodes if node["id"] == "many")["attributes"]) <= 128


@pytest.mark.parametrize(
    ("method", "body", "code", "word"),
    [
        (EXPORT, GOOD[:-3], grpc.StatusCode.INVALID_ARGUMENT, "malformed protobuf"),
        (EXPORT.replace("Export", "Import"), GOOD, grpc.StatusCode.UNIMPLEMENTED, "not found"),
        ("/nobody.Knows/This", b"", grpc.StatusCode.UNIMPLEMENTED, "not found"),
        (EXPORT, bytes(LIMIT + 1), grpc.StatusCode.RESOURCE_EXHAUSTED, "larger than max"),
    ],
    ids=["truncated", "unknown-method", "unknown-service", "too-large"],
)
def test_grpc_refuses_by_its_own_codes(server, method, body, code, word):
    with grpc.insecure_channel(server.grpc) as channel:
        with pytest.raises(grpc.RpcError) as refusal:
            channel.unary_unary(method)(body, timeout=60)
        assert channel.unary_unary(EXPORT)(GOOD, timeout=60) == b""
    assert refusal.value.code() == code
    assert word in refusal.value.details()


def test_slow_clients_do_not_keep_others_waiting(server):
    """More of them than there are threads, each in the middle of its request, a byte a second."""
    host, _, port = server.url.removeprefix("http://").partition(":")
    slow = [socket.create_connection((host, int(port)), timeout=60) for _ in range(40)]
    try:
        for connection in slow:
            connection.sendall(HEAD + b"Content-Length: 100\r\n\r\n")
        for _ in range(3):
            for connection in slow:
                connection.sendall(b"x")
            begun = time.monotonic()
            assert server.get("/healthz") == {"status": "ok"}
            assert server.post_spans(GOOD) == 200
            assert time.monotonic() - begun < 60  # each of them takes longer
            time.sleep(1)
    finally:
        for connection in slow:
            connection.close()


def test_clients_that_hang_up_leave_nothing_behind(server):
    """In the middle of a body, and without waiting for the answer."""
    for _ in range(20):
        for body in (GOOD[:10], GOOD):
            with socket.create_connection(tuple(server.url.removeprefix("http://").split(":"))) as connection:
                connection.sendall(HEAD + f"Content-Length: {len(GOOD)}\r\n\r\n".encode() + body)


def test_all_of_it_at_once_does_no_harm(server):
    """What is refused beside what is taken does not take it along."""
    bad = [(GOOD[:-5], {}), (b"junk", {"Content-Encoding": "gzip"}), (request_of("", span_of(5, 5, start_s=AT)), {})]
    failures = []

    def send(number):
        try:
            for body, headers in bad:
                server.ask(TRACES, body, {"Content-Type": PROTOBUF, **headers})
            if server.post_spans(call(5000 + number, "among-bad-ones")) != 200:
                failures.append(number)
        except GONE as error:
            failures.append(error)

    senders = [threading.Thread(target=send, args=[number]) for number in range(20)]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    assert failures == []
    assert graph_of(server)["caller", "among-bad-ones"] == 20
