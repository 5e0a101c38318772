"""BTF, the kernel's description of its own types: offsets of fields, ids of functions and tracepoints.

Invariant: an answer is what the description says, or an error that names what is missing. No bytes can raise any
other error. Types are numbered from 1; 0 is void.

Source: https://docs.kernel.org/bpf/btf.html, "BTF Type and String Encoding".
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from chronotope.schema.errors import ChronotopeError

VMLINUX = Path("/sys/kernel/btf/vmlinux")

_HEADER = struct.Struct("<HBBIIIII")
_TYPE = struct.Struct("<III")  # name, info, size or type
_MEMBER = struct.Struct("<III")  # name, type, offset
_PARAMETER = struct.Struct("<II")
_MAGIC = 0xEB9F
_STRUCT, _UNION, _TYPEDEF, _FUNC = 4, 5, 8, 12
_TYPEDEFS_AND_QUALIFIERS = frozenset({8, 9, 10, 11, 18})  # typedef, volatile, const, restrict, type tag
# bytes that follow a type: kind → (fixed, for each of its `vlen` parts)
_EXTRA = {1: (4, 0), 3: (12, 0), 4: (0, 12), 5: (0, 12), 6: (0, 8), 13: (0, 8), 14: (4, 0), 15: (0, 12), 17: (4, 0)}
_EXTRA[19] = (0, 12)
_LAST_KIND = 19


class UnknownType(ChronotopeError):
    """The kernel's BTF lacks a type, a field or a function, or is damaged."""


class Field(NamedTuple):
    """The start of a field in its struct: the byte, and for a bit-field the bit within that byte."""

    offset: int
    bit: int = 0


class Btf:
    """The types of one kernel."""

    def __init__(self, data: bytes) -> None:
        """Index the types by position.

        Raises:
            UnknownType: the bytes are no BTF of a kind that is understood.
        """
        self._data = data
        try:
            magic, version, _, header, types, types_size, strings, strings_size = _HEADER.unpack_from(data)
        except struct.error as error:
            raise UnknownType("BTF ends within its header") from error
        if (magic, version) != (_MAGIC, 1):
            raise UnknownType(f"BTF starts with {magic:#06x} version {version}; accepted: {_MAGIC:#06x} version 1")
        self._strings = data[header + strings : header + strings + strings_size]
        self._at = [0]
        self._named: dict[int, list[int]] = {}
        self._index(header + types, min(header + types + types_size, len(data)))

    @classmethod
    def of_kernel(cls, path: Path = VMLINUX) -> Btf:
        """Read the running kernel's types.

        Raises:
            UnknownType: the kernel has none.
        """
        try:
            return cls(path.read_bytes())
        except OSError as error:
            raise UnknownType(
                f"{path} cannot be read: {error.strerror}; the kernel needs CONFIG_DEBUG_INFO_BTF"
            ) from error

    def field(self, name: str, path: str) -> Field:
        """Return where a field is in a struct; `path` may go through embedded structs (`__sk_common.skc_family`).

        Raises:
            UnknownType: there is no such struct or field.
        """
        struct_id = self._find(name, (_STRUCT, _UNION))
        bits = 0
        for part in path.split("."):
            found = self._member(struct_id, part, 0) if struct_id else None
            if found is None:
                raise UnknownType(f"this kernel's struct {name} has no field {path}")
            bits += found[0]
            struct_id = self._resolved(found[1])
        return Field(bits // 8, bits % 8)

    def function(self, name: str) -> int:
        """Return the id of a function.

        Raises:
            UnknownType: the kernel has no such function (or it was inlined).
        """
        function_id = self._find(name, (_FUNC,))
        if not function_id:
            raise UnknownType(f"this kernel has no function {name}")
        return function_id

    def tracepoint(self, name: str) -> int:
        """Return the id of the type that describes a tracepoint's arguments.

        Raises:
            UnknownType: the kernel has no such tracepoint.
        """
        found = self._find(f"btf_trace_{name}", (_TYPEDEF,))
        if not found:
            raise UnknownType(f"this kernel has no tracepoint {name}")
        return found

    def _index(self, at: int, end: int) -> None:
        read, data, named = _TYPE.unpack_from, self._data, self._named
        while at + _TYPE.size <= end:
            name, info, _ = read(data, at)
            kind = (info >> 24) & 31
            if not 1 <= kind <= _LAST_KIND:
                raise UnknownType(f"BTF type {len(self._at)} is of kind {kind}, which is not known")
            if name:
                named.setdefault(name, []).append(len(self._at))
            self._at.append(at)
            fixed, each = _EXTRA.get(kind, (0, 0))
            at += _TYPE.size + fixed + each * (info & 0xFFFF)
        if at > len(data):
            raise UnknownType("BTF ends within a type")

    def _type(self, number: int) -> tuple[int, int, int]:
        if not 0 < number < len(self._at):
            raise UnknownType(f"BTF names type {number}, but has {len(self._at) - 1}")
        name, info, size = _TYPE.unpack_from(self._data, self._at[number])
        return name, info, size

    def _find(self, name: str, kinds: tuple[int, ...]) -> int:
        """The first type of a name that is of these kinds, 0 for none."""
        for offset in self._offsets(name.encode()):
            for number in self._named.get(offset, ()):
                _, info, _ = self._type(number)
                if (info >> 24) & 31 in kinds:
                    return number
        return 0

    def _offsets(self, name: bytes) -> Iterator[int]:
        """Return the offset of a name in the strings; it may be the end of a longer one."""
        at = self._strings.find(name + b"\0")
        while at >= 0:
            yield at
            at = self._strings.find(name + b"\0", at + 1)

    def _member(self, number: int, name: str, depth: int) -> tuple[int, int] | None:
        """Offset in bits and type of a member, also of one in an anonymous struct or union within."""
        _, info, _ = self._type(number)
        if (info >> 24) & 31 not in (_STRUCT, _UNION) or depth > 16:
            return None
        is_bitfields = info >> 31
        at = self._at[number] + _TYPE.size
        for place in range(at, at + (info & 0xFFFF) * _MEMBER.size, _MEMBER.size):
            called, member, bits = _MEMBER.unpack_from(self._data, place)
            bits = bits & 0xFFFFFF if is_bitfields else bits
            if called and self._text(called) == name.encode():
                return bits, member
            inner = None if called else self._member(self._resolved(member), name, depth + 1)
            if inner:
                return bits + inner[0], inner[1]
        return None

    def _resolved(self, number: int) -> int:
        """Return the type behind a typedef or a qualified type."""
        for _ in range(32):
            if not number:
                return 0
            _, info, target = self._type(number)
            if (info >> 24) & 31 not in _TYPEDEFS_AND_QUALIFIERS:
                return number
            number = target
        raise UnknownType("BTF has a typedef of itself")

    def _text(self, at: int) -> bytes:
        return self._strings[at : self._strings.find(b"\0", at)]
