"""Zipkin's version 1: kinds and times from the annotations `cs`, `cr`, `sr`, `ss`, `ms`, `mr`.

Invariant: one version 1 span gives one piece for each end that reported in it, all under its id. The server's piece is
shared when the client reported too, or when the span has no time of its own (then the client started it).

Source: https://github.com/openzipkin/zipkin, zipkin2.v1.V1SpanConverter.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec

from chronotope.ingest.files.spans.rows import parse_number
from chronotope.ingest.files.spans.zipkin_reports import Endpoint, Piece
from chronotope.ingest.spans.columns import CLIENT, CONSUMER, PRODUCER, SERVER
from chronotope.ingest.spans.semconv import RELEVANT_KEYS

# Kind, what marks its begin and its end, and the key of the other end's address.
_SIDES = (
    (CLIENT, "cs", "cr", "sa"),
    (SERVER, "sr", "ss", "ca"),
    (PRODUCER, "ms", "ws", "ma"),
    (CONSUMER, "wr", "mr", "ma"),
)
_RELEVANT = frozenset(RELEVANT_KEYS)


class EndpointV1(msgspec.Struct, rename="camel"):
    """The endpoint that annotated."""

    service_name: Any = None
    ipv4: Any = None
    ipv6: Any = None
    port: Any = None


class Annotation(msgspec.Struct):
    """An event at a time, in microseconds."""

    value: Any = None
    timestamp: Any = None
    endpoint: EndpointV1 | None = None


class BinaryAnnotation(msgspec.Struct):
    """A tag, or the address of the other end."""

    key: Any = None
    value: Any = None
    endpoint: EndpointV1 | None = None


class SpanV1(msgspec.Struct, rename="camel"):
    """One report of a span; its ids are read as those of version 2."""

    timestamp: Any = None
    duration: Any = None
    annotations: list[Annotation] | None = None
    binary_annotations: list[BinaryAnnotation] | None = None


def pieces_of_v1(span: SpanV1, first: Piece) -> list[Piece]:
    """Return the pieces of a version 1 span; `first` holds its ids."""
    events = {str(event.value): event for event in reversed(span.annotations or [])}
    addresses = {str(tag.key): tag for tag in span.binary_annotations or [] if tag.key in ("ca", "sa", "ma")}
    pieces = [
        _side(first, span, kind, (events.get(begin), events.get(end)), addresses.get(other))
        for kind, begin, end, other in _SIDES
        if begin in events or end in events
    ]
    if not pieces:
        pieces = [_addressed(first, span, addresses)]
    kinds = {piece.kind for piece in pieces}
    for piece in pieces:
        piece.shared = piece.kind == SERVER and (CLIENT in kinds or not parse_number(span.timestamp))
    _add_tags(pieces, span)
    return pieces


def _side(
    first: Piece,
    span: SpanV1,
    kind: int,
    events: tuple[Annotation | None, Annotation | None],
    other: BinaryAnnotation | None,
) -> Piece:
    begin_us, end_us = (parse_number(event.timestamp) or 0 if event else 0 for event in events)
    piece = _copy(first)
    piece.kind = kind
    for event in events:
        piece.local.fill(_endpoint(event.endpoint if event else None))
    piece.remote = _endpoint(other.endpoint if other else None)
    piece.start_us = begin_us or parse_number(span.timestamp) or 0
    piece.duration_us = end_us - begin_us if begin_us and end_us else parse_number(span.duration) or 0
    return piece


def _addressed(first: Piece, span: SpanV1, addresses: dict[str, BinaryAnnotation]) -> Piece:
    """Return the piece of a span without client and server annotations: local, or one that only names the server."""
    piece = _copy(first)
    if "sa" in addresses:
        piece.kind, piece.remote = CLIENT, _endpoint(addresses["sa"].endpoint)
    tellers = [event.endpoint for event in span.annotations or []]
    tellers += [tag.endpoint for tag in span.binary_annotations or [] if tag.key not in ("ca", "sa", "ma")]
    for endpoint in tellers:
        piece.local.fill(_endpoint(endpoint))
    piece.start_us, piece.duration_us = parse_number(span.timestamp) or 0, parse_number(span.duration) or 0
    return piece


def _add_tags(pieces: list[Piece], span: SpanV1) -> None:
    """Give each tag to the piece of the service that wrote it, otherwise to the first."""
    for tag in span.binary_annotations or []:
        if not isinstance(tag.key, str) or tag.key in ("ca", "sa", "ma"):
            continue
        service = _endpoint(tag.endpoint).service
        owner = next((piece for piece in pieces if piece.local.service == service), pieces[0])
        owner.error |= tag.key == "error"
        if tag.key in _RELEVANT:
            owner.tags[tag.key] = tag.value
    if any(event.value == "error" for event in span.annotations or []):
        pieces[0].error = True


def _copy(first: Piece) -> Piece:
    return replace(first, local=Endpoint(), remote=Endpoint(), tags={})


def _endpoint(endpoint: EndpointV1 | None) -> Endpoint:
    if endpoint is None:
        return Endpoint()
    name, address = endpoint.service_name, endpoint.ipv4 or endpoint.ipv6
    port = parse_number(endpoint.port) or 0
    return Endpoint(
        name if isinstance(name, str) else "",
        address if isinstance(address, str) else "",
        port if 0 < port <= 65535 else 0,
    )
