"""Read and unpack request bodies under a limit, so that no small body becomes a big one in memory."""

from __future__ import annotations

import zlib

from flask import Request

from chronotope.schema.errors import InvalidPayload, TooLarge, UnsupportedMedia

_WINDOW_BITS = {"gzip": 31, "x-gzip": 31, "deflate": 47}


def read_body(request: Request, limit_bytes: int) -> bytes:
    """Return a request's body, unpacked by its Content-Encoding.

    Raises:
        TooLarge: over the limit, packed or unpacked.
        InvalidPayload: not packed as it says, or cut off.
        UnsupportedMedia: an encoding other than gzip, deflate or identity.
    """
    length = request.content_length or 0
    packed = request.get_data(cache=False) if length <= limit_bytes else b""
    length = max(length, len(packed))
    if length > limit_bytes:
        raise TooLarge(f"the body has {length} bytes; at most {limit_bytes} are taken: send smaller batches")
    return unpack(packed, request.headers.get("Content-Encoding", ""), limit_bytes)


def unpack(packed: bytes, encoding: str, limit_bytes: int) -> bytes:
    """Undo a Content-Encoding; see `read_body`."""
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return packed
    if name not in _WINDOW_BITS:
        raise UnsupportedMedia(f"Content-Encoding {encoding!r} is not understood; use gzip, deflate or none")
    try:
        return _unpacked(packed, name, limit_bytes)
    except zlib.error as error:
        raise InvalidPayload(f"the body is not {name}: {error}") from error


def _unpacked(packed: bytes, name: str, limit_bytes: int) -> bytes:
    """Unpack all members of a body: a gzip file may have several, one after the other."""
    parts: list[bytes] = []
    room = limit_bytes
    while packed or not parts:
        unpacker = zlib.decompressobj(_WINDOW_BITS[name])
        parts.append(unpacker.decompress(packed, room + 1))
        room -= len(parts[-1])
        if room < 0:
            raise TooLarge(f"the body unpacks to more than {limit_bytes} bytes: send smaller batches")
        if not unpacker.eof:
            raise InvalidPayload(f"the {name} body ends too early")
        packed = unpacker.unused_data
    return b"".join(parts)
