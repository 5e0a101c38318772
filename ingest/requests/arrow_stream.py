"""Read Arrow IPC streams from outside without trusting them.

Invariant: nothing is unpacked before the message says how big it will be, and that is within the limit. What is
returned has passed Arrow's full validation.

Source: https://arrow.apache.org/docs/format/Columnar.html, "Serialization and Interprocess Communication"; the offsets
are those of its flatbuffer schemas Message.fbs and Schema.fbs.
"""

from __future__ import annotations

import struct

import pyarrow as pa

from chronotope.ingest.requests.ndjson import MAX_RECORDS
from chronotope.schema.errors import InvalidPayload, TooLarge

ARROW_TYPE = "application/vnd.apache.arrow.stream"

_HEADER_TYPE, _HEADER = 1, 2  # fields of Message
_DICTIONARY_BATCH, _RECORD_BATCH = 2, 3  # values of its header type
_LENGTH, _BUFFERS, _COMPRESSION, _DATA = 0, 2, 3, 1  # fields of RecordBatch, and of DictionaryBatch


def read_arrow(body: bytes, limit_bytes: int) -> pa.Table:
    """Read an IPC stream into columns.

    Raises:
        InvalidPayload: not an Arrow IPC stream, or a broken one.
        TooLarge: unpacks to more than `limit_bytes`, or more than MAX_RECORDS rows.
    """
    try:
        _check_size(body, limit_bytes)
        with pa.ipc.open_stream(body) as reader:
            table = reader.read_all()
        table.validate(full=True)
    except (pa.ArrowException, OSError, struct.error, IndexError, ValueError) as error:
        reason = str(error).partition("\n")[0][:200]
        raise InvalidPayload(f"the body is not a whole Arrow IPC stream: {reason}") from error
    return table


def _check_size(body: bytes, limit_bytes: int) -> None:
    rows = size = 0
    for message in pa.ipc.MessageReader.open_stream(body):
        batch_rows, batch_size, is_dictionary = _sizes(message)
        size += batch_size
        rows += 0 if is_dictionary else batch_rows
        if rows > MAX_RECORDS:
            raise TooLarge(f"more than {MAX_RECORDS} records in one request: send smaller batches")
        if size > limit_bytes:
            raise TooLarge(f"the Arrow buffers unpack to more than {limit_bytes} bytes: send smaller batches")


def _sizes(message: pa.ipc.Message) -> tuple[int, int, bool]:
    """Return the rows of a message, the bytes of its buffers once unpacked, and whether it is a dictionary."""
    meta = message.metadata.to_pybytes()
    root = struct.unpack_from("<I", meta)[0]
    kind_at, header_at = _field(meta, root, _HEADER_TYPE), _field(meta, root, _HEADER)
    kind = meta[kind_at] if kind_at else 0
    if kind not in (_DICTIONARY_BATCH, _RECORD_BATCH) or not header_at:
        return 0, 0, False
    batch = _follow(meta, header_at)
    if kind == _DICTIONARY_BATCH:
        batch = _follow(meta, _field(meta, batch, _DATA))
    length_at = _field(meta, batch, _LENGTH)
    rows = struct.unpack_from("<q", meta, length_at)[0] if length_at else 0
    body = message.body
    size = body.size if body is not None else 0
    if body is not None and _field(meta, batch, _COMPRESSION):
        size = _unpacked_size(meta, _field(meta, batch, _BUFFERS), memoryview(body))
    return rows, size, kind == _DICTIONARY_BATCH


def _unpacked_size(meta: bytes, buffers_at: int, body: memoryview) -> int:
    """Sum what the buffers say of themselves: each begins with its unpacked length, or -1 when it is not packed."""
    if not buffers_at:
        return 0
    vector = _follow(meta, buffers_at)
    (count,) = struct.unpack_from("<I", meta, vector)
    total = 0
    for offset, length in struct.iter_unpack("<qq", meta[vector + 4 : vector + 4 + 16 * count]):
        if length >= 8:
            unpacked = struct.unpack_from("<q", body, offset)[0]
            total += length if unpacked < 0 else unpacked
    return total


def _follow(meta: bytes, at: int) -> int:
    """Return where a flatbuffer offset points."""
    return at + int(struct.unpack_from("<I", meta, at)[0])


def _field(meta: bytes, table: int, number: int) -> int:
    """Return where a field of a flatbuffer table is, 0 when it is absent."""
    vtable = table - int(struct.unpack_from("<i", meta, table)[0])
    slot = 4 + 2 * number
    if slot >= struct.unpack_from("<H", meta, vtable)[0]:
        return 0
    offset = struct.unpack_from("<H", meta, vtable + slot)[0]
    return table + int(offset) if offset else 0
