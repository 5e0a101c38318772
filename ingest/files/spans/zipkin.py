"""Zipkin JSON of version 2 (and 1): a list of spans, a list of traces, or one a line.

Invariant: ids and parents stay as they were sent. So does the name of the remote endpoint (Zipkin's servers make it
lower case before they store it). The remote endpoint is the callee of a client, the caller of a server, the broker of a
producer or consumer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from chronotope.ingest.files.json_input import NotUnderstood
from chronotope.ingest.files.opening import InputFile
from chronotope.ingest.files.spans.elements import import_elements
from chronotope.ingest.files.spans.rows import Call, RowBuilder, parse_number, parse_span_id, parse_trace_id
from chronotope.ingest.files.spans.zipkin_reports import Endpoint, Piece, TraceWindow, merge_trace
from chronotope.ingest.files.spans.zipkin_v1 import SpanV1, pieces_of_v1
from chronotope.ingest.spans.columns import (
    CLIENT,
    CONSUMER,
    ERROR,
    PRODUCER,
    SHARED,
    UNSPECIFIED,
    SpanBatch,
    Vocabulary,
)
from chronotope.ingest.spans.sampling import sampling_weight
from chronotope.ingest.spans.semconv import RELEVANT_KEYS, effective_kind, kind_of_tag
from chronotope.schema.names import service_id

_KEPT_TAGS = frozenset({*RELEVANT_KEYS, "otel.status_code", "w3c.tracestate"})

_MESSAGING_TAGS = ("messaging.", "kafka.", "rabbit.", "jms.")


class EndpointV2(msgspec.Struct, rename="camel"):
    """One end of a call, as JSON has it."""

    service_name: Any = None
    ipv4: Any = None
    ipv6: Any = None
    port: Any = None


class SpanV2(msgspec.Struct, rename="camel"):
    """One report of a span; values of a wrong type are refused where they are used."""

    trace_id: Any = None
    id: Any = None
    parent_id: Any = None
    kind: Any = None
    timestamp: Any = None
    duration: Any = None
    shared: Any = None
    local_endpoint: EndpointV2 | None = None
    remote_endpoint: EndpointV2 | None = None
    tags: dict[str, Any] | None = None
    binary_annotations: msgspec.Raw = msgspec.Raw()  # only version 1 has them
    annotations: msgspec.Raw = msgspec.Raw()


_SPAN = msgspec.json.Decoder(SpanV2)
_SPAN_V1 = msgspec.json.Decoder(SpanV1)
_TRACE = msgspec.json.Decoder(list[msgspec.Raw])
_FAULTS = (msgspec.MsgspecError, ValueError, RecursionError)


def import_zipkin(source: InputFile, vocabulary: Vocabulary) -> Iterator[SpanBatch]:
    """Yield the spans of Zipkin JSON; memory holds one window of pieces and one batch.

    Raises:
        InvalidPayload: see `import_elements`.
    """
    rows = RowBuilder(vocabulary)
    reader = _SpanReader(rows)
    return import_elements(source, rows, reader.take, wrapper=None, what="Zipkin", finish=reader.finish)


class _SpanReader:
    """Adds spans and traces to rows."""

    def __init__(self, rows: RowBuilder) -> None:
        self._rows = rows
        self._window = TraceWindow()

    def take(self, text: bytes) -> None:
        """Take one element: a span, or a whole trace as a list."""
        if text.lstrip().startswith(b"["):
            self._add_trace([piece for raw in _decode_trace(text) for piece in self._pieces_or_skip(raw)])
            return
        for piece in self._pieces(text):
            self._window.add(piece)
        for trace in self._window.overflow():
            self._add_trace(trace)

    def finish(self) -> None:
        """Add what is still held."""
        for trace in self._window.rest():
            self._add_trace(trace)

    def _pieces_or_skip(self, text: msgspec.Raw) -> list[Piece]:
        try:
            return self._pieces(bytes(text))
        except NotUnderstood as reason:
            self._rows.skip(str(reason))
            return []

    def _pieces(self, text: bytes) -> list[Piece]:
        """Return the pieces of one reported span, none when it was skipped."""
        span = _decode_span(text)
        trace, span_id, parent = parse_trace_id(span.trace_id), parse_span_id(span.id), 0
        if span.parent_id is not None:
            parsed = parse_span_id(span.parent_id)
            parent = -1 if parsed is None else parsed
        if trace is None or not span_id or parent < 0:
            self._rows.skip("bad_id")
            return []
        first = Piece(trace, span_id, 0 if parent == span_id else parent)
        if _is_v1(span):
            return pieces_of_v1(_decode_v1(text), first)
        return [_fill_from_v2(first, span)]

    def _add_trace(self, pieces: Iterable[Piece]) -> None:
        held = list(pieces)
        spans = merge_trace(held)
        self._rows.count_merged(len(held) - len(spans))
        for span in spans:
            self._add(span)

    def _add(self, span: Piece) -> None:
        service = self._rows.vocabulary.service(service_id(span.local.service))
        kind = effective_kind(span.kind, span.tags)
        if kind == UNSPECIFIED and span.local.service and span.remote.service:
            kind = CLIENT  # as Zipkin's linker takes it
        peer, protocol = self._rows.peers.codes(kind, _attributes(span, kind))
        flags = (ERROR if span.error else 0) | (SHARED if span.shared else 0)
        call = Call(service, peer, protocol, kind, flags, _weight(span))
        start_ns = span.start_us * 1000
        self._rows.add(span.trace, span.id, span.parent, start_ns, start_ns + max(0, span.duration_us) * 1000, call)


def _decode_trace(text: bytes) -> list[msgspec.Raw]:
    try:
        return _TRACE.decode(text)
    except _FAULTS as cause:
        raise NotUnderstood("bad_json") from cause


def _decode_span(text: bytes) -> SpanV2:
    try:
        span = _SPAN.decode(text)
    except msgspec.ValidationError as cause:
        raise NotUnderstood("bad_span") from cause
    except _FAULTS as cause:
        raise NotUnderstood("bad_json") from cause
    if span.id is None and span.trace_id is None:
        raise NotUnderstood("bad_span")
    return span


def _decode_v1(text: bytes) -> SpanV1:
    try:
        return _SPAN_V1.decode(text)
    except _FAULTS as cause:
        raise NotUnderstood("bad_span") from cause


def _is_v1(span: SpanV2) -> bool:
    """Version 1 puts endpoints into annotations; version 2 has neither there nor binary annotations."""
    if span.local_endpoint is not None or span.kind is not None:
        return False
    return bool(bytes(span.binary_annotations)) or b'"endpoint"' in bytes(span.annotations)


def _fill_from_v2(piece: Piece, span: SpanV2) -> Piece:
    tags = span.tags or {}
    piece.kind = kind_of_tag(span.kind) if isinstance(span.kind, str) else UNSPECIFIED
    piece.shared = span.shared is True
    piece.start_us = parse_number(span.timestamp) or 0
    piece.duration_us = parse_number(span.duration) or 0
    piece.error = "error" in tags or str(tags.get("otel.status_code")).upper() == "ERROR"
    piece.local, piece.remote = _endpoint(span.local_endpoint), _endpoint(span.remote_endpoint)
    piece.tags = {key: value for key, value in tags.items() if key in _KEPT_TAGS}
    return piece


def _endpoint(endpoint: EndpointV2 | None) -> Endpoint:
    if endpoint is None:
        return Endpoint()
    name, addresses = endpoint.service_name, (endpoint.ipv4, endpoint.ipv6)
    port = parse_number(endpoint.port) or 0
    return Endpoint(
        name if isinstance(name, str) else "",
        next((address for address in addresses if isinstance(address, str) and address), ""),
        port if 0 < port <= 65535 else 0,
    )


def _attributes(span: Piece, kind: int) -> dict[str, object]:
    """Return the tags, and the remote endpoint under the names that semantic conventions have for it."""
    remote = span.remote
    attributes = dict(span.tags)
    if remote.service:
        attributes["peer.service"] = remote.service
        if kind in (PRODUCER, CONSUMER) and not any(key.startswith(_MESSAGING_TAGS) for key in attributes):
            attributes["messaging.system"] = remote.service
    if remote.address:
        attributes["network.peer.address"] = remote.address
    if remote.address and remote.port:
        attributes["network.peer.port"] = remote.port
    return attributes


def _weight(span: Piece) -> int:
    tracestate = span.tags.get("w3c.tracestate")
    return sampling_weight(tracestate, span.trace.lo) if isinstance(tracestate, str) and tracestate else 1
