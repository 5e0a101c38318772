"""Arrow columns as NumPy columns of spans: ids, times, and small vocabularies as codes.

Invariant: no Python object is made per row, only per distinct string. A value that is no id or time is marked, and the
caller counts it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from chronotope.ingest.spans.columns import LATEST_NS

Words = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]

_NIBBLE = np.full(256, 255, np.uint8)
for _digits in (b"0123456789abcdef", b"0123456789ABCDEF"):
    _NIBBLE[list(_digits)] = np.arange(16)

_UNIT_NS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}


class Ids(NamedTuple):
    """N ids as 128-bit numbers: `bad` where the value is no id, `missing` where there is none (then 0)."""

    hi: Words
    lo: Words
    bad: Mask
    missing: Mask


class _Cells(NamedTuple):
    """The position of each cell's bytes. Null cells have length 0."""

    data: npt.NDArray[np.uint8]
    starts: npt.NDArray[np.int64]
    lengths: npt.NDArray[np.int64]


def is_text(kind: pa.DataType) -> bool:
    """Tell whether a column holds text, be it by a dictionary."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def is_bytes(kind: pa.DataType) -> bool:
    """Tell whether a column holds raw bytes, be it by a dictionary."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    tests = (
        pa.types.is_binary,
        pa.types.is_large_binary,
        pa.types.is_binary_view,
        pa.types.is_fixed_size_binary,
    )
    return any(test(kind) for test in tests)


def read_ids(column: pa.Array, width: int) -> Ids:
    """Return ids of `width` bytes (16 or 8) from raw bytes or hex text.

    Bytes of twice the width are taken for hex text, as databases export text. A trace id may have 8 bytes, too; hex
    text may be shorter and is padded on the left.
    """
    cells, text = _cells(column), is_text(column.type)
    size, missing = len(column), cells.lengths == 0
    ids = Ids(np.zeros(size, np.uint64), np.zeros(size, np.uint64), np.zeros(size, np.bool_), missing)
    raw = np.zeros(len(column), np.bool_)
    for raw_width in () if text else {width, 8}:
        chosen = cells.lengths == raw_width
        raw |= chosen
        _put(ids, chosen, _numbers(_gather(cells, chosen, raw_width)))
    hexed = ~raw & ~ids.missing
    if not text:
        hexed &= cells.lengths == 2 * width
    if hexed.any():
        _read_hex(ids, cells, hexed & (cells.lengths <= 2 * width), width)
    ids.bad[:] |= ~raw & ~ids.missing & ~(hexed & (cells.lengths <= 2 * width))
    return ids


def read_times(column: pa.Array) -> npt.NDArray[np.int64]:
    """Return nanoseconds; 0 for null, NaN and what 64 bits cannot hold."""
    kind = column.type
    unit_ns = _UNIT_NS[kind.unit] if pa.types.is_timestamp(kind) else 1
    if pa.types.is_timestamp(kind):
        column = column.cast(pa.int64())
    values = column.fill_null(0).to_numpy(zero_copy_only=False)
    if values.dtype == np.int64 and unit_ns == 1:
        return np.asarray(values)
    with np.errstate(invalid="ignore"):
        fits = (values >= 0) & (values <= LATEST_NS // unit_ns)
        return np.where(fits, values, 0).astype(np.int64) * unit_ns


def read_codes(column: pa.Array, code: Callable[[object], int], missing: int) -> npt.NDArray[np.int64]:
    """Return `code` of each value, asked once for each distinct one; `missing` for null."""
    values, indices = distinct_values(column)
    table = np.array([*(missing if value is None else code(value) for value in values), missing], np.int64)
    return table[indices]


def distinct_values(column: pa.Array) -> tuple[list[Any], npt.NDArray[np.int64]]:
    """Return the distinct values and each row's index among them, -1 for null."""
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    indices = column.indices
    if indices.null_count:
        indices = indices.cast(pa.int64()).fill_null(-1)
    dictionary = column.dictionary
    if is_text(dictionary.type) or is_bytes(dictionary.type):
        texts = dictionary.cast(pa.large_binary()).to_pylist()
        values = [None if text is None else text.decode("utf-8", "replace") for text in texts]
    else:
        values = dictionary.to_pylist()
    return values, indices.to_numpy(zero_copy_only=False).astype(np.int64, copy=False)


def _cells(column: pa.Array) -> _Cells:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    valid = column.is_valid().to_numpy(zero_copy_only=False) if column.null_count else None
    if pa.types.is_fixed_size_binary(column.type):
        width = column.type.byte_width
        starts = (np.arange(len(column), dtype=np.int64) + column.offset) * width
        lengths = np.full(len(column), width, np.int64)
        data = column.buffers()[1]
    else:
        column = column.cast(pa.large_binary())
        bounds = np.frombuffer(column.buffers()[1], np.int64, len(column) + 1, column.offset * 8)
        starts, lengths = bounds[:-1], np.diff(bounds)
        data = column.buffers()[2]
    if valid is not None:
        lengths = np.where(valid, lengths, 0)
    return _Cells(np.frombuffer(data or b"", np.uint8), starts, lengths)


def _gather(cells: _Cells, chosen: Mask, width: int) -> npt.NDArray[np.uint8]:
    """Return the bytes of the chosen cells, all of one width, as [K, width]; a view where they stand in a row."""
    starts = cells.starts if chosen.all() else cells.starts[chosen]
    count = len(starts)
    if not count:
        return np.empty((0, width), np.uint8)
    first = int(starts[0])
    if int(starts[-1]) - first == (count - 1) * width:
        return cells.data[first : first + count * width].reshape(count, width)
    gathered: npt.NDArray[np.uint8] = cells.data[starts[:, None] + np.arange(width)]
    return gathered


def _numbers(cells: npt.NDArray[np.uint8]) -> tuple[Words, Words]:
    """Return the high and low half of big-endian numbers of 8 or 16 bytes."""
    words = np.ascontiguousarray(cells).view(">u8").astype(np.uint64)
    return (words[:, 0] if words.shape[1] == 2 else np.zeros(len(words), np.uint64)), words[:, -1]


def _put(ids: Ids, chosen: Mask, numbers: tuple[Words, Words]) -> None:
    ids.hi[chosen], ids.lo[chosen] = numbers


def _read_hex(ids: Ids, cells: _Cells, chosen: Mask, width: int) -> None:
    for length in np.unique(cells.lengths[chosen]).tolist():
        same = chosen & (cells.lengths == length)
        nibbles = _NIBBLE[_gather(cells, same, length)]
        bad = (nibbles == 255).any(axis=1)
        if length < 2 * width:
            nibbles = np.pad(nibbles, ((0, 0), (2 * width - length, 0)))
        octets = ((nibbles[:, ::2] << 4) | (nibbles[:, 1::2] & 15)).astype(np.uint8)
        _put(ids, same, _numbers(octets))
        ids.bad[same] = bad
