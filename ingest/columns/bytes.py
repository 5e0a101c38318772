"""Compiled functions over bytes in a NumPy array: fixed-width numbers, equality, seeded hashes.

Invariant: nothing reads outside [position, end), whatever the bytes are. Positions are uint64 everywhere: unsigned
indexing needs no test for negative numbers, which makes arrays nearly as fast as pointers.

The cache of a compiled function notices changes of its own file only. After a change here, remove `__pycache__`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit

U64 = np.uint64  # also of intermediate results: the compiler infers types by itself

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """Compile at the first call, without the GIL, and keep the result on disk."""
    return cast(Function, njit(nogil=True, cache=True)(function))


def inlined(function: Function) -> Function:
    """Compile into its callers: passing an array on costs 15 ns, more than the small functions here do."""
    return cast(Function, njit(nogil=True, cache=True, forceinline=True)(function))


U0, U1, U2, U3, U4, U5, U6, U7, U8 = (np.uint64(n) for n in range(9))
U10, U16, U24, U29, U31, U32, U40, U48, U56 = (np.uint64(n) for n in (10, 16, 24, 29, 31, 32, 40, 48, 56))

BAD = np.uint64(0xFFFFFFFFFFFFFFFF)  # a position that says: malformed

_K1, _K2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93)
_M1, _M2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_S27, _S30 = np.uint64(27), np.uint64(30)


@inlined
def read_fixed64(buffer: np.ndarray, position: U64, end: U64) -> U64:
    """Return eight bytes as a little-endian number; 0 when they are not all there."""
    if position > end or end - position < U8:
        return U0
    return (  # spelt out: the compiler makes one load of it
        np.uint64(buffer[position])
        | np.uint64(buffer[position + U1]) << U8
        | np.uint64(buffer[position + U2]) << U16
        | np.uint64(buffer[position + U3]) << U24
        | np.uint64(buffer[position + U4]) << U32
        | np.uint64(buffer[position + U5]) << U40
        | np.uint64(buffer[position + U6]) << U48
        | np.uint64(buffer[position + U7]) << U56
    )


@inlined
def read_fixed32(buffer: np.ndarray, position: U64) -> U64:
    """Return four bytes, which the caller knows to be there, as a little-endian number."""
    return (
        np.uint64(buffer[position])
        | np.uint64(buffer[position + U1]) << U8
        | np.uint64(buffer[position + U2]) << U16
        | np.uint64(buffer[position + U3]) << U24
    )


@inlined
def mix(value: U64) -> U64:
    """Return 64 well-mixed bits (splitmix64's finalizer)."""
    value = (value ^ (value >> _S30)) * _M1
    value = (value ^ (value >> _S27)) * _M2
    return value ^ (value >> U31)


@inlined
def hash_bytes(buffer: np.ndarray, position: U64, end: U64, seed: U64) -> U64:
    """Return a seeded 64-bit hash of buffer[position:end]; BAD ends count as empty."""
    if end > np.uint64(buffer.size) or position > end:
        return mix(seed)
    size = end - position
    value, word = (seed ^ size) * _K1, U0
    if size >= U8:  # no loop over single bytes: the last eight overlap what came before
        while end - position > U8:
            value = (value ^ read_fixed64(buffer, position, end)) * _K2
            value ^= value >> U29
            position += U8
        word = read_fixed64(buffer, end - U8, end)
    elif size >= U4:
        word = read_fixed32(buffer, position) | read_fixed32(buffer, end - U4) << U32
    elif size > U0:
        word = np.uint64(buffer[position]) | np.uint64(buffer[position + (size >> U1)]) << U8
        word |= np.uint64(buffer[end - U1]) << U16
    return mix((value ^ word) * _K2)


@inlined
def same_bytes(buffer: np.ndarray, position: U64, other: np.ndarray, start: U64, size: U64) -> bool:
    """Return whether two ranges of one size, both within their arrays, are equal."""
    end, other_end = position + size, start + size
    if size < U8:
        while position < end and buffer[position] == other[start]:
            position += U1
            start += U1
        return bool(position == end)
    while end - position > U8:
        if read_fixed64(buffer, position, end) != read_fixed64(other, start, other_end):
            return False
        position += U8
        start += U8
    return bool(read_fixed64(buffer, end - U8, end) == read_fixed64(other, other_end - U8, other_end))
