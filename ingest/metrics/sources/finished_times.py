"""Which times of a source's metrics are in the store already.

Invariant: a time is noted only after all of its observations are stored. A reader first asks what is missing.
"""

from __future__ import annotations

import hashlib

import pyarrow as pa

from chronotope.schema.storage.store import Store

Span = tuple[int, int]  # [begin, end), Unix milliseconds


class Ledger:
    """The finished times of one source.

    Args:
        store: open and migrated.
        source: what tells the source apart: its address.
    """

    def __init__(self, store: Store, source: str) -> None:
        self._store = store
        self._source = source

    def done(self) -> list[Span]:
        """Return the finished times, sorted."""
        rows = self._store.rows(
            "SELECT toUnixTimestamp64Milli(begin_at), toUnixTimestamp64Milli(max(end_at)) FROM metric_chunks "
            "WHERE source = {source:String} GROUP BY begin_at ORDER BY begin_at",
            {"source": self._source},
        )
        return [(int(begin), int(end)) for begin, end in rows]

    def note(self, begin_ms: int, end_ms: int) -> None:
        """Note that [begin_ms, end_ms) is in the store. The same begin with a later end replaces it."""
        kind = pa.timestamp("ms", tz="UTC")
        columns = {
            "source": pa.array([self._source]),
            "begin_at": pa.array([begin_ms], kind),
            "end_at": pa.array([end_ms], kind),
        }
        self._store.insert("metric_chunks", pa.table(columns))

    def token(self, begin_ms: int, end_ms: int, part: int) -> str:
        """Return the token of an insert: the same chunk has the same ones, so it counts once however often tried."""
        text = f"metrics\0{self._source}\0{begin_ms}\0{end_ms}\0{part}"
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def missing(begin_ms: int, end_ms: int, done: list[Span], chunk_ms: int) -> list[Span]:
    """Return the unfinished parts of [begin_ms, end_ms), cut at multiples of chunk_ms, oldest first."""
    open_spans, at = [], begin_ms
    for first, last in sorted(done):
        if first > at:
            open_spans.append((at, min(first, end_ms)))
        at = max(at, last)
        if at >= end_ms:
            break
    if at < end_ms:
        open_spans.append((at, end_ms))
    chunks = []
    for first, last in open_spans:
        while first < last:
            cut = min((first // chunk_ms + 1) * chunk_ms, last)
            chunks.append((first, cut))
            first = cut
    return chunks
