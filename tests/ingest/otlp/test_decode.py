from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

import pytest
from google.protobuf import __version__ as protobuf_version
from hypothesis import example, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from chronotope.ingest.otlp import decode as decode_module
from chronotope.ingest.otlp.decode import OtlpDecoder
from chronotope.ingest.otlp.framing import MAX_DEPTH, MESSAGES
from chronotope.ingest.spans.columns import (
    CLIENT,
    CONSUMER,
    EARLIEST_NS,
    ERROR,
    LATEST_NS,
    LINK,
    PRODUCER,
    SERVER,
    PeerHint,
    SpanBatch,
    Vocabulary,
)
from chronotope.schema.errors import InvalidPayload
from tests.ingest.otlp.fuzz import check
from tests.ingest.otlp.reference import parse, resolved, rows_of
from tests.ingest.otlp.requests import START_NS, make_body, make_request

ROOT = Path(__file__).parents[3]
TRACE, SPAN = b"\x01" * 16, b"\x02" * 8
FUZZED = Vocabulary()
FUZZED_DECODER = OtlpDecoder(FUZZED)


def request_of(*spans: dict[str, Any], service: str = "shop", attributes: tuple[dict[str, Any], ...] = ()) -> bytes:
    """Return a request of one resource; each span a dictionary of fields, with what a good span needs by default."""
    request = ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add()
    if service:
        resource_spans.resource.attributes.add(key="service.name").value.string_value = service
    scope = resource_spans.scope_spans.add()
    for index, fields in enumerate(spans):
        good = {
            "trace_id": TRACE,
            "span_id": SPAN,
            "start_time_unix_nano": START_NS,
            "end_time_unix_nano": START_NS + 9,
        }
        span = scope.spans.add(**(good | fields))
        for key, value in (attributes[index] if index < len(attributes) else {}).items():
            any_value = span.attributes.add(key=key).value
            if isinstance(value, bool):
                any_value.bool_value = value
            elif isinstance(value, int):
                any_value.int_value = value
            else:
                any_value.string_value = value
    return request.SerializeToString()


def row(batch: SpanBatch, name: str) -> int:
    assert len(batch.rows) == 1
    return int(batch.rows[name][0])


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**64))
def test_scanner_agrees_with_upb_on_random_and_damaged_requests(seed: int) -> None:
    """The same accepted, the same refused, the same rows."""
    check(FUZZED_DECODER, FUZZED, make_body(Random(seed)))


@pytest.mark.skipif(
    int(protobuf_version.partition(".")[0]) < 7,
    reason="the scanner takes field number 0 within unknown groups, as upb does since protobuf 7",
)
@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60))
@example(b"\x4b\x00\x40\x4c")
@example(b"\x0a\x05\x0b\x80\x00\x73\x0c")
@example(b"\x0b" * MAX_DEPTH + b"\x0c" * MAX_DEPTH)
@example(b"\x0b" * (MAX_DEPTH + 1) + b"\x0c" * (MAX_DEPTH + 1))
@example(b"\x0a\xff\xff\xff\xff\x07")
@example(b"\x80" * 9 + b"\x01")
def test_scanner_agrees_with_upb_on_any_bytes(body: bytes) -> None:
    check(FUZZED_DECODER, FUZZED, body)


@pytest.mark.slow
def test_no_read_leaves_its_array_under_numbas_bounds_checks(tmp_path: Path) -> None:
    """In the compiled scanner an index outside an array would read foreign memory; here it would raise."""
    environment = os.environ | {
        "NUMBA_BOUNDSCHECK": "1",
        "NUMBA_CACHE_DIR": str(tmp_path),
        "PYTHONPATH": os.pathsep.join([str(ROOT / ".dev"), str(ROOT)]),
    }
    command = [sys.executable, "-m", "tests.ingest.otlp.fuzz", "4711", "4000"]
    result = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert result.returncode == 0, result.stderr[-3000:]
    accepted, refused = (int(number) for number in result.stdout.split())
    assert min(accepted, refused) > 1000


def test_every_recorded_request_gives_the_rows_that_upb_gives(
    recorded_requests: list[bytes], decoder: OtlpDecoder, vocabulary: Vocabulary
) -> None:
    expected = []
    for body in recorded_requests:
        assert check(decoder, vocabulary, body)
        expected += rows_of(parse(body))[0]
    joined = decoder.decode_many(recorded_requests)
    assert len(joined.rows) == 11_153
    assert resolved(joined, vocabulary) == expected


def test_message_table_is_that_of_the_published_schema() -> None:
    found: dict[str, dict[int, str]] = {}
    waiting = [ExportTraceServiceRequest.DESCRIPTOR]
    while waiting:
        message = waiting.pop()
        if message.name not in found:
            children = [field for field in message.fields if field.message_type]
            found[message.name] = {field.number: field.message_type.name for field in children}
            waiting += [field.message_type for field in children]
    assert found == MESSAGES


def test_malformed_protobuf_is_refused_with_its_place(decoder: OtlpDecoder) -> None:
    good = request_of({})
    with pytest.raises(InvalidPayload, match="malformed protobuf at byte 0"):
        decoder.decode(good[:-1])
    with pytest.raises(InvalidPayload, match=r"request 1: .*malformed protobuf"):
        decoder.decode_many([good, good[:-1], good])


def test_a_truncated_request_does_not_swallow_the_next_one(decoder: OtlpDecoder) -> None:
    """Joined for speed, but each request ends where it ends."""
    body = request_of({})
    with pytest.raises(InvalidPayload, match="request 0"):
        decoder.decode_many([body[:-5], body[-5:] + body])


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"trace_id": b"short"}, "bad_id"),
        ({"trace_id": bytes(16)}, "bad_id"),
        ({"trace_id": TRACE + b"x"}, "bad_id"),
        ({"span_id": b""}, "bad_id"),
        ({"span_id": bytes(8)}, "bad_id"),
        ({"parent_span_id": b"1234"}, "bad_id"),
        ({"trace_id": b"", "span_id": b"", "start_time_unix_nano": 0, "end_time_unix_nano": 0}, "bad_id"),
        ({"start_time_unix_nano": 0}, "time_out_of_range"),
        ({"start_time_unix_nano": EARLIEST_NS - 1}, "time_out_of_range"),
        ({"end_time_unix_nano": LATEST_NS + 1}, "time_out_of_range"),
        ({"start_time_unix_nano": 2**64 - 1}, "time_out_of_range"),
    ],
)
def test_a_span_that_cannot_be_is_skipped_by_reason(decoder: OtlpDecoder, fields: dict[str, Any], reason: str) -> None:
    batch = decoder.decode(request_of(fields, {}))
    assert dict(batch.skipped) == {reason: 1}
    assert (len(batch.rows), batch.read) == (1, 2)


def test_a_span_without_a_service_is_skipped(decoder: OtlpDecoder) -> None:
    batch = decoder.decode(request_of({}, {"span_id": b"x"}, service=""))
    assert dict(batch.skipped) == {"no_service": 1, "bad_id": 1}
    assert len(batch.rows) == 0


def test_an_end_before_the_start_becomes_the_start(decoder: OtlpDecoder) -> None:
    assert row(decoder.decode(request_of({"end_time_unix_nano": START_NS - 5})), "end_ns") == START_NS


def test_a_zero_parent_id_is_no_parent(decoder: OtlpDecoder) -> None:
    assert row(decoder.decode(request_of({"parent_span_id": bytes(8)})), "parent") == 0


def test_only_the_status_makes_an_error(decoder: OtlpDecoder) -> None:
    failed = request_of({"status": {"code": 2}})
    assert row(decoder.decode(failed), "flags") == ERROR
    assert row(decoder.decode(request_of({}, attributes=({"http.status_code": 500},))), "flags") == 0


def test_several_resources_of_one_message_merge_wherever_they_stand(
    decoder: OtlpDecoder, vocabulary: Vocabulary
) -> None:
    """Concatenated ResourceSpans contents: name, spans, namespace."""
    first = ExportTraceServiceRequest.FromString(request_of({})).resource_spans[0]
    second = ExportTraceServiceRequest().resource_spans.add()
    second.resource.attributes.add(key="service.namespace").value.string_value = "eu"
    content = first.SerializeToString() + second.SerializeToString()
    body = b"\x0a" + bytes([len(content)]) + content
    assert resolved(decoder.decode(body), vocabulary)[0].service == "eu/shop"


def test_resource_attributes_come_with_a_services_first_sight_only(decoder: OtlpDecoder) -> None:
    assert decoder.decode(request_of({})).attributes == {"shop": {"service.name": "shop"}}
    assert decoder.decode(request_of({})).attributes == {}


def test_a_name_that_is_not_utf_8_is_repaired(decoder: OtlpDecoder, vocabulary: Vocabulary) -> None:
    body = request_of({}, service="sh\x01p\x7f").replace(b"\x7f", b"\xff")
    assert resolved(decoder.decode(body), vocabulary)[0].service == "sh\ufffdp\ufffd"


def test_a_huge_number_of_empty_spans_takes_no_rows(decoder: OtlpDecoder) -> None:
    """Two bytes each: a row for every one would take fifty times the request's size."""
    scope = b"\x12\x00" * 500_000
    size = len(scope).to_bytes(3, "big")
    length = bytes([size[2] & 0x7F | 0x80, (len(scope) >> 7) & 0x7F | 0x80, len(scope) >> 14])
    inner = b"\x12" + length + scope
    outer = bytes([len(inner) & 0x7F | 0x80, (len(inner) >> 7) & 0x7F | 0x80, len(inner) >> 14])
    batch = decoder.decode(b"\x0a" + outer + inner)
    assert (batch.read, dict(batch.skipped), len(batch.rows)) == (500_000, {"bad_id": 500_000}, 0)


def test_paths_of_urls_and_ephemeral_ports_make_no_new_signatures(decoder: OtlpDecoder) -> None:
    """Or the cache would miss for every span, and decode it slowly."""
    before = len(decoder._meanings)
    clients = tuple({"url.full": f"http://orders/{n}?q={n}", "http.request.method": "GET"} for n in range(50))
    servers = tuple({"net.peer.ip": "10.0.0.1", "net.peer.port": n, "http.host": f"h{n}"} for n in range(50))
    decoder.decode(request_of(*[{"kind": CLIENT}] * 50, attributes=clients))
    decoder.decode(request_of(*[{"kind": SERVER}] * 50, attributes=servers))
    assert len(decoder._meanings) == before + 2


def test_caches_stay_bounded(decoder: OtlpDecoder, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode_module, "MAX_CACHED", 8)
    for n in range(50):
        batch = decoder.decode(request_of({"kind": CLIENT}, service=f"s{n}", attributes=({"peer.service": f"p{n}"},)))
        assert resolved(batch, vocabulary)[0].peer == PeerHint(service=f"p{n}")
    assert max(len(decoder._meanings), len(decoder._services)) <= 8


def test_sampling_weights_are_those_of_the_tracestate(decoder: OtlpDecoder) -> None:
    assert row(decoder.decode(request_of({"trace_state": "ot=rv:00ff;th:c,v=1"})), "weight") == 4


def test_each_link_of_a_consumer_is_one_more_parent(decoder: OtlpDecoder, vocabulary: Vocabulary) -> None:
    other, linked = b"\x07" * 16, b"\x08" * 8
    links = [{"trace_id": other, "span_id": linked}] * 2 + [{"trace_id": TRACE, "span_id": b"p" * 8}]
    fields = {"kind": CONSUMER, "links": links, "parent_span_id": b"p" * 8}
    attributes = {"messaging.system": "kafka", "messaging.destination.name": "t"}
    real, link = resolved(decoder.decode(request_of(fields, attributes=(attributes,))), vocabulary)
    assert (real.peer, real.flags, real.kind) == (None, 0, CONSUMER)
    assert (link.trace_hi, link.trace_lo) == (int.from_bytes(other[:8]), int.from_bytes(other[8:]))
    assert (link.parent, link.kind, link.flags) == (int.from_bytes(linked), CONSUMER, LINK)
    assert link.peer == PeerHint("messaging", name="t", system="kafka")
    assert link.span not in (0, real.span)
    assert link.service == real.service


def test_links_of_a_producer_or_of_plain_spans_are_no_parents(decoder: OtlpDecoder) -> None:
    links = [{"trace_id": b"\x07" * 16, "span_id": b"\x08" * 8}]
    messages = {"messaging.system": "kafka", "messaging.operation.type": "send"}
    for kind, attributes in ((PRODUCER, messages), (CLIENT, messages), (SERVER, {"http.method": "GET"})):
        body = request_of({"kind": kind, "links": links}, attributes=(attributes,))
        assert len(decoder.decode(body).rows) == 1
    received = request_of(
        {"kind": CLIENT, "links": links}, attributes=(messages | {"messaging.operation.type": "receive"},)
    )
    assert len(decoder.decode(received).rows) == 2


def test_threads_share_a_decoder(decoder: OtlpDecoder, vocabulary: Vocabulary) -> None:
    bodies = [make_request(Random(seed)) for seed in range(400)]
    with ThreadPoolExecutor(8) as pool:
        batches = list(pool.map(decoder.decode, bodies))
    for body, batch in zip(bodies, batches, strict=True):
        assert resolved(batch, vocabulary) == rows_of(parse(body))[0]


def test_nothing_decodes_to_nothing(decoder: OtlpDecoder) -> None:
    assert len(decoder.decode(b"").rows) == 0
    assert len(decoder.decode_many([]).rows) == 0
    assert len(decoder.decode_many([b"", b""]).rows) == 0
