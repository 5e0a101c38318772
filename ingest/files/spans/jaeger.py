"""Jaeger JSON: an answer of its query API (`{"data": […]}`), a list of traces, or one trace or span a line.

Invariant: a span's parent is the first CHILD_OF reference within its own trace, else the first FOLLOWS_FROM within it.
Every other reference of a consumer is a link: it makes the linked span one more parent.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from chronotope.ingest.files.json_input import NotUnderstood
from chronotope.ingest.files.opening import InputFile
from chronotope.ingest.files.spans.elements import import_elements
from chronotope.ingest.files.spans.rows import Call, RowBuilder, TraceId, parse_number, parse_span_id, parse_trace_id
from chronotope.ingest.spans.columns import CLIENT, CONSUMER, ERROR, SERVER, SHARED, SpanBatch, Vocabulary
from chronotope.ingest.spans.sampling import sampling_weight
from chronotope.ingest.spans.semconv import effective_kind, service_of


class Tag(msgspec.Struct):
    """A key and a value; the stated type is not needed."""

    key: str
    value: Any = None


class Reference(msgspec.Struct, rename={"ref_type": "refType", "trace_id": "traceID", "span_id": "spanID"}):
    """A span's reference to another span."""

    ref_type: Any = None
    trace_id: Any = None
    span_id: Any = None


class Process(msgspec.Struct, rename={"service_name": "serviceName"}):
    """The process that made a span."""

    service_name: Any = None
    tags: list[Tag] | None = None


class Span(
    msgspec.Struct,
    rename={
        "trace_id": "traceID",
        "span_id": "spanID",
        "parent_span_id": "parentSpanID",
        "start_time": "startTime",
        "process_id": "processID",
    },
):
    """One span; `process` stands in the span itself where there is no table of processes."""

    trace_id: Any = None
    span_id: Any = None
    parent_span_id: Any = None
    start_time: Any = None
    duration: Any = None
    process_id: Any = None
    process: Process | None = None
    references: list[Reference] | None = None
    tags: list[Tag] | None = None


class Trace(msgspec.Struct):
    """One trace; its spans are decoded one by one, so that a bad one takes no other with it."""

    spans: list[msgspec.Raw]
    processes: dict[str, Process] | None = None


class WholeTrace(msgspec.Struct):
    """One trace decoded at once: what nearly every trace is."""

    spans: list[Span]
    processes: dict[str, Process] | None = None


class BadSpan(ValueError):
    """A span that makes no row; the text is the reason."""


_WHOLE = msgspec.json.Decoder(WholeTrace)
_TRACE = msgspec.json.Decoder(Trace)
_SPAN = msgspec.json.Decoder(Span)
_FAULTS = (msgspec.MsgspecError, ValueError, RecursionError)


def import_jaeger(source: InputFile, vocabulary: Vocabulary) -> Iterator[SpanBatch]:
    """Yield the spans of Jaeger JSON; memory holds one trace and one batch.

    Raises:
        InvalidPayload: see `import_elements`.
    """
    rows = RowBuilder(vocabulary)
    reader = _TraceReader(rows)
    return import_elements(source, rows, reader.take, wrapper="data", what="Jaeger")


class _TraceReader:
    """Adds traces to rows."""

    def __init__(self, rows: RowBuilder) -> None:
        self._rows = rows
        self._tracestate_cache: dict[str, bool] = {}

    def take(self, text: bytes) -> None:
        """Add all spans of one element: a trace, or a single span that contains its process."""
        spans, processes, bad = _decode(text)
        for _ in range(bad):
            self._rows.skip("bad_span")
        services = {key: self._service(process) for key, process in processes.items()}
        called_clients = _shared_client_ids(spans)
        for span in spans:
            try:
                self._add(span, services, called_clients)
            except BadSpan as reason:
                self._rows.skip(str(reason))

    def _service(self, process: Process) -> int:
        """Return the code of a process's service, -1 when it names none."""
        attributes = {**_tags(process.tags), "service.name": process.service_name}
        service = service_of(attributes)
        self._rows.describe_service(service, {k: v for k, v in attributes.items() if k != "service.name"})
        return self._rows.vocabulary.service(service)

    def _add(self, span: Span, services: dict[str, int], called_clients: set[object]) -> None:
        trace, span_id = parse_trace_id(span.trace_id), parse_span_id(span.span_id)
        if trace is None or not span_id:
            raise BadSpan("bad_id")
        tags = _tags(span.tags)
        kind = effective_kind(0, tags)
        service = self._service(span.process) if span.process else services.get(str(span.process_id), -1)
        peer, protocol = self._rows.peers.codes(kind, tags)
        flags = ERROR if _is_error(tags) else 0
        if kind == SERVER and span.span_id in called_clients:
            flags |= SHARED
        call = Call(service, peer, protocol, kind, flags, _weight(tags, trace))
        parent, links = _parents(span, trace)
        if kind != CONSUMER:
            links = []
        start_ns, end_ns = _times(span)
        real = call._replace(peer=-1) if links else call
        if self._rows.add(trace, span_id, parent, start_ns, end_ns, real):
            for linked, linked_span in links:
                self._rows.add_link(trace, span_id, linked, linked_span, start_ns, end_ns, call)


def _decode(text: bytes) -> tuple[list[Span], dict[str, Process], int]:
    """Return the spans and processes of an element, and how many spans were none."""
    try:
        whole = _WHOLE.decode(text)
        return whole.spans, whole.processes or {}, 0
    except _FAULTS:
        pass
    try:
        trace = _TRACE.decode(text)
    except _FAULTS:
        return [_decode_lone_span(text)], {}, 0
    spans, bad = [], 0
    for raw in trace.spans:
        try:
            spans.append(_SPAN.decode(raw))
        except _FAULTS:
            bad += 1
    return spans, trace.processes or {}, bad


def _decode_lone_span(text: bytes) -> Span:
    try:
        span = _SPAN.decode(text)
    except msgspec.ValidationError as cause:
        raise NotUnderstood("not_a_trace") from cause
    except _FAULTS as cause:
        raise NotUnderstood("bad_json") from cause
    if span.span_id is None:
        raise NotUnderstood("not_a_trace")
    return span


def _tags(tags: list[Tag] | None) -> dict[str, object]:
    return {tag.key: tag.value for tag in tags or ()}


def _shared_client_ids(spans: list[Span]) -> set[object]:
    """Return the ids that a client span shares with another span, as Zipkin's instrumentations send them."""
    seen: set[object] = set()
    twice = {span.span_id for span in spans if span.span_id in seen or seen.add(span.span_id)}  # type: ignore[func-returns-value]
    return {span.span_id for span in spans if span.span_id in twice and _kind(span) == CLIENT}


def _kind(span: Span) -> int:
    return effective_kind(0, _tags(span.tags))


def _is_error(tags: dict[str, object]) -> bool:
    """An `error` tag that is true, or OpenTelemetry's status; an HTTP status alone is none (policy)."""
    error = tags.get("error")
    if error is True or (isinstance(error, str) and error.lower() == "true"):
        return True
    return str(tags.get("otel.status_code", "")).upper() == "ERROR"


def _weight(tags: dict[str, object], trace: TraceId) -> int:
    tracestate = tags.get("w3c.tracestate")
    return sampling_weight(tracestate, trace.lo) if isinstance(tracestate, str) and tracestate else 1


def _times(span: Span) -> tuple[int, int]:
    """Return start and end in nanoseconds; Jaeger's are microseconds."""
    start, duration = parse_number(span.start_time), parse_number(span.duration)
    if start is None:
        raise BadSpan("time_out_of_range")
    return start * 1000, (start + max(0, duration or 0)) * 1000


def _parents(span: Span, own: TraceId) -> tuple[int, list[tuple[TraceId, int]]]:
    """Return the parent's id, 0 for none, and the other spans it refers to."""
    references = []
    for reference in span.references or ():
        trace, span_id = parse_trace_id(reference.trace_id or span.trace_id), parse_span_id(reference.span_id)
        if trace is None or span_id is None:
            raise BadSpan("bad_id")
        references.append((reference.ref_type != "CHILD_OF", trace, span_id))
    if span.parent_span_id and not references:
        parent = parse_span_id(span.parent_span_id)
        if parent is None:
            raise BadSpan("bad_id")
        return parent, []
    candidates = [(follows, place) for place, (follows, trace, _) in enumerate(references) if trace == own]
    chosen = min(candidates)[1] if candidates else -1
    links = [(trace, span_id) for at, (_, trace, span_id) in enumerate(references) if at != chosen and span_id]
    parent = references[chosen][2] if chosen >= 0 else 0
    return parent, [link for link in dict.fromkeys(links) if link != (own, parent)]
