"""OTLP bytes to span columns: recorded and synthetic requests, joined and one by one, protobuf and JSON."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import orjson
import pytest
import zstandard
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from chronotope.ingest.otlp.decode import OtlpDecoder
from chronotope.ingest.spans.columns import CLIENT, SERVER, Vocabulary

RECORDED = Path(__file__).parents[2] / "shared" / "data" / "live_capture" / "otlp_traces.jsonl.zst"
START_NS = 1_700_000_000 * 10**9


@pytest.fixture(scope="module")
def decoder() -> OtlpDecoder:
    return OtlpDecoder(Vocabulary())


@pytest.fixture(scope="module")
def recorded() -> list[bytes]:
    """Return 672 requests of a live capture, 11,153 spans, 402 bytes a span."""
    if not RECORDED.exists():
        pytest.skip("the shared data folder is not beside the repository")
    with RECORDED.open("rb") as packed:
        lines = list(io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(packed)))
    return [base64.b64decode(orjson.loads(line)["body_b64"]) for line in lines]


def synthetic(spans: int, services: int = 20) -> bytes:
    """Return a request of client and server spans in turn, about 240 bytes a span."""
    request = ExportTraceServiceRequest()
    scopes = []
    for service in range(services):
        resource_spans = request.resource_spans.add()
        resource_spans.resource.attributes.add(key="service.name").value.string_value = f"service-{service}"
        scopes.append(resource_spans.scope_spans.add())
    for index in range(spans):
        client = index % 2 == 0
        span = scopes[index % services].spans.add(
            trace_id=(index // 2 + 1).to_bytes(16),
            span_id=(index + 1).to_bytes(8),
            parent_span_id=b"" if client else index.to_bytes(8),
            name=f"GET /items/{index % 100}",
            kind=CLIENT if client else SERVER,
            start_time_unix_nano=START_NS + index,
            end_time_unix_nano=START_NS + index + 1000,
        )
        for key, value in (
            ("http.request.method", "GET"),
            ("url.full", f"http://service-{(index + 1) % services}:8080/items/{index}"),
            ("server.address", f"service-{(index + 1) % services}"),
            ("user_agent.original", "python-requests/2.34.2"),
        ):
            span.attributes.add(key=key).value.string_value = value
        span.attributes.add(key="server.port").value.int_value = 8080
    return request.SerializeToString()


@pytest.mark.parametrize("joined", [1, 10, 672])
def test_recorded_requests_joined(benchmark: Any, decoder: OtlpDecoder, recorded: list[bytes], joined: int) -> None:
    bodies = recorded[:joined]
    batch = benchmark(decoder.decode_many, bodies)
    benchmark.extra_info["spans"] = len(batch.rows)
    assert len(batch.rows) == batch.read
    assert joined < 672 or len(batch.rows) == 11_153


def test_recorded_requests_one_by_one(benchmark: Any, decoder: OtlpDecoder, recorded: list[bytes]) -> None:
    assert benchmark(lambda: sum(len(decoder.decode(body).rows) for body in recorded)) == 11_153


@pytest.mark.parametrize("spans", [17, 500, 100_000])
def test_synthetic_request(benchmark: Any, decoder: OtlpDecoder, spans: int) -> None:
    body = synthetic(spans)
    benchmark.extra_info["bytes_per_span"] = len(body) // spans
    batch = benchmark(decoder.decode, body)
    assert len(batch.rows) == spans
    assert int(batch.rows["span"].sum()) == spans * (spans + 1) // 2
    assert not batch.skipped


@pytest.mark.parametrize("spans", [17, 500])
def test_json_request(benchmark: Any, decoder: OtlpDecoder, spans: int) -> None:
    body = orjson.dumps(as_json(synthetic(spans)))
    assert len(benchmark(decoder.decode_json, body).rows) == spans


def as_json(body: bytes) -> dict[str, Any]:
    """Return a synthetic request in OTLP/JSON."""
    resources = []
    for resource_spans in ExportTraceServiceRequest.FromString(body).resource_spans:
        spans = [
            {
                "traceId": span.trace_id.hex(),
                "spanId": span.span_id.hex(),
                "parentSpanId": span.parent_span_id.hex(),
                "name": span.name,
                "kind": span.kind,
                "startTimeUnixNano": str(span.start_time_unix_nano),
                "endTimeUnixNano": str(span.end_time_unix_nano),
                "attributes": [
                    {"key": pair.key, "value": {"stringValue": pair.value.string_value}} for pair in span.attributes
                ],
            }
            for span in resource_spans.scope_spans[0].spans
        ]
        name = resource_spans.resource.attributes[0].value.string_value
        resource = {"attributes": [{"key": "service.name", "value": {"stringValue": name}}]}
        resources.append({"resource": resource, "scopeSpans": [{"spans": spans}]})
    return {"resourceSpans": resources}
