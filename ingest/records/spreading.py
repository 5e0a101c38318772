"""Spread records that are longer than a bucket over the buckets that they cover.

Invariant: whatever the interval, a record's shares are whole numbers, never negative, and add up to its total. Each
share is the part of its bucket in the interval, up to rounding by less than one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from chronotope.schema.observations import BUCKET_S

BUCKET_MS = BUCKET_S * 1000
LONGEST_MS = 86_400_000  # with counts up to 2^53 nothing below overflows 64 bits


@dataclass(frozen=True, slots=True)
class Spread:
    """N records over M buckets: bucket m holds [begin, end) milliseconds of record `record[m]`'s interval."""

    record: np.ndarray  # int64[M], rising
    bucket: np.ndarray  # int64[M], Unix seconds
    begin: np.ndarray
    end: np.ndarray
    start_ms: np.ndarray  # int64[N]
    length_ms: np.ndarray  # int64[N]
    cut: np.ndarray  # int64[P]: those of the M whose record is in more than one bucket

    @property
    def first(self) -> np.ndarray:
        """Return bool[M]: whether it is the first bucket of its record."""
        first: np.ndarray = self.begin == 0
        return first

    @property
    def first_at(self) -> np.ndarray:
        """Return the first instant of each share, Unix milliseconds."""
        at: np.ndarray = self.start_ms[self.record] + self.begin
        return at

    @property
    def last_at(self) -> np.ndarray:
        """Return the last instant of each share, Unix milliseconds."""
        at: np.ndarray = self.start_ms[self.record] + self.end - 1
        return at

    def share(self, totals: np.ndarray) -> np.ndarray:
        """Return what falls to each bucket of totals int64[N]."""
        shares: np.ndarray = totals[self.record]
        shares[self.cut] = self.share_of(shares[self.cut], self.cut)
        return shares

    def share_of(self, totals: np.ndarray, places: np.ndarray) -> np.ndarray:
        """Return the share of `totals[k]` that falls to bucket `places[k]`; the total is that of its record."""
        length = self.length_ms[self.record[places]]
        begin, end = self.begin[places], self.end[places]
        # First the whole part of totals / length, because a total times a length might not fit 64 bits.
        whole, rest = np.divmod(totals, length)
        shares: np.ndarray = whole * (end - begin) + rest * end // length - rest * begin // length
        return shares


def spread(start_ms: np.ndarray, length_ms: np.ndarray) -> Spread:
    """Cut N intervals, int64[N] each of at least a millisecond, at the bounds of the 10-second buckets."""
    first = start_ms // BUCKET_MS
    buckets = (start_ms + length_ms - 1) // BUCKET_MS - first + 1
    record = np.repeat(np.arange(len(start_ms)), buckets)
    nth = np.arange(len(record)) - np.repeat(np.cumsum(buckets) - buckets, buckets)
    bucket = first[record] + nth
    begin = np.maximum(bucket * BUCKET_MS - start_ms[record], 0)
    end = np.minimum((bucket + 1) * BUCKET_MS - start_ms[record], length_ms[record])
    cut = np.flatnonzero((buckets > 1)[record])
    return Spread(record, bucket * BUCKET_S, begin, end, start_ms, length_ms, cut)


@dataclass(frozen=True, slots=True)
class SpreadEntries:
    """Shares of M buckets of time: `count[k]` under `key[k]`, for k from `offsets[m]` up to `offsets[m + 1]`."""

    offsets: np.ndarray  # int32[M+1]
    key: np.ndarray  # int64[K], rising in each bucket of time
    count: np.ndarray  # int64[K], positive


def spread_entries(
    record: np.ndarray, key: np.ndarray, count: np.ndarray, keys: int, over: Spread, records: int
) -> SpreadEntries:
    """Spread counts that stand under keys, each over the buckets of its record.

    Args:
        record: int64[K]: whose count each is; in any order, and the same record and key more than once.
        key: int[K], from 0 up to, not including, `keys`.
        count: int64[K].
        over: of all N records.
        records: N.
    """
    places = np.bincount(over.record, minlength=records)
    first = np.cumsum(places) - places
    each = places[record]
    entry = np.repeat(np.arange(len(record)), each)
    nth = np.arange(len(entry)) - np.repeat(np.cumsum(each) - each, each)
    place = first[record[entry]] + nth
    shares = over.share_of(count[entry], place)
    some = shares > 0
    used, index = np.unique(place[some] * keys + key[entry][some], return_inverse=True)
    counts = np.zeros(len(used), np.int64)
    np.add.at(counts, index, shares[some])
    offsets = np.searchsorted(used, np.arange(len(over.record) + 1) * keys).astype(np.int32)
    return SpreadEntries(offsets, used % keys, counts)
