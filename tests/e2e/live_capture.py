"""The recorded live system (see the README beside the data): its OTLP requests, owners of addresses, and true edges."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import zstandard
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class Recorded(NamedTuple):
    """One export as it came in."""

    transport: str
    body: bytes


def read_requests(folder: Path) -> list[Recorded]:
    """All recorded requests, in the order of their arrival."""
    with (folder / "otlp_traces.jsonl.zst").open("rb") as file:
        lines = zstandard.ZstdDecompressor().stream_reader(file).read().splitlines()
    records = map(json.loads, lines)
    return [Recorded(record["transport"], base64.b64decode(record["body_b64"])) for record in records]


def read_truth(folder: Path) -> dict:
    """What was really running."""
    truth: dict = json.loads((folder / "truth.json").read_text())
    return truth


def spans_of(requests: list[Recorded]) -> Iterator[tuple[dict[str, str], Span]]:
    """Each span with its resource's attributes."""
    for request in requests:
        message = ExportTraceServiceRequest.FromString(request.body)
        for resource_spans in message.resource_spans:
            resource = {item.key: item.value.string_value for item in resource_spans.resource.attributes}
            for scope_spans in resource_spans.scope_spans:
                for span in scope_spans.spans:
                    yield resource, span


def address_of(place: str) -> str:
    """The address of `address:port` or `[address]:port`."""
    return place.rpartition(":")[0].strip("[]")


def identities(truth: dict, namespaces: dict[str, str]) -> list[dict[str, object]]:
    """Ownership ranges of the truth, the virtual address among them.

    Args:
        namespaces: service → what its spans say; who sends no spans has none.
    """
    owned = [(item["ip"], item["service"], item["from_ns"], item["to_ns"]) for item in truth["identities"]]
    begin, end = min(item[2] for item in owned), max(item[3] for item in owned)
    owned += [(address_of(item["vip"]), item["service"], begin, end) for item in truth["vips"]]
    return [
        {
            "address": address,
            "service": service,
            "namespace": namespaces.get(service, ""),
            "from": from_ns // 10**6,
            "to": to_ns // 10**6,
        }
        for address, service, from_ns, to_ns in owned
    ]
