"""Slow decoding of the attributes of one message, at the first sight of a span's signature or of a resource.

Invariant: what `framing` accepted is decoded as upb would, with two exceptions: text that is not UTF-8 is repaired, and
lists and maps become None, because nothing here needs them.
"""

from __future__ import annotations

from collections.abc import Iterator

VARINT, FIXED64, BYTES, GROUP, END_GROUP, FIXED32 = range(6)

Value = str | bool | int | float | bytes | None


def fields_of(message: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Yield (field number, wire type, varint value, bytes) of a well-framed message, unknown groups left out."""
    position, depth = 0, 0
    while position < len(message):
        tag, position = _varint(message, position)
        wire, number, content = tag & 7, 0, b""
        if wire == VARINT:
            number, position = _varint(message, position)
        elif wire in (GROUP, END_GROUP):
            depth += 1 if wire == GROUP else -1
            continue
        else:
            size = 8 if wire == FIXED64 else 4
            if wire == BYTES:
                size, position = _varint(message, position)
            content = message[position : position + size]
            position += size
        if depth == 0:
            yield tag >> 3, wire, number, content


def attributes_of(message: bytes, field: int) -> dict[str, Value]:
    """Return the attributes that a message holds in a field; of a repeated key the last one counts."""
    found: dict[str, Value] = {}
    for number, wire, _, content in fields_of(message):
        if number == field and wire == BYTES:
            key, value = _key_value(content)
            found[key] = value
    return found


def resource_attributes(resource_spans: bytes) -> dict[str, Value]:
    """Return the attributes of the resource of a ResourceSpans; several resources in it are one, merged."""
    return attributes_of(_resource(resource_spans), 1)


def listed_texts(resource_spans: bytes, key: str) -> list[str]:
    """Return the texts of a resource's attribute that is a list of them."""
    texts: list[str] = []
    for number, wire, _, content in fields_of(_resource(resource_spans)):
        if number == 1 and wire == BYTES and _key_value(content)[0] == key:
            value = _only(content, 2)
            texts = [text for one in _each(_only(value, 5), 1) if isinstance(text := _any_value(one), str)]
    return texts


def _resource(resource_spans: bytes) -> bytes:
    return _only(resource_spans, 1)


def _only(message: bytes, field: int) -> bytes:
    """The bytes of a field; of a message that stands there several times, merged."""
    return b"".join(_each(message, field))


def _each(message: bytes, field: int) -> Iterator[bytes]:
    return (content for number, wire, _, content in fields_of(message) if number == field and wire == BYTES)


def _key_value(message: bytes) -> tuple[str, Value]:
    key, value = b"", b""
    for number, wire, _, content in fields_of(message):
        if wire == BYTES and number == 1:
            key = content
        elif wire == BYTES and number == 2:
            value += content
    return key.decode(errors="replace"), _any_value(value)


def _any_value(message: bytes) -> Value:
    value: Value = None
    for field, wire, number, content in fields_of(message):
        if wire == BYTES and field == 1:
            value = content.decode(errors="replace")
        elif wire == VARINT and field == 2:
            value = number != 0
        elif wire == VARINT and field == 3:
            value = number - (1 << 64) if number >> 63 else number
        elif wire == FIXED64 and field == 4:
            value = 0.0  # no attribute that matters is a fraction
        elif wire == BYTES and field in (5, 6):
            value = None
        elif wire == BYTES and field == 7:
            value = content
    return value


def _varint(message: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, position
        shift += 7
