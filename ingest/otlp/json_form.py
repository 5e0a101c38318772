"""Translate OTLP/JSON to the protobuf form of the same request.

Invariant: only fields that the decoder reads are translated, so a JSON request and its protobuf form give one batch by
the same code. What cannot be translated is refused with its path.

Source: https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding (ids in hexadecimal, enums as numbers, 64-bit
numbers as text or numbers); beyond it, names of enums are understood.
"""

from __future__ import annotations

from binascii import Error as NotHexadecimal
from binascii import unhexlify
from collections.abc import Iterator

import orjson

from chronotope.ingest.spans.columns import UNSPECIFIED
from chronotope.ingest.spans.semconv import kind_of_tag
from chronotope.schema.errors import InvalidPayload

_BYTES, _VARINT, _FIXED64 = 2, 0, 1
_STATUS = {"STATUS_CODE_UNSET": 0, "STATUS_CODE_OK": 1, "STATUS_CODE_ERROR": 2}


def to_protobuf(body: bytes) -> bytes:
    """Return the ExportTraceServiceRequest that a JSON body stands for.

    Raises:
        InvalidPayload: no JSON, not an object, or a field of the wrong type; the message says where.
    """
    try:
        request = orjson.loads(body)
    except orjson.JSONDecodeError as cause:
        raise InvalidPayload(f"not JSON: {cause}") from cause
    if not isinstance(request, dict):
        raise InvalidPayload("an OTLP/JSON request is an object with resourceSpans")
    return b"".join(_message(1, _resource_spans(*item)) for item in _objects(request, "", "resourceSpans"))


def _resource_spans(value: dict[str, object], path: str) -> bytes:
    parts = []
    resource = value.get("resource")
    if resource is not None:
        place = f"{path}.resource"
        parts.append(_message(1, _attributes(_object(resource, place), place, 1)))
    for scope, place in _objects(value, path, "scopeSpans"):
        spans = (_message(2, _span(*item)) for item in _objects(scope, place, "spans"))
        parts.append(_message(2, b"".join(spans)))
    return b"".join(parts)


def _span(value: dict[str, object], path: str) -> bytes:
    parts = [
        _message(1, _identifier(value, path, "traceId")),
        _message(2, _identifier(value, path, "spanId")),
        _message(3, _text(value, path, "traceState")),
        _message(4, _identifier(value, path, "parentSpanId")),
        _number(6, _kind(value, path)),
        _fixed64(7, _instant(value, path, "startTimeUnixNano")),
        _fixed64(8, _instant(value, path, "endTimeUnixNano")),
        _attributes(value, path, 9),
    ]
    for link, place in _objects(value, path, "links"):
        ids = _message(1, _identifier(link, place, "traceId")) + _message(2, _identifier(link, place, "spanId"))
        parts.append(_message(13, ids))
    status = value.get("status")
    if status is not None:
        place = f"{path}.status"
        parts.append(_message(15, _number(3, _status(_object(status, place), place))))
    return b"".join(parts)


def _attributes(value: dict[str, object], path: str, field: int) -> bytes:
    """Return the attributes of an object, each a KeyValue in a field."""
    parts = []
    for attribute, place in _objects(value, path, "attributes"):
        content = _message(1, _text(attribute, place, "key"))
        any_value = attribute.get("value")
        if any_value is not None:
            content += _message(2, _any_value(_object(any_value, f"{place}.value"), f"{place}.value"))
        parts.append(_message(field, content))
    return b"".join(parts)


def _any_value(value: dict[str, object], path: str) -> bytes:
    """Return a plain value; lists, maps, fractions and bytes matter to nobody here, and become an empty list."""
    if value.get("stringValue") is not None:
        return _message(1, _text(value, path, "stringValue"))
    truth = value.get("boolValue")
    if truth is not None:
        if not isinstance(truth, bool):
            raise _wrong(f"{path}.boolValue", truth, "true or false")
        return _number(2, truth)
    if value.get("intValue") is not None:
        return _number(3, _integer(value, path, "intValue") & 0xFFFFFFFFFFFFFFFF)
    return _message(5, b"")


def _objects(value: dict[str, object], path: str, name: str) -> Iterator[tuple[dict[str, object], str]]:
    """Yield each object of a list, with its path; a list that is missing or null is empty."""
    items = value.get(name)
    place = f"{path}.{name}" if path else name
    if items is None:
        return
    if not isinstance(items, list):
        raise _wrong(place, items, "a list")
    for index, item in enumerate(items):
        yield _object(item, f"{place}[{index}]"), f"{place}[{index}]"


def _object(value: object, path: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise _wrong(path, value, "an object")
    return value


def _text(value: dict[str, object], path: str, name: str) -> bytes:
    text = value.get(name)
    if text is None:
        return b""
    if not isinstance(text, str):
        raise _wrong(f"{path}.{name}", text, "text")
    return text.encode()


def _identifier(value: dict[str, object], path: str, name: str) -> bytes:
    text = _text(value, path, name)
    try:
        return unhexlify(text)
    except NotHexadecimal as cause:
        raise _wrong(f"{path}.{name}", text.decode(), "hexadecimal") from cause


def _integer(value: dict[str, object], path: str, name: str) -> int:
    number = value.get(name)
    if number is None:
        return 0
    if isinstance(number, str) and number.removeprefix("-").isdecimal() and number.isascii() and len(number) <= 20:
        number = int(number)
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    if isinstance(number, bool) or not isinstance(number, int) or not -(1 << 63) <= number < 1 << 64:
        raise _wrong(f"{path}.{name}", value.get(name), "a whole number of 64 bits")
    return number


def _instant(value: dict[str, object], path: str, name: str) -> int:
    """Return nanoseconds; a negative instant wraps to one that is out of range, and is counted as such."""
    return _integer(value, path, name) & 0xFFFFFFFFFFFFFFFF


def _kind(value: dict[str, object], path: str) -> int:
    kind = value.get("kind")
    if isinstance(kind, str) and not kind.isdecimal():
        return kind_of_tag(kind)
    number = _integer(value, path, "kind")
    return number if 0 <= number <= 5 else UNSPECIFIED


def _status(value: dict[str, object], path: str) -> int:
    code = value.get("code")
    if isinstance(code, str) and not code.isdecimal():
        return _STATUS.get(code.upper(), 0)
    number = _integer(value, path, "code")
    return number if number >= 0 else 0


def _wrong(path: str, value: object, wanted: str) -> InvalidPayload:
    shown = repr(value)
    shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
    return InvalidPayload(f"{path}: {shown} is not {wanted}")


def _varint(number: int) -> bytes:
    if number < 0x80:
        return bytes((number,))
    parts = bytearray()
    while number >= 0x80:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)


def _message(field: int, content: bytes) -> bytes:
    return bytes((field << 3 | _BYTES,)) + _varint(len(content)) + content


def _number(field: int, number: int) -> bytes:
    return bytes((field << 3 | _VARINT,)) + _varint(number)


def _fixed64(field: int, number: int) -> bytes:
    return bytes((field << 3 | _FIXED64,)) + number.to_bytes(8, "little")
