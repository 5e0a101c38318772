"""Peers and protocols of spans as codes: `semconv` is asked once for each distinct set of attributes that matter.

Invariant: the codes are those of `semconv.describe`. The cache is bounded, so hostile attributes cost time only.
"""

from __future__ import annotations

from collections.abc import Mapping

from chronotope.ingest.spans.columns import Vocabulary
from chronotope.ingest.spans.hosts import url_authority
from chronotope.ingest.spans.semconv import PRESENCE_KEYS, URL_KEYS, VALUE_KEYS, describe

_MAX_CACHED = 65_536
_LONGEST_CACHED = 400
_VALUES, _PRESENCE, _URLS = frozenset(VALUE_KEYS), frozenset(PRESENCE_KEYS), frozenset(URL_KEYS)
PEER_KEYS = _VALUES | _PRESENCE | _URLS


class PeerReader:
    """Reads (peer code, protocol code) from a kind and attributes."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._cache: dict[tuple[object, ...], tuple[int, int]] = {}

    def codes(self, kind: int, attributes: Mapping[str, object]) -> tuple[int, int]:
        """Return the code of the hint in `Vocabulary.hints`, -1 for none, and of the protocol."""
        key = (kind, *(_cache_part(name, attributes[name]) for name in attributes if name in PEER_KEYS))
        found = self._cache.get(key)
        if found is None:
            found = self._read(kind, attributes)
            if len(self._cache) >= _MAX_CACHED:
                self._cache.clear()
            if all(len(str(part)) <= _LONGEST_CACHED for part in key):
                self._cache[key] = found
        return found

    def _read(self, kind: int, attributes: Mapping[str, object]) -> tuple[int, int]:
        hint, protocol = describe(kind, attributes)
        peer = -1 if hint is None else self._vocabulary.hints.code(hint)
        return peer, self._vocabulary.protocols.code(protocol or "unknown")


def _cache_part(name: str, value: object) -> tuple[object, ...]:
    """Return the part of an attribute on which `describe` depends, as it says itself; its type is part of it."""
    if name in _PRESENCE:
        return (name,)
    if name in _URLS and isinstance(value, str):
        return (name, url_authority(value))
    if isinstance(value, str | int | float):
        return (name, type(value), value)
    return (name, type(value))
