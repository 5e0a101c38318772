"""OTLP trace requests, protobuf or JSON, to span columns.

Invariant: the work in Python grows with the number of different resources and attribute signatures, not with the number
of spans (except spans with links, which are rare). A request is decoded whole or refused whole.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Sequence

import numpy as np

from chronotope.ingest.otlp.attributes import Value, attributes_of, listed_texts, resource_attributes
from chronotope.ingest.otlp.framing import measure
from chronotope.ingest.otlp.json_form import to_protobuf
from chronotope.ingest.otlp.links import link_rows
from chronotope.ingest.otlp.scan import DETAIL, REASONS, fill, number_distinct
from chronotope.ingest.spans.columns import CONSUMER, PRODUCER, SPAN, SpanBatch, Vocabulary
from chronotope.ingest.spans.resource_claims import heartbeats_of, own_addresses
from chronotope.ingest.spans.sampling import mix64_column, rounding
from chronotope.ingest.spans.semconv import describe, effective_kind, service_of
from chronotope.schema.errors import InvalidPayload
from chronotope.schema.names import clean_name

MAX_CACHED = 65_536  # different resources, and different signatures, that are remembered
MAX_ATTRIBUTES = 128  # of a resource, kept

_NO_SERVICE = REASONS.index("no_service")
_SPAN_ATTRIBUTES = 9


class OtlpDecoder:
    """Decodes OTLP trace requests into batches of one vocabulary; safe to use from several threads.

    Making one compiles the scanner (seconds, once an installation) or loads it (a second).
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._seed = np.uint64(secrets.randbits(64))
        self._services: dict[int, int] = {}  # hash of a resource → node code
        self._owned: dict[int, tuple[str, tuple[str, ...]]] = {}  # hash of a resource → service id, its own addresses
        self._meanings: dict[int, tuple[int, int, int]] = {}  # signature → hint code, protocol code, kind

    def decode(self, body: bytes) -> SpanBatch:
        """Return the spans of one ExportTraceServiceRequest in protobuf.

        Raises:
            InvalidPayload: it is not well-formed protobuf; nothing of it was decoded.
        """
        return self.decode_many((body,))

    def decode_json(self, body: bytes) -> SpanBatch:
        """Return the spans of one request in OTLP/JSON: the same batch as for its protobuf form.

        Raises:
            InvalidPayload: no JSON, or a field that cannot be what it is; the message names it by its path.
        """
        return self.decode(to_protobuf(body))

    def decode_many(self, bodies: Sequence[bytes]) -> SpanBatch:
        """Return the spans of several protobuf requests as one batch: rows in order, link rows at the end.

        Raises:
            InvalidPayload: one of them is malformed, the message says which; nothing was decoded.
        """
        joined = bodies[0] if len(bodies) == 1 else b"".join(bodies)
        bounds = np.zeros(len(bodies) + 1, np.uint64)
        np.cumsum([len(body) for body in bodies], out=bounds[1:])
        buffer = np.frombuffer(joined or b"\0", np.uint8)
        resources, spans, short = _measured(buffer, bounds)
        rows, details = np.empty(spans, SPAN), np.empty(spans, DETAIL)
        signatures, states = np.empty(spans, np.uint64), np.empty(spans, np.uint64)
        places = np.empty((resources, 3), np.uint64)
        filled = fill(buffer, bounds, rows, details, signatures, states, places, self._seed)
        if filled != (spans, resources):  # cannot happen: never hand on memory that was not filled
            raise InvalidPayload(f"not an OTLP trace request: {spans} spans counted, {filled[0]} read")
        batch = SpanBatch(rows, read=spans + short)
        if short:
            batch.skipped["bad_id"] = short
        if spans:
            self._name_services(joined, places, details, batch)
            self._name_peers(joined, signatures, details, rows)
            _weigh(joined, states, details, rows)
            _add_links(joined, details, batch)
        return batch

    def _name_services(self, joined: bytes, places: np.ndarray, details: np.ndarray, batch: SpanBatch) -> None:
        """Fill the column `service`, and gather the attributes of resources seen for the first time."""
        codes = np.empty(len(places), np.int32)
        for index, (key, start, end) in enumerate(places.tolist()):
            code = self._services.get(key)
            if code is None:
                code = self._new_service(key, joined[start:end], batch)
            codes[index] = code
        batch.rows["service"] = codes[details["resource"]]
        if self._owned:
            owned = [self._owned.get(key, ("", ())) for key in places[:, 0].tolist()]
            batch.heartbeats = heartbeats_of(owned, details["resource"], batch.rows["start_ns"], details["reason"] == 0)

    def _new_service(self, key: int, resource_spans: bytes, batch: SpanBatch) -> int:
        attributes = resource_attributes(resource_spans)
        service = service_of(attributes)
        code = self._vocabulary.service(service)
        if len(self._services) >= MAX_CACHED:
            self._services.clear()
            self._owned.clear()
        self._services[key] = code
        addresses = own_addresses(attributes, lambda name: listed_texts(resource_spans, name)) if service else ()
        if addresses:
            self._owned[key] = service, addresses
        if service:
            batch.attributes.setdefault(service, {}).update(_texts(attributes))
        return code

    def _name_peers(self, joined: bytes, signatures: np.ndarray, details: np.ndarray, rows: np.ndarray) -> None:
        """Fill the columns `peer`, `protocol` and `kind`."""
        codes, firsts = _distinct(signatures)
        meanings = []
        for index, signature in zip(firsts.tolist(), signatures[firsts].tolist(), strict=True):
            meaning = self._meanings.get(signature)
            if meaning is None:
                span = joined[details["start"][index] : details["end"][index]]
                meaning = self._new_meaning(signature, span, int(rows["kind"][index]))
            meanings.append(meaning)
        columns = np.array(meanings, np.int32)
        rows["peer"], rows["protocol"], rows["kind"] = columns.T[:, codes]

    def _new_meaning(self, signature: int, span: bytes, kind: int) -> tuple[int, int, int]:
        attributes = attributes_of(span, _SPAN_ATTRIBUTES)
        hint, protocol = describe(kind, attributes)
        peer = -1 if hint is None else self._vocabulary.hints.code(hint)
        meaning = (peer, self._vocabulary.protocols.code(protocol), effective_kind(kind, attributes))
        if len(self._meanings) >= MAX_CACHED:
            self._meanings.clear()
        self._meanings[signature] = meaning
        return meaning


def _measured(buffer: np.ndarray, bounds: np.ndarray) -> tuple[int, int, int]:
    """Return the numbers of ResourceSpans, of spans and of spans too short to be one."""
    counts = np.zeros(3, np.int64)
    request, offset = measure(buffer, bounds, counts)
    if request >= 0:
        which = f"request {request}: " if len(bounds) > 2 else ""
        raise InvalidPayload(f"{which}not an OTLP trace request: malformed protobuf at byte {int(offset)}")
    resources, spans, short = counts.tolist()
    return resources, spans, short


def _distinct(hashes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each hash's number among the distinct ones, and where each of these was first seen."""
    codes, firsts = np.empty(len(hashes), np.int32), np.empty(len(hashes), np.int64)
    return codes, firsts[: number_distinct(hashes, codes, firsts)]


def _weigh(joined: bytes, states: np.ndarray, details: np.ndarray, rows: np.ndarray) -> None:
    """Fill the column `weight` of spans that were sampled by probability; both spans of a call get the same."""
    sampled = np.flatnonzero(states)
    if not len(sampled):
        return
    codes, firsts = _distinct(states[sampled])
    places = details[sampled[firsts]][["state_start", "state_end"]].tolist()
    weights = [rounding(joined[start:end].decode(errors="replace")) for start, end in places]
    whole = np.array([whole for whole, _ in weights], np.int32)
    limit = np.array([limit for _, limit in weights], np.uint64)
    mixed = mix64_column(rows["trace_lo"][sampled]) >> np.uint64(8)
    rows["weight"][sampled] = whole[codes] + (mixed < limit[codes])


def _add_links(joined: bytes, details: np.ndarray, batch: SpanBatch) -> None:
    """Take out the rows that must be skipped, and add those of links."""
    rows, reasons = batch.rows, details["reason"]
    reasons[(reasons == 0) & (rows["service"] < 0)] = _NO_SERVICE
    consumes = (rows["kind"] == CONSUMER) | (details["messaging"] == 1) & (rows["kind"] != PRODUCER)
    linked: list[tuple[int, ...]] = []
    for index in np.flatnonzero((details["links"] > 0) & (reasons == 0) & consumes).tolist():
        found = link_rows(joined[details["start"][index] : details["end"][index]], rows[index])
        if found:
            linked += found
            rows["peer"][index] = -1  # its links carry the topic's half
    if reasons.any():
        counts = np.bincount(reasons, minlength=len(REASONS)).tolist()
        batch.skipped.update(Counter({REASONS[n]: count for n, count in enumerate(counts) if n and count}))
        rows = rows[reasons == 0]
    batch.rows = np.concatenate([rows, np.array(linked, SPAN)]) if linked else rows


def _texts(attributes: dict[str, Value]) -> dict[str, str]:
    """Return at most MAX_ATTRIBUTES attributes as cleaned text, those without a plain value left out."""
    words = {True: "true", False: "false"}
    plain = (
        (key, words[value] if isinstance(value, bool) else str(value))
        for key, value in attributes.items()
        if isinstance(value, str | int)
    )
    return {clean_name(key): clean_name(text) for key, text in list(plain)[:MAX_ATTRIBUTES]}
