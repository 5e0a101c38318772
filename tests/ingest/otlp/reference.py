"""The oracle: OTLP requests decoded slowly by upb, one Python object a span.

upb here uses the published schema with every `string` made `bytes`, because one difference is deliberate: the scanner
does not refuse a request for text that is not UTF-8, it repairs the text. All else must agree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

from chronotope.ingest.spans.columns import (
    CLIENT,
    CONSUMER,
    EARLIEST_NS,
    ERROR,
    LATEST_NS,
    LINK,
    PRODUCER,
    PeerHint,
    SpanBatch,
    Vocabulary,
)
from chronotope.ingest.spans.sampling import mix64, sampling_weight
from chronotope.ingest.spans.semconv import describe, effective_kind, service_of

RECEIVING = {"receive", "process", "deliver", "poll", "consume"}


class Row(NamedTuple):
    """A SPAN row with its codes resolved."""

    trace_hi: int
    trace_lo: int
    span: int
    parent: int
    start_ns: int
    end_ns: int
    service: str
    peer: PeerHint | None
    protocol: str
    weight: int
    kind: int
    flags: int


def _lenient_request() -> Any:
    """Return ExportTraceServiceRequest with bytes in place of strings."""
    pool, added = descriptor_pool.DescriptorPool(), set()

    def add(file: Any) -> None:
        for dependency in file.dependencies:
            add(dependency)
        if file.name in added:
            return
        added.add(file.name)
        proto = descriptor_pb2.FileDescriptorProto()
        file.CopyToProto(proto)
        messages = list(proto.message_type)
        while messages:
            message = messages.pop()
            messages += message.nested_type
            for field in message.field:
                if field.type == field.TYPE_STRING:
                    field.type = field.TYPE_BYTES
        pool.Add(proto)

    add(trace_service_pb2.DESCRIPTOR)
    name = trace_service_pb2.ExportTraceServiceRequest.DESCRIPTOR.full_name
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))


LenientRequest = _lenient_request()


def parse(body: bytes) -> Any | None:
    """Return the parsed request; None when upb refuses it."""
    try:
        return LenientRequest.FromString(body)
    except DecodeError:
        return None


def rows_of(request: Any) -> tuple[list[Row], Counter[str]]:
    """Return the rows a request must give, those of links at the end, and what was skipped."""
    rows: list[Row] = []
    links: list[Row] = []
    skipped: Counter[str] = Counter()
    for resource_spans in request.resource_spans:
        service = service_of(_attributes(resource_spans.resource.attributes))
        for scope in resource_spans.scope_spans:
            for span in scope.spans:
                reason = _reason(span, service)
                if reason:
                    skipped[reason] += 1
                    continue
                row = _row(span, service)
                own = list(_links(span, row))
                rows.append(row._replace(peer=None) if own else row)
                links += own
    return rows + links, skipped


def resolved(batch: SpanBatch, vocabulary: Vocabulary) -> list[Row]:
    """Return a batch's rows with their codes resolved."""
    return [
        Row(
            *columns[:6],
            vocabulary.nodes[columns[6]].id,
            None if columns[7] < 0 else vocabulary.hints[columns[7]],
            vocabulary.protocols[columns[8]],
            *columns[9:],
        )
        for columns in batch.rows.tolist()
    ]


def _attributes(pairs: Any) -> dict[str, object]:
    return {pair.key.decode(errors="replace"): _value(pair.value) for pair in pairs}


def _value(value: Any) -> object:
    which = value.WhichOneof("value")
    found = getattr(value, which) if which else None
    if which == "string_value":
        return found.decode(errors="replace")
    return found if which in ("bool_value", "int_value", "double_value", "bytes_value") else None


def _reason(span: Any, service: str) -> str:
    ids_fit = len(span.trace_id) == 16 and len(span.span_id) == 8 and len(span.parent_span_id) in (0, 8)
    if not ids_fit or not any(span.trace_id) or not any(span.span_id):
        return "bad_id"
    end = max(span.start_time_unix_nano, span.end_time_unix_nano)
    if span.start_time_unix_nano < EARLIEST_NS or end > LATEST_NS:
        return "time_out_of_range"
    return "" if service else "no_service"


def _row(span: Any, service: str) -> Row:
    attributes = _attributes(span.attributes)
    kind = span.kind if 0 <= span.kind <= 5 else 0
    peer, protocol = describe(kind, attributes)
    low = int.from_bytes(span.trace_id[8:])
    return Row(
        int.from_bytes(span.trace_id[:8]),
        low,
        int.from_bytes(span.span_id),
        int.from_bytes(span.parent_span_id),
        span.start_time_unix_nano,
        max(span.start_time_unix_nano, span.end_time_unix_nano),
        service,
        peer,
        protocol,
        sampling_weight(span.trace_state.decode(errors="replace"), low),
        effective_kind(kind, attributes),
        ERROR if span.status.code == 2 else 0,
    )


def _links(span: Any, row: Row) -> Iterator[Row]:
    attributes = _attributes(span.attributes)
    messaging = any(key.startswith("messaging.") for key in attributes)
    operations = [attributes.get(f"messaging.operation{suffix}") for suffix in ("", ".type", ".name")]
    receives = any(isinstance(operation, str) and operation in RECEIVING for operation in operations)
    if row.kind == PRODUCER or not (row.kind == CONSUMER or (messaging and (row.kind != CLIENT or receives))):
        return
    seen = {(row.trace_hi, row.trace_lo, row.parent)}
    for link in span.links:
        if len(link.trace_id) != 16 or len(link.span_id) != 8 or not any(link.trace_id) or not any(link.span_id):
            continue
        high, low = int.from_bytes(link.trace_id[:8]), int.from_bytes(link.trace_id[8:])
        target = int.from_bytes(link.span_id)
        if (high, low, target) in seen:
            continue
        seen.add((high, low, target))
        mixed = mix64(mix64(mix64(mix64(row.trace_hi) ^ row.trace_lo) ^ row.span) ^ target)
        yield row._replace(
            trace_hi=high, trace_lo=low, span=mixed, parent=target, kind=CONSUMER, flags=row.flags | LINK
        )
