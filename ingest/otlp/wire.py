"""Compiled primitives of the protobuf wire format: fields and varints, over a NumPy byte array.

Invariant: nothing reads outside [position, end), whatever the bytes are: every read is checked here by hand, and the
tests run the scanner under numba's own bounds checks. Positions are uint64 throughout: unsigned indexing needs no
test for negative ones, which is what makes arrays nearly as quick as pointers.

A compiled function's cache notices changes of its own file only: after a change here, remove `__pycache__`.

Source: https://protobuf.dev/programming-guides/encoding/; limits as upb sets them.
"""

from __future__ import annotations

import numpy as np

from chronotope.ingest.columns.bytes import (
    BAD,
    U0,
    U1,
    U2,
    U3,
    U4,
    U5,
    U6,
    U7,
    U8,
    U10,
    U16,
    U24,
    U32,
    U40,
    U48,
    U56,
    U64,
    inlined,
)

LOW7, HIGH_BIT = np.uint64(0x7F), np.uint64(0x80)
MAX_TAG, MAX_LENGTH = np.uint64(0xFFFFFFFF), np.uint64(0x7FFFFFFF)

VARINT, FIXED64, BYTES, GROUP, END_GROUP, FIXED32 = (np.uint64(n) for n in range(6))


@inlined
def read_varint(buffer: np.ndarray, position: U64, end: U64, longest: U64) -> tuple[U64, U64]:
    """Return (value, next position) of a varint of at most `longest` bytes; BAD as position when there is none."""
    value, shift, stop = U0, U0, min(end, position + longest)
    while position < stop:
        byte = np.uint64(buffer[position])
        position += U1
        value |= (byte & LOW7) << shift
        if byte < HIGH_BIT:
            return value, position
        shift += U7
    return U0, BAD


@inlined
def read_id(buffer: np.ndarray, position: U64, end: U64) -> U64:
    """Return eight bytes as a big-endian number, the way ids are written; 0 when they are not all there."""
    if position > end or end - position < U8:
        return U0
    return (
        np.uint64(buffer[position + U7])
        | np.uint64(buffer[position + U6]) << U8
        | np.uint64(buffer[position + U5]) << U16
        | np.uint64(buffer[position + U4]) << U24
        | np.uint64(buffer[position + U3]) << U32
        | np.uint64(buffer[position + U2]) << U40
        | np.uint64(buffer[position + U1]) << U48
        | np.uint64(buffer[position]) << U56
    )


@inlined
def next_field(buffer: np.ndarray, position: U64, end: U64) -> tuple[U64, U64, U64, U64]:
    """Read one tag and what belongs to it.

    Returns:
        (field number, wire type, number, next position). `number` is the value of a varint, and the length of a
        byte string, which ends at `next position`. After a start or end of a group the position is that of the
        group's first field. The next position is BAD when anything is malformed or passes `end`; but a field
        number 0 is the caller's to refuse.
    """
    if position < end and buffer[position] < HIGH_BIT:
        tag = np.uint64(buffer[position])
        position += U1
    else:
        tag, position = read_varint(buffer, position, end, U5)
    field, wire, number = tag >> U3, tag & U7, U0
    if position == BAD or tag > MAX_TAG:
        return field, wire, U0, BAD
    if wire == BYTES:
        number, position = read_varint(buffer, position, end, U5)
        if position == BAD or number > MAX_LENGTH or number > end - position:
            return field, wire, U0, BAD
        position += number
    elif wire == VARINT:
        number, position = read_varint(buffer, position, end, U10)
    elif wire == FIXED64 or wire == FIXED32:
        size = U8 if wire == FIXED64 else U4
        position = position + size if end - position >= size else BAD
    elif wire != GROUP and wire != END_GROUP:
        position = BAD
    return field, wire, number, position


@inlined
def next_known(buffer: np.ndarray, position: U64, end: U64, depth: int) -> tuple[U64, U64, U64, U64, int]:
    """Read one field as `next_field` does; inside a group, which no message here has by design, it is field 0.

    `depth` is how many groups are open: 0 at first, then the fifth value that the last call returned.
    """
    field, wire, number, position = next_field(buffer, position, end)
    if wire == GROUP:
        depth += 1
        field = U0
    elif wire == END_GROUP:
        depth -= 1
        field = U0
    elif depth > 0:
        field = U0
    return field, wire, number, position, depth
