"""The second pass over a trace request: one SPAN row a span, with signatures for what needs strings.

Invariant: no Python object is made here. Every span that is long enough to be one gives a row, even if it will be
skipped (its reason says why). Fields come in any order and may repeat; the last number or string counts, as protobuf
has it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from chronotope.ingest.columns.bytes import (
    BAD,
    U0,
    U1,
    U2,
    U3,
    U4,
    U7,
    U8,
    U16,
    U64,
    compiled,
    hash_bytes,
    inlined,
    mix,
    read_fixed64,
)
from chronotope.ingest.otlp.framing import SHORTEST_SPAN
from chronotope.ingest.otlp.signature import span_signature
from chronotope.ingest.otlp.wire import BYTES, FIXED64, VARINT, next_known, read_id
from chronotope.ingest.spans.columns import EARLIEST_NS, ERROR, LATEST_NS

# Why a span makes no row; `no_service` is known only once its resource is read.
REASONS = ("", "bad_id", "time_out_of_range", "no_service")
_GOOD, _BAD_ID, _BAD_TIME = np.uint8(0), np.uint8(1), np.uint8(2)

DETAIL = np.dtype(
    [
        ("start", "<u8"),  # where the span's message lies in the buffer
        ("end", "<u8"),
        ("state_start", "<u8"),  # where its tracestate lies
        ("state_end", "<u8"),
        ("resource", "<i4"),  # which ResourceSpans holds it
        ("links", "<i4"),
        ("reason", "u1"),  # index of REASONS
        ("messaging", "u1"),  # 1: some attribute is `messaging.*`
    ]
)

_U6, _U9, _U13, _U15 = (np.uint64(n) for n in (6, 9, 13, 15))
_SHORTEST = np.uint64(SHORTEST_SPAN)
_LOW32, _MAX_KIND = np.uint64(0xFFFFFFFF), np.uint64(5)
_EARLIEST, _LATEST = np.uint64(EARLIEST_NS), np.uint64(LATEST_NS)
_ERROR, _OK = np.uint8(ERROR), np.uint8(0)
_COMMA, _SEMICOLON, _EQUALS, _COLON = (np.uint8(ord(c)) for c in ",;=:")
_SPACE, _TAB, _O, _T, _R, _V = (np.uint8(ord(c)) for c in " \totrv")


@compiled
def state_hash(buffer: np.ndarray, position: U64, end: U64, seed: U64) -> U64:
    """Return the hash of the first `ot=` member of a tracestate, its random value `rv` left out; 0 without one."""
    if end > np.uint64(buffer.size):
        return U0
    while position < end:
        while position < end and (buffer[position] == _SPACE or buffer[position] == _TAB):
            position += U1
        stop = position
        while stop < end and buffer[stop] != _COMMA:
            stop += U1
        if (
            stop - position > U2
            and buffer[position] == _O
            and buffer[position + U1] == _T
            and buffer[position + U2] == _EQUALS
        ):
            return _member_hash(buffer, position + U3, stop, seed)
        position = stop + U1
    return U0


@compiled
def _member_hash(buffer: np.ndarray, position: U64, end: U64, seed: U64) -> U64:
    value = seed
    while position < end:
        stop = position
        while stop < end and buffer[stop] != _SEMICOLON:
            stop += U1
        random = (
            stop - position > U2
            and buffer[position] == _R
            and buffer[position + U1] == _V
            and buffer[position + U2] == _COLON
        )
        if not random:
            value = hash_bytes(buffer, position, stop, value)
        position = stop + U1
    return max(value, U1)


@compiled
def _status_code(buffer: np.ndarray, position: U64, end: U64, code: U64) -> U64:
    depth = 0
    while position < end:
        field, wire, number, position, depth = next_known(buffer, position, end, depth)
        if position == BAD:
            break
        if field == U3 and wire == VARINT:
            code = number & _LOW32
    return code


@inlined
def _scan_span(buffer: np.ndarray, start: U64, end: U64, row: Any, detail: Any, seed: U64) -> U64:
    """Fill one row and its detail from the span's message; return its signature."""
    trace_size, span_size, parent_size = U0, U0, U0
    kind, begun, ended, status, links = U0, U0, U0, U0, 0
    row.trace_hi, row.trace_lo, row.span, row.parent = U0, U0, U0, U0
    detail.state_start, detail.state_end = U0, U0
    attributes_start, attributes_end = end, end
    position, depth = start, 0
    while position < end:
        before = position
        field, wire, number, position, depth = next_known(buffer, position, end, depth)
        if position == BAD:
            break
        if wire == BYTES:
            if field == _U9:
                attributes_start = min(attributes_start, before)
                attributes_end = position
            elif field == U1:
                trace_size = number
                row.trace_hi = read_id(buffer, position - number, position)
                row.trace_lo = read_id(buffer, position - number + U8, position)
            elif field == U2:
                span_size = number
                row.span = read_id(buffer, position - number, position)
            elif field == U4:
                parent_size = number
                row.parent = read_id(buffer, position - number, position)
            elif field == U3:
                detail.state_start, detail.state_end = position - number, position
            elif field == _U13:
                links += 1
            elif field == _U15:
                status = _status_code(buffer, position - number, position, status)
        elif wire == VARINT:
            if field == _U6:
                kind = number & _LOW32
        elif wire == FIXED64:
            if field == U7:
                begun = read_fixed64(buffer, position - U8, position)
            elif field == U8:
                ended = read_fixed64(buffer, position - U8, position)
    if kind > _MAX_KIND:
        kind = U0
    ended = max(begun, ended)
    row.kind, row.start_ns, row.end_ns = np.uint8(kind), np.int64(begun), np.int64(ended)
    row.flags = _ERROR if status == U2 else _OK
    row.weight = np.int32(1)
    bad_id = trace_size != U16 or span_size != U8 or (parent_size != U0 and parent_size != U8)
    if bad_id or row.span == U0 or (row.trace_hi == U0 and row.trace_lo == U0):
        detail.reason = _BAD_ID
    else:
        detail.reason = _BAD_TIME if begun < _EARLIEST or ended > _LATEST else _GOOD
    signature, messaging = span_signature(buffer, attributes_start, attributes_end, kind, seed)
    detail.start, detail.end = start, end
    detail.links, detail.messaging = links, np.uint8(messaging)
    return signature


@compiled
def fill(
    buffer: np.ndarray,
    bounds: np.ndarray,
    rows: np.ndarray,
    details: np.ndarray,
    signatures: np.ndarray,
    states: np.ndarray,
    resources: np.ndarray,
    seed: U64,
) -> tuple[int, int]:
    """Fill the columns from requests whose framing `measure` has checked.

    Args:
        buffer: uint8[B]; bounds: uint64[R + 1], as `measure` has them.
        rows: SPAN[N]; service, peer and protocol are left to the caller, and weights other than 1.
        details: DETAIL[N].
        signatures: uint64[N], equal where kind and all attributes that matter are.
        states: uint64[N], equal where the sampling part of tracestate is; 0 without one.
        resources: uint64[M, 3]: hash of the resource, start and end of its ResourceSpans.
        seed: uint64, secret.

    Returns:
        (number of spans, number of ResourceSpans): N and M.
    """
    spans, resource, depth = 0, 0, 0
    for request in range(bounds.size - 1):
        position, end = bounds[request], bounds[request + 1]
        while position < end:
            field, wire, number, position, depth = next_known(buffer, position, end, depth)
            if position == BAD:
                return -1, -1
            if field != U1 or wire != BYTES:
                continue
            if resource == resources.shape[0]:
                return -1, -1
            inner, inner_end, own = position - number, position, seed
            resources[resource, 1], resources[resource, 2] = inner, inner_end
            while inner < inner_end:
                field, wire, number, inner, depth = next_known(buffer, inner, inner_end, depth)
                if inner == BAD:
                    return -1, -1
                if wire == BYTES and field == U1:
                    own = hash_bytes(buffer, inner - number, inner, own)
                elif wire == BYTES and field == U2:
                    scope, scope_end = inner - number, inner
                    while scope < scope_end:
                        field, wire, number, scope, depth = next_known(buffer, scope, scope_end, depth)
                        if scope == BAD:
                            return -1, -1
                        if field != U2 or wire != BYTES or number < _SHORTEST:
                            continue
                        if spans == rows.size:
                            return -1, -1
                        signatures[spans] = _scan_span(buffer, scope - number, scope, rows[spans], details[spans], seed)
                        detail = details[spans]
                        states[spans] = U0
                        if detail.state_end > detail.state_start:
                            states[spans] = state_hash(buffer, detail.state_start, detail.state_end, seed)
                        detail.resource = resource
                        spans += 1
            resources[resource, 0] = own
            resource += 1
    return spans, resource


@compiled
def number_distinct(hashes: np.ndarray, codes: np.ndarray, firsts: np.ndarray) -> int:
    """Number the distinct hashes 0, 1, 2, … in order of their first sight.

    Args:
        hashes: uint64[N], well mixed.
        codes: int32[N], filled with each one's number.
        firsts: int64[N], filled with the index at which each number was first seen.

    Returns:
        How many there are.
    """
    size = 16
    while size < 2 * hashes.size:
        size *= 2
    table, mask, count = np.full(size, -1, np.int32), np.uint64(size - 1), 0
    for index in range(hashes.size):
        own = hashes[index]
        slot = mix(own) & mask
        while table[slot] >= 0 and hashes[firsts[table[slot]]] != own:
            slot = (slot + U1) & mask
        if table[slot] < 0:
            table[slot] = count
            firsts[count] = index
            count += 1
        codes[index] = table[slot]
    return count
