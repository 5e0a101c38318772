"""One answer: its bytes, their media type, and the tag by which a cache knows them again.

Invariant: only an answer about a past window has a tag, and the tag is made from the data.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

JSON = "application/json"
# Data for a window that has just ended may still arrive, so caches keep no such answer.
_SETTLED_AFTER_MS = 60_000


@dataclass(frozen=True, slots=True)
class Answer:
    """A body, its media type, and its tag; the tag is empty when a cache must not keep the answer."""

    body: bytes
    media_type: str = JSON
    tag: str = ""


def is_settled(end_ms: int, now_ms: int) -> bool:
    """Return whether no more data is expected for a window that ends at an instant, Unix milliseconds."""
    return end_ms <= now_ms - _SETTLED_AFTER_MS


def tagged(body: bytes, end_ms: int, now_ms: int) -> Answer:
    """Return a JSON answer whose text depends on nothing but the data: its digest is the tag."""
    tag = hashlib.blake2b(body, digest_size=12).hexdigest() if is_settled(end_ms, now_ms) else ""
    return Answer(body, JSON, tag)
