"""Spans as flat JSON objects, one a line or in a list, with the column names of the `spans` format.

Invariant: the checks are those of Parquet and Arrow. A line without a required name is counted; nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Iterator

from chronotope.ingest.files.json_input import NotUnderstood, decode_json
from chronotope.ingest.files.opening import InputFile
from chronotope.ingest.files.spans.elements import import_elements
from chronotope.ingest.files.spans.rows import (
    Call,
    RowBuilder,
    is_error_status,
    kind_code,
    parse_number,
    parse_span_id,
    parse_trace_id,
)
from chronotope.ingest.spans.columns import ERROR, SpanBatch, Vocabulary
from chronotope.ingest.spans.semconv import effective_kind
from chronotope.schema.names import service_id

_REQUIRED = ("trace_id", "span_id", "service", "start_ns", "end_ns")


def import_span_lines(source: InputFile, vocabulary: Vocabulary) -> Iterator[SpanBatch]:
    """Yield the spans of JSON objects; memory holds one line and one batch.

    Raises:
        InvalidPayload: see `import_elements`.
    """
    rows = RowBuilder(vocabulary)
    what = f"spans (Parquet, Arrow, or with {', '.join(_REQUIRED)} in each object)"
    return import_elements(source, rows, lambda text: _add(rows, text), wrapper=None, what=what)


def _add(rows: RowBuilder, text: bytes) -> None:
    span = decode_json(text)
    if not isinstance(span, dict):
        raise NotUnderstood("bad_span")
    lacking = [name for name in _REQUIRED if name not in span]
    if lacking:
        raise NotUnderstood(f"missing_{lacking[0]}")
    trace, span_id, parent = parse_trace_id(span["trace_id"]), parse_span_id(span["span_id"]), 0
    if span.get("parent_span_id") not in (None, ""):
        parsed = parse_span_id(span["parent_span_id"])
        parent = -1 if parsed is None else parsed
    if trace is None or not span_id or parent < 0:
        rows.skip("bad_id")
        return
    start_ns, end_ns = parse_number(span["start_ns"]) or 0, parse_number(span["end_ns"]) or 0
    rows.add(trace, span_id, parent, start_ns, end_ns, _call(rows, span))


def _call(rows: RowBuilder, span: dict[str, object]) -> Call:
    name, namespace, attributes = span["service"], span.get("namespace"), span.get("attributes")
    if isinstance(attributes, str):
        try:
            attributes = decode_json(attributes.encode("utf-8", "replace"))
        except NotUnderstood:
            attributes = None
    attributes = attributes if isinstance(attributes, dict) else {}
    kind = effective_kind(kind_code(span.get("kind")), attributes)
    service = service_id(name if isinstance(name, str) else "", namespace if isinstance(namespace, str) else "")
    peer, protocol = rows.peers.codes(kind, attributes)
    flags = ERROR if is_error_status(span.get("status_code")) else 0
    return Call(rows.vocabulary.service(service), peer, protocol, kind, flags)
