"""A span's attributes as one seeded 64-bit number: equal numbers mean equal peer and protocol.

Invariant: the signature holds everything that `describe` may read (see `semconv`), and nothing else. The order of
attributes makes no difference, unless one key comes twice. The seed is drawn per process, so nobody can prepare two
different spans with one signature.
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
    U10,
    U32,
    U64,
    compiled,
    hash_bytes,
    inlined,
    mix,
    same_bytes,
)
from chronotope.ingest.otlp.wire import BYTES, HIGH_BIT, next_known
from chronotope.ingest.spans.columns import INTERNAL, SERVER
from chronotope.ingest.spans.semconv import CALLEE_KEYS, PRESENCE_KEYS, RELEVANT_KEYS, URL_KEYS

IGNORE, PRESENCE, SCHEME, AUTHORITY, VALUE = range(5)

_BUCKETS = 512


def _how(key: str, kind: int) -> int:
    """Return what of a key's value `describe` may look at."""
    called = kind in (SERVER, INTERNAL)
    if called and key in CALLEE_KEYS:
        return IGNORE
    if key in PRESENCE_KEYS or (called and key == "http.host"):
        return PRESENCE
    if key in URL_KEYS:
        return SCHEME if called else AUTHORITY
    return VALUE


def _key_table() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the keys' bytes, each from start[k] to start[k + 1], and the chains of those that share a bucket."""
    encoded = [key.encode() for key in RELEVANT_KEYS]
    starts = np.concatenate([[0], np.cumsum([len(key) for key in encoded])]).astype(np.uint64)
    chains = np.full(_BUCKETS + len(encoded), -1, np.int16)  # heads, then the next key of each key
    for number, key in enumerate(encoded):
        bucket = (len(key) * 7 + key[-1] * 31 + key[len(key) >> 1] * 5) % _BUCKETS
        chains[_BUCKETS + number], chains[bucket] = chains[bucket], number
    return np.frombuffer(b"".join(encoded), np.uint8), starts, chains


_KEYS, _STARTS, _CHAINS = _key_table()
_HOW = np.array([[_how(key, kind) for kind in range(6)] for key in RELEVANT_KEYS], np.uint8)
_LONGEST, _SHORTEST = (np.uint64(f(len(key) for key in RELEVANT_KEYS)) for f in (max, min))
_BUCKET_MASK, _U31, _U7 = np.uint64(_BUCKETS - 1), np.uint64(31), np.uint64(7)
_ATTRIBUTES, _U63 = np.uint64(9), np.uint64(63)
_REPEATED = np.uint64(0xA5A5A5A5A5A5A5A5)
_COLON, _SLASH, _QUESTION, _HASH, _BACKSLASH, _SEMICOLON = (np.uint8(ord(c)) for c in ":/?#\\;")
_KEY_TAG, _VALUE_TAG = np.uint8(0x0A), np.uint8(0x12)
_MESSAGING = np.frombuffer(b"messaging.", np.uint8)


@inlined
def find_key(buffer: np.ndarray, position: U64, end: U64) -> int:
    """Return the number in RELEVANT_KEYS of the key at buffer[position:end], -1 for any other."""
    size = end - position
    if position > end or end > np.uint64(buffer.size) or size < _SHORTEST or size > _LONGEST:
        return -1
    last, middle = np.uint64(buffer[end - U1]), np.uint64(buffer[position + (size >> U1)])
    number = _CHAINS[(size * _U7 + last * _U31 + middle * U5) & _BUCKET_MASK]
    while number >= 0:
        start = _STARTS[number]
        if _STARTS[number + 1] - start == size and same_bytes(buffer, position, _KEYS, start, size):
            return int(number)
        number = _CHAINS[_BUCKETS + number]
    return -1


@inlined
def is_messaging(buffer: np.ndarray, position: U64, end: U64) -> bool:
    """Return whether the key at buffer[position:end] is one of `messaging.*`."""
    if position > end or end > np.uint64(buffer.size) or end - position < U10:
        return False
    return same_bytes(buffer, position, _MESSAGING, U0, U10)


@inlined
def url_part(buffer: np.ndarray, position: U64, end: U64, how: int) -> U64:
    """Return the end of `scheme://`, or of `scheme://authority`, at buffer[position:]; `position` without one."""
    stop, colon = min(end, position + U32), position
    while colon < stop and buffer[colon] != _COLON:
        colon += U1
    if colon >= stop or end - colon < U3 or buffer[colon + U1] != _SLASH or buffer[colon + U2] != _SLASH:
        return position
    last = colon + U3
    if how == AUTHORITY:
        while last < end:
            byte = buffer[last]
            if byte == _SLASH or byte == _QUESTION or byte == _HASH or byte == _BACKSLASH or byte == _SEMICOLON:
                return last
            last += U1
    return last


@compiled
def url_hash(buffer: np.ndarray, position: U64, end: U64, how: int, seed: U64) -> U64:
    """Return the hash of the part that matters of the URL in an AnyValue."""
    start, first, last, fields, depth = position, U0, U0, 0, 0
    while position < end:
        field, wire, number, position, depth = next_known(buffer, position, end, depth)
        if position == BAD:
            return U0
        fields += 1
        if field == U1 and wire == BYTES:
            first, last = position - number, position
    if fields != 1:  # the last of them wins, but only a full decoder knows which count
        return hash_bytes(buffer, start, end, seed)
    return hash_bytes(buffer, first, url_part(buffer, first, last, how), seed)


@inlined
def plain_key_end(buffer: np.ndarray, position: U64, end: U64) -> U64:
    """Return where the key ends in a KeyValue of just one short key, then one short value; 0 for any other shape.

    Nearly all are of that shape, and need no general decoding.
    """
    if end > np.uint64(buffer.size) or position > end or end - position < U4 or buffer[position] != _KEY_TAG:
        return U0
    size = np.uint64(buffer[position + U1])
    if size >= HIGH_BIT or end - position < size + U4:
        return U0
    key_end = position + U2 + size
    value_size = np.uint64(buffer[key_end + U1])
    plain = buffer[key_end] == _VALUE_TAG and value_size < HIGH_BIT and end - key_end == value_size + U2
    return key_end if plain else U0


@inlined
def attribute_hash(buffer: np.ndarray, position: U64, end: U64, kind: U64, seed: U64) -> tuple[int, U64, bool]:
    """Look at one KeyValue.

    Returns:
        (number in RELEVANT_KEYS or -1, hash, whether it is `messaging.*`); a key that does not matter for this
        kind is -1 too.
    """
    start = position
    key_end = value_start = plain_key_end(buffer, position, end)
    key_start, value_end, values, depth = position + U2, end, 1, 0
    if key_end == U0:
        position, values = start, 0
    else:
        position, value_start = end, key_end + U2
    while position < end:
        field, wire, number, position, depth = next_known(buffer, position, end, depth)
        if position == BAD:
            return -1, U0, False
        if wire == BYTES and field == U1:
            key_start, key_end = position - number, position
        elif wire == BYTES and field == U2:
            value_start, value_end = position - number, position
            values += 1
    key = find_key(buffer, key_start, key_end)
    messaging = is_messaging(buffer, key_start, key_end)
    if key < 0 or _HOW[key, kind] == IGNORE:
        return -1, U0, messaging
    own = mix(seed + np.uint64(key) + U1)
    how = _HOW[key, kind]
    if how == PRESENCE or values == 0:
        return key, mix(own), messaging
    if values > 1:  # protobuf merges them: only the whole settles what they become
        value_start, value_end = start, end
    elif how != VALUE:
        return key, url_hash(buffer, value_start, value_end, how, own), messaging
    return key, hash_bytes(buffer, value_start, value_end, own), messaging


@inlined
def span_signature(buffer: np.ndarray, position: U64, end: U64, kind: U64, seed: U64) -> tuple[U64, bool]:
    """Return (signature, whether any key is `messaging.*`) of a span of a kind 0 to 5."""
    total, low, high, repeats, messaging, depth = U0, U0, U0, U0, False, 0
    while position < end:
        field, wire, number, position, depth = next_known(buffer, position, end, depth)
        if position == BAD:
            break
        if field != _ATTRIBUTES or wire != BYTES:
            continue
        key, own, about_messages = attribute_hash(buffer, position - number, position, kind, seed)
        messaging |= about_messages
        if key < 0:
            continue
        bit = U1 << (np.uint64(key) & _U63)
        seen = low & bit if key < 64 else high & bit
        if seen != U0:
            repeats += U1
            own = mix(own ^ (_REPEATED + repeats))
        if key < 64:
            low |= bit
        else:
            high |= bit
        total += own
    return mix(total ^ mix(seed ^ np.uint64(kind))), messaging
