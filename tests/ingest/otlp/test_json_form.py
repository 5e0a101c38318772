from __future__ import annotations

from contextlib import suppress
from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from chronotope.ingest.otlp.decode import OtlpDecoder
from chronotope.ingest.spans.columns import CLIENT, ERROR, PeerHint, Vocabulary
from chronotope.schema.errors import InvalidPayload
from tests.ingest.otlp.reference import parse, resolved, rows_of
from tests.ingest.otlp.requests import START_NS, make_request

VOCABULARY = Vocabulary()
DECODER = OtlpDecoder(VOCABULARY)


def json_of(body: bytes) -> dict[str, Any]:
    """Return a protobuf request in OTLP/JSON."""
    request = ExportTraceServiceRequest.FromString(body)
    return {"resourceSpans": [_resource_spans(found) for found in request.resource_spans]}


def _resource_spans(found: Any) -> dict[str, Any]:
    scopes = [{"scope": {"name": "s"}, "spans": [_span(span) for span in scope.spans]} for scope in found.scope_spans]
    return {"resource": {"attributes": _pairs(found.resource.attributes)}, "scopeSpans": scopes, "schemaUrl": "x"}


def _span(span: Any) -> dict[str, Any]:
    return {
        "traceId": span.trace_id.hex(),
        "spanId": span.span_id.hex().upper(),
        "parentSpanId": span.parent_span_id.hex(),
        "traceState": span.trace_state,
        "name": span.name,
        "kind": span.kind,
        "startTimeUnixNano": str(span.start_time_unix_nano),
        "endTimeUnixNano": span.end_time_unix_nano,
        "attributes": _pairs(span.attributes),
        "links": [{"traceId": link.trace_id.hex(), "spanId": link.span_id.hex()} for link in span.links],
        "status": {"code": span.status.code, "message": "m"},
        "unknownField": [1, {"x": None}],
    }


def _pairs(pairs: Any) -> list[dict[str, Any]]:
    return [{"key": pair.key, "value": _value(pair.value)} for pair in pairs]


def _value(value: Any) -> dict[str, Any] | None:
    which = value.WhichOneof("value")
    if which == "string_value":
        return {"stringValue": value.string_value}
    if which == "int_value":
        return {"intValue": str(value.int_value)}
    if which == "bool_value":
        return {"boolValue": value.bool_value}
    return {"arrayValue": {"values": []}} if which else None


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**64))
def test_json_gives_what_protobuf_gives(seed: int) -> None:
    body = make_request(Random(seed))
    batch = DECODER.decode_json(orjson.dumps(json_of(body)))
    rows, skipped = rows_of(parse(body))
    assert resolved(batch, VOCABULARY) == rows
    assert batch.skipped == skipped


def test_enums_may_be_names() -> None:
    span = {
        "traceId": "01" * 16,
        "spanId": "02" * 8,
        "kind": "SPAN_KIND_CLIENT",
        "startTimeUnixNano": float(START_NS),
        "status": {"code": "STATUS_CODE_ERROR"},
        "attributes": [{"key": "peer.service", "value": {"stringValue": "orders"}}],
        "parentSpanId": None,
    }
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "web"}}]}
    request = {"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [span]}]}]}
    (row,) = resolved(DECODER.decode_json(orjson.dumps(request)), VOCABULARY)
    assert (row.kind, row.flags, row.peer) == (CLIENT, ERROR, PeerHint(service="orders"))


def spans(**fields: Any) -> dict[str, Any]:
    return {"resourceSpans": [{"scopeSpans": [{"spans": [fields]}]}]}


SPAN = r"resourceSpans\[0\]\.scopeSpans\[0\]\.spans\[0\]"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"a": NaN}', "not JSON"),
        (b"\xff", "not JSON"),
        (b"[]", "is an object"),
        ({"resourceSpans": {}}, "^resourceSpans: {} is not a list"),
        ({"resourceSpans": [1]}, r"^resourceSpans\[0\]: 1 is not an object"),
        (spans(traceId="zz"), f"{SPAN}.traceId: 'zz' is not hexadecimal"),
        (spans(traceId="é"), f"{SPAN}.traceId: 'é' is not hexadecimal"),
        (spans(spanId=5), f"{SPAN}.spanId: 5 is not text"),
        (spans(startTimeUnixNano="abc"), f"{SPAN}.startTimeUnixNano: 'abc' is not a whole number"),
        (spans(startTimeUnixNano=1.5), f"{SPAN}.startTimeUnixNano: 1.5 is not a whole number"),
        (spans(endTimeUnixNano=True), f"{SPAN}.endTimeUnixNano: True is not a whole number"),
        (spans(endTimeUnixNano="9" * 20), "is not a whole number of 64 bits"),
        (spans(endTimeUnixNano="9" * 9000), r"\.\.\. is not a whole number"),
        (spans(kind=[]), f"{SPAN}.kind: .* is not a whole number"),
        (spans(status=2), f"{SPAN}.status: 2 is not an object"),
        (
            spans(attributes=[{"key": "k", "value": {"boolValue": 1}}]),
            r"attributes\[0\].value.boolValue: 1 is not true",
        ),
        (spans(links=[{"traceId": "0"}]), rf"{SPAN}.links\[0\].traceId: '0' is not hexadecimal"),
    ],
)
def test_what_cannot_be_understood_is_named_by_its_path(body: bytes | dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidPayload, match=message):
        DECODER.decode_json(body if isinstance(body, bytes) else orjson.dumps(body))


def test_negative_times_and_ids_of_wrong_length_are_counted_as_in_protobuf() -> None:
    request = spans(traceId="01" * 16, spanId="02" * 8, startTimeUnixNano=-5)
    request["resourceSpans"][0]["scopeSpans"][0]["spans"].append({"traceId": "0102"})
    assert dict(DECODER.decode_json(orjson.dumps(request)).skipped) == {"time_out_of_range": 1, "bad_id": 1}


@settings(max_examples=200, deadline=None)
@given(st.recursive(st.none() | st.booleans() | st.integers(-9, 2**63) | st.text(max_size=9), st.lists, max_leaves=5))
def test_any_value_anywhere_is_understood_or_refused(value: Any) -> None:
    for place in ("traceId", "kind", "startTimeUnixNano", "attributes", "links", "status", "traceState"):
        with suppress(InvalidPayload):
            DECODER.decode_json(orjson.dumps(spans(**{place: value})))
