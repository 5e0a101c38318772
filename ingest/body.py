"""Request bodies: read and unpacked under a limit, so that no small body becomes a big one in memory."""

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
    packed = request.get_data(cache=False)
    if len(packed) > limit_bytes:
        raise TooLarge(f"the body has {len(packed)} bytes; at most {limit_bytes} are taken: send smaller batches")
    return unpack(packed, request.headers.get("Content-Encoding", ""), limit_bytes)


def unpack(packed: bytes, encoding: str, limit_bytes: int) -> bytes:
    """Undo a Content-Encoding; see `read_body`."""
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return packed
    if name not in _WINDOW_BITS:
        raise UnsupportedMedia(f"Content-Encoding {encoding!r} is not understood; use gzip, deflate or none")
    unpacker = zlib.decompressobj(_WINDOW_BITS[name])
    try:
        body = unpacker.decompress(packed, limit_bytes + 1)
    except zlib.error as error:
        raise InvalidPayload(f"the body is not {name}: {error}") from error
    if len(body) > limit_bytes:
        raise TooLarge(f"the body unpacks to more than {limit_bytes} bytes: send smaller batches")
    if not unpacker.eof:
        raise InvalidPayload(f"the {name} body ends too early")
    return body
