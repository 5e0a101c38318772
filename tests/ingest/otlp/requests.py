"""Random trace requests: well-formed ones by upb, then shuffled, doubled and broken on the level of bytes."""

from __future__ import annotations

from random import Random
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from chronotope.ingest.spans.semconv import RELEVANT_KEYS

START_NS = 1_700_000_000 * 10**9
TEXTS = [
    "",
    "a",
    "orders",
    "10.0.0.1:80",
    "::ffff:10.0.0.9",
    "http://h:81/p?q",
    "https://h/" + "x" * 150,
    "true",
    "receive",
]
STATES = [
    "",
    "ot=th:8",
    "v=1, ot=rv:0123456789abcd;th:fd",
    "ot=th:fd;rv:ffffffffffffff",
    "ot=p:3",
    "ot=",
    "x",
    "dd=1,,ot=th:zz",
]
KEYS = [*RELEVANT_KEYS, "messaging.operation", "messaging.operation.type", "http.x", "peer.servicf", "k" * 200, ""]


def set_value(random: Random, value: Any, depth: int = 0) -> None:
    """Give an AnyValue a random content."""
    pick = random.randrange(12)
    if pick < 6:
        value.string_value = random.choice(TEXTS)
    elif pick == 6:
        value.bool_value = random.random() < 0.5
    elif pick == 7:
        value.int_value = random.choice([0, 80, 5432, -1, 2**31, -(2**63)])
    elif pick == 8:
        value.double_value = 0.5
    elif pick == 9:
        value.bytes_value = b"\xff\x00"
    elif pick == 10 and depth < 3:
        set_value(random, value.array_value.values.add(), depth + 1)
    elif depth < 3:
        pair = value.kvlist_value.values.add(key="k")
        set_value(random, pair.value, depth + 1)


def set_span(random: Random, span: Any) -> None:
    """Fill a Span; now and then with ids and times that are none."""
    span.trace_id = random.choice([b"\x01" * 16, random.randbytes(16), random.randbytes(16), bytes(16), b"abc"])
    span.span_id = random.choice([random.randbytes(8)] * 6 + [bytes(8), b"x" * 9])
    span.parent_span_id = random.choice([b"", b"p" * 8, random.randbytes(8), b"no"])
    span.kind = random.choice([0, 1, 2, 3, 4, 5, 5, 7])
    span.start_time_unix_nano = random.choice([START_NS] * 8 + [0, 2**64 - 1])
    span.end_time_unix_nano = random.choice([START_NS + 5, START_NS + 5, 0, 2**63])
    span.trace_state, span.name = random.choice(STATES), "n" * random.choice([0, 5, 200])
    for _ in range(random.randrange(6)):
        pair = span.attributes.add(key=random.choice(KEYS))
        if random.random() < 0.95:
            set_value(random, pair.value)
    for _ in range(random.choice([0, 0, 0, 1, 3])):
        trace_id, span_id = random.choice([(b"\x01" * 16, b"p" * 8), (b"\x02" * 16, b"q" * 8), (b"", b"")])
        link = span.links.add(trace_id=trace_id, span_id=span_id)
        link.attributes.add(key="l").value.int_value = 1
    if random.random() < 0.3:
        span.events.add(name="e").attributes.add(key="k").value.string_value = "v"
    if random.random() < 0.5:
        span.status.code, span.status.message = random.choice([0, 1, 2]), "m"


def make_request(random: Random) -> bytes:
    """Return a well-formed request of 0 to 12 spans."""
    request = ExportTraceServiceRequest()
    for _ in range(random.randrange(4)):
        resource_spans = request.resource_spans.add(schema_url="s")
        for key in random.sample(["service.name", "service.namespace", "k8s.namespace.name", "x"], random.randrange(5)):
            set_value(random, resource_spans.resource.attributes.add(key=key).value)
        for _ in range(random.randrange(3)):
            scope = resource_spans.scope_spans.add()
            scope.scope.name = "scope"
            for _ in range(random.randrange(3)):
                set_span(random, scope.spans.add())
    return request.SerializeToString()


def varint(number: int, padding: int = 0) -> bytes:
    """Return a varint, with so many bytes more than it needs."""
    parts = []
    while number >= 0x80:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    if padding:
        parts[-1] |= 0x80
        parts += [0x80] * (padding - 1) + [0]
    return bytes(parts)


def _read_varint(body: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = body[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7


def shuffle(random: Random, body: bytes, path: tuple[int, ...] = ()) -> bytes:
    """Re-encode a request that has no groups: fields in another order, doubled, unknown ones and groups between."""
    parts, position = [], 0
    while position < len(body):
        tag, position = _read_varint(body, position)
        number, wire = tag >> 3, tag & 7
        head = varint(tag, random.choice([0] * 20 + [1, 2]))
        if wire == 0:
            value, position = _read_varint(body, position)
            parts.append(head + varint(value, random.choice([0] * 9 + [1])))
        elif wire == 2:
            size, position = _read_varint(body, position)
            content = body[position : position + size]
            position += size
            if _is_message((*path, number)):
                content = shuffle(random, content, (*path, number))
            parts.append(head + varint(len(content), random.choice([0] * 9 + [1])) + content)
        else:
            size = 8 if wire == 1 else 4
            parts.append(head + body[position : position + size])
            position += size
    if random.random() < 0.1 and parts:
        parts.append(random.choice(parts))
    if random.random() < 0.1:
        group = random.choice(parts) if parts else b"\x4a\x00"
        parts.append(random.choice([b"\x4b" + group + b"\x4c", b"\xfa\x3e\x02hi", b"\xf9\x3e12345678", b"\x48\x05"]))
    if random.random() < 0.5:
        random.shuffle(parts)
    return b"".join(parts)


MESSAGES = {(), (1,), (1, 1), (1, 2), (1, 2, 2), (1, 1, 1), (1, 1, 1, 2), (1, 2, 2, 9), (1, 2, 2, 9, 2)}
MESSAGES |= {(1, 2, 2, 13), (1, 2, 2, 15), (1, 2, 2, 11)}


def _is_message(path: tuple[int, ...]) -> bool:
    return path in MESSAGES


def damage(random: Random, body: bytes) -> bytes:
    """Break a few bytes: flip, cut, insert, repeat."""
    broken = bytearray(body)
    for _ in range(random.choice([1, 1, 2, 4])):
        at = random.randrange(len(broken) + 1)
        pick = random.randrange(5)
        if pick == 0 and at < len(broken):
            broken[at] ^= 1 << random.randrange(8)
        elif pick == 1 and at < len(broken):
            broken[at] = random.choice([0, 1, 0x7F, 0x80, 0xFF, 0x0A, 0x0B, 0x0C, 0x12])
        elif pick == 2:
            del broken[at:]
        elif pick == 3:
            broken[at:at] = random.choice([b"\x0b", b"\x0c", b"\xff" * 10, b"\x80", b"\x12\x00", random.randbytes(3)])
        else:
            del broken[at : at + random.randrange(4)]
    return bytes(broken)


def make_body(random: Random) -> bytes:
    """Return a request, well-formed or not."""
    body = make_request(random)
    if random.random() < 0.7:
        body = shuffle(random, body)
    return damage(random, body) if random.random() < 0.5 else body
