"""OTLP requests for tests, made with OpenTelemetry's own message classes."""

from __future__ import annotations

from collections.abc import Mapping

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

CLIENT, SERVER = Span.SPAN_KIND_CLIENT, Span.SPAN_KIND_SERVER


def request_of(service: str, *spans: Span, namespace: str = "") -> bytes:
    """One request with spans of one service."""
    request = ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add()
    for key, value in (("service.name", service), ("service.namespace", namespace)):
        if value:
            attribute = resource_spans.resource.attributes.add(key=key)
            attribute.value.string_value = value
    resource_spans.scope_spans.add().spans.extend(spans)
    return request.SerializeToString()


def span_of(
    trace: int,
    span: int,
    parent: int = 0,
    *,
    kind: int = SERVER,
    start_s: float,
    took_s: float = 0.01,
    attributes: Mapping[str, str] | None = None,
) -> Span:
    """One span."""
    made = Span(
        trace_id=trace.to_bytes(16, "big"),
        span_id=span.to_bytes(8, "big"),
        parent_span_id=parent.to_bytes(8, "big") if parent else b"",
        name="call",
        kind=kind,
        start_time_unix_nano=int(start_s * 1e9),
        end_time_unix_nano=int((start_s + took_s) * 1e9),
    )
    for key, value in (attributes or {}).items():
        made.attributes.add(key=key).value.string_value = value
    return made
