"""OTLP in files: one request as protobuf or JSON, one JSON request a line, or length-prefixed protobuf requests.

`ExportTraceServiceRequest` and `TracesData` have one shape. The OpenTelemetry Collector's file exporter writes the
last two forms.

Invariant: memory holds a few megabytes of the file, even if the whole file is one request. A request is cut between its
`resource_spans`, which are independent of each other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from chronotope.ingest.files.json_elements import MAX_ELEMENT_BYTES, MalformedJson
from chronotope.ingest.files.json_input import Element, log_skip, read_elements
from chronotope.ingest.files.opening import InputFile
from chronotope.ingest.files.spans.rows import MAX_BATCH_ROWS
from chronotope.ingest.otlp.decode import OtlpDecoder
from chronotope.ingest.spans.columns import RELEASED, SPAN, SpanBatch, Vocabulary, join_batches
from chronotope.schema.errors import InvalidPayload

_GROUP_BYTES = 4 << 20
_RESOURCE_SPANS_TAG = b"\x0a"  # field 1, length-delimited
_FULL_ROWS = 100_000
_MOST_WAITING = 10_000


def import_otlp(source: InputFile, vocabulary: Vocabulary) -> Iterator[SpanBatch]:
    """Yield the spans of OTLP in any of its file forms.

    Raises:
        InvalidPayload: damaged input (after what came before the damage), or nothing in it was OTLP.
    """
    decoder = OtlpDecoder(vocabulary)
    head = source.peek(65_536)
    if not head:
        return iter(())
    if _is_text(head):
        return _gathered(_decode_json(source, decoder))
    if head.startswith(_RESOURCE_SPANS_TAG):
        return _gathered(_decode_protobuf(source, decoder, _message_groups(source)))
    return _gathered(_decode_protobuf(source, decoder, _prefixed_messages(source)))


def _is_text(head: bytes) -> bool:
    """Tell JSON from protobuf, whose first byte, a line feed, JSON may have too."""
    if b'"resourceSpans"' in head or b'"resource_spans"' in head:
        return True
    opening = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    return opening in (b"{", b"[") and not any(byte < 32 and byte not in b"\t\n\r" for byte in head[:4096])


def _decode_json(source: InputFile, decoder: OtlpDecoder) -> Iterator[SpanBatch]:
    understood, faults, first_fault = 0, 0, ""
    elements = read_elements(source, "resourceSpans")
    while True:
        try:
            element = next(elements, None)
        except MalformedJson as cause:
            raise source.invalid(f"not OTLP JSON: {cause}") from cause
        if element is None:
            break
        batch, fault = _decode_element(element, decoder)
        understood += not fault
        if fault:
            first_fault = first_fault or f"{element.place}: {fault}"
            faults += 1
            log_skip(source, element.place, fault, faults)
        yield batch
    if first_fault and not understood:
        raise source.invalid(f"nothing in it is OTLP JSON ({first_fault})")


def _decode_element(element: Element, decoder: OtlpDecoder) -> tuple[SpanBatch, str]:
    """Return the spans of a request or of one of its `resourceSpans`, or what is wrong with it."""
    if element.text is None:
        return _skipped("too_large"), "too_large"
    text = element.text
    if b'"resourceSpans"' not in text and b'"resource_spans"' not in text:
        if b'"scopeSpans"' not in text and b'"scope_spans"' not in text:
            return _skipped("not_otlp"), "not_otlp"
        text = b'{"resourceSpans":[%b]}' % text
    try:
        return decoder.decode_json(text), ""
    except InvalidPayload as cause:
        return _skipped("not_otlp"), str(cause)


def _decode_protobuf(
    source: InputFile, decoder: OtlpDecoder, messages: Iterator[tuple[int, bytes]]
) -> Iterator[SpanBatch]:
    understood, faults, fault = 0, 0, ""
    for at, message in messages:
        try:
            yield decoder.decode(message)
            understood += 1
        except InvalidPayload as cause:
            fault = fault or f"at byte {at}: {cause}"
            faults += 1
            log_skip(source, f"byte {at}", str(cause), faults)
            yield _skipped("not_otlp")
    if fault and not understood:
        raise source.invalid(f"not OTLP ({fault})")


def _message_groups(source: InputFile) -> Iterator[tuple[int, bytes]]:
    """Yield (offset, message): a large request in pieces of some megabytes, each a request of its own."""
    at, began, group, group_bytes = 0, 0, list[bytes](), 0
    while tag := source.read_exactly(1):
        if tag != _RESOURCE_SPANS_TAG:
            fault = f"not an OTLP request: unexpected field at byte {at}"
            break
        length, prefix = _read_varint(source)
        if length is None or length > MAX_ELEMENT_BYTES:
            fault = f"not an OTLP request: a field at byte {at} claims {length or 'too many'} bytes"
            break
        body = source.read_exactly(length)
        if len(body) < length:
            fault = f"ends inside a message, {length - len(body)} bytes short"
            break
        group += [tag, prefix, body]
        group_bytes += length
        at += 1 + len(prefix) + length
        if group_bytes >= _GROUP_BYTES:
            yield began, b"".join(group)
            began, group, group_bytes = at, [], 0
    else:
        fault = ""
    if group:
        yield began, b"".join(group)
    if fault:
        raise source.invalid(fault)


def _read_varint(source: InputFile) -> tuple[int | None, bytes]:
    """Return a varint and its bytes; None when it is longer than five bytes or the input ends."""
    number, prefix = 0, b""
    while len(prefix) < 5 and (byte := source.read_exactly(1)):
        prefix += byte
        number |= (byte[0] & 0x7F) << 7 * (len(prefix) - 1)
        if byte[0] < 0x80:
            return number, prefix
    return None, prefix


def _prefixed_messages(source: InputFile) -> Iterator[tuple[int, bytes]]:
    """Yield (offset, message) of messages that each follow their length in four bytes, big end first."""
    at = 0
    while prefix := source.read_exactly(4):
        length = int.from_bytes(prefix, "big")
        if len(prefix) < 4 or length > MAX_ELEMENT_BYTES:
            raise source.invalid(f"neither OTLP JSON nor protobuf: byte {at} begins no message")
        message = source.read_exactly(length)
        if len(message) < length:
            raise source.invalid(f"ends inside the message at byte {at}, {length - len(message)} bytes short")
        yield at, message
        at += 4 + length


def _gathered(batches: Iterator[SpanBatch]) -> Iterator[SpanBatch]:
    """Yield batches joined to a good size and no larger than the limit, all rows free to pair at once.

    What was decoded before an error is yielded before it.
    """
    waiting: list[SpanBatch] = []
    waiting_rows = 0
    fault: InvalidPayload | None = None
    while True:
        try:
            batch = next(batches, None)
        except InvalidPayload as cause:
            fault, batch = cause, None
        if batch is None:
            break
        waiting.append(batch)
        waiting_rows += len(batch.rows)
        if waiting_rows >= _FULL_ROWS or len(waiting) >= _MOST_WAITING:
            yield from _cut(join_batches(waiting))
            waiting, waiting_rows = [], 0
    if waiting:
        yield from _cut(join_batches(waiting))
    if fault is not None:
        raise fault


def _cut(batch: SpanBatch) -> Iterator[SpanBatch]:
    """Yield a batch in parts of at most `MAX_BATCH_ROWS`; the counts go with the first."""
    batch.rows["flags"] |= RELEASED
    first = SpanBatch(batch.rows[:MAX_BATCH_ROWS], batch.skipped, batch.attributes, batch.read, batch.heartbeats)
    if len(first.rows) or first.read:
        yield first
    for start in range(MAX_BATCH_ROWS, len(batch.rows), MAX_BATCH_ROWS):
        yield SpanBatch(batch.rows[start : start + MAX_BATCH_ROWS])


def _skipped(reason: str) -> SpanBatch:
    return SpanBatch(np.empty(0, SPAN), Counter({reason: 1}), read=1)
