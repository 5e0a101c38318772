"""The reader of BTF against a description made by hand, and against any bytes."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronotope.bpf.btf import Btf, Field, UnknownType

INT, STRUCT, TYPEDEF, FUNC, FUNC_PROTO = 1, 4, 8, 12, 13
NAMES = b"\0int\0outer\0inner\0first\0flag\0second\0call\0btf_trace_call\0"


def at(name: bytes) -> int:
    return NAMES.index(b"\0" + name + b"\0") + 1


def a_type(name: int, kind: int, parts: int = 0, size: int = 0, *, bits: bool = False, rest: bytes = b"") -> bytes:
    return struct.pack("<III", name, (bits << 31) | (kind << 24) | parts, size) + rest


def member(name: int, kind: int, offset: int) -> bytes:
    return struct.pack("<III", name, kind, offset)


TYPES = b"".join(
    (
        a_type(at(b"int"), INT, size=4, rest=struct.pack("<I", 32)),  # 1
        a_type(
            0, STRUCT, 2, 8, bits=True, rest=member(at(b"flag"), 1, 1 << 24 | 5) + member(at(b"second"), 1, 32)
        ),  # 2
        a_type(at(b"inner"), TYPEDEF, size=2),  # 3
        a_type(
            at(b"outer"),
            STRUCT,
            3,
            24,
            rest=member(at(b"first"), 1, 0) + member(0, 2, 64) + member(at(b"inner"), 3, 128),
        ),
        a_type(0, FUNC_PROTO, 1, 0, rest=struct.pack("<II", 0, 1)),  # 5
        a_type(at(b"call"), FUNC, size=5),  # 6
        a_type(at(b"btf_trace_call"), TYPEDEF, size=5),  # 7
    )
)


def blob(types: bytes = TYPES, names: bytes = NAMES) -> bytes:
    return struct.pack("<HBBIIIII", 0xEB9F, 1, 0, 24, 0, len(types), len(types), len(names)) + types + names


def test_fields_are_found_in_embedded_and_anonymous_structs():
    btf = Btf(blob())
    assert btf.field("outer", "first") == Field(0)
    assert btf.field("outer", "second") == Field(12)
    assert btf.field("outer", "flag") == Field(8, 5)
    assert btf.field("outer", "inner.second") == Field(20)
    assert (btf.function("call"), btf.tracepoint("call")) == (6, 7)


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (lambda btf: btf.field("outer", "third"), "struct outer has no field third"),
        (lambda btf: btf.field("other", "first"), "struct other has no field first"),
        (lambda btf: btf.field("outer", "first.second"), "has no field first.second"),
        (lambda btf: btf.function("outer"), "no function outer"),
        (lambda btf: btf.tracepoint("other"), "no tracepoint other"),
    ],
)
def test_what_is_missing_is_named(ask, says):
    with pytest.raises(UnknownType, match=says):
        ask(Btf(blob()))


def ask_all(data: bytes) -> None:
    btf = Btf(data)
    btf.field("outer", "inner.second")
    btf.function("call")
    btf.tracepoint("call")


@given(st.binary(max_size=400))
def test_any_bytes_are_an_answer_or_an_error(data):
    for candidate in (data, blob(types=data), blob(names=data)):
        try:
            ask_all(candidate)
        except UnknownType:
            continue


@given(st.integers(0, len(blob()) - 1), st.integers(0, 255))
def test_a_changed_byte_is_an_answer_or_an_error(place, value):
    data = bytearray(blob())
    data[place] = value
    try:
        ask_all(bytes(data))
    except UnknownType:
        return


def test_a_circle_of_types_ends():
    with pytest.raises(UnknownType, match="itself"):
        Btf(
            blob(types=a_type(at(b"outer"), STRUCT, 1, 8, rest=member(at(b"inner"), 2, 0)) + a_type(0, TYPEDEF, size=2))
        ).field("outer", "inner.first")
