"""Sums of increases: all that was counted of an edge between two scrapes.

Invariant: every increase is in exactly one record. Over all records, the measures of an edge add up to the increases,
rounded once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from chronotope.ingest.columns.codes import distinct_codes
from chronotope.ingest.metrics.counters.columns import Increases, join_increases
from chronotope.ingest.metrics.counters.families import Families
from chronotope.ingest.metrics.counters.histograms import LatencyIncreases, latency_increases
from chronotope.ingest.metrics.counters.native_histograms import NativeIncreases
from chronotope.ingest.metrics.mapping.rules import Adds
from chronotope.ingest.metrics.mapping.series import SeriesMeanings
from chronotope.ingest.records.codes import Codes
from chronotope.ingest.records.latencies import Histograms

COUNTS = {
    "calls": Adds.CALLS,
    "errors": Adds.ERRORS,
    "connections": Adds.CONNECTIONS,
    "failed_connections": Adds.FAILED_CONNECTIONS,
    "bytes_sent": Adds.BYTES_SENT,
    "bytes_received": Adds.BYTES_RECEIVED,
    "retransmits": Adds.RETRANSMITS,
    "latency_us_sum": Adds.LATENCY_SUM,
    "latency_count": Adds.LATENCY_COUNT,
}


@dataclass(frozen=True, slots=True)
class Records:
    """R records in the order of (edge, end, begin): each holds all that was counted of an edge between two scrapes."""

    edge: np.ndarray  # int64[R]
    begin_ms: np.ndarray  # int64[R]
    end_ms: np.ndarray  # int64[R]
    counts: Mapping[str, np.ndarray]  # int64[R] each
    latency: Histograms
    codes: Codes

    def take(self, kept: np.ndarray) -> Records:
        """Return the records of a mask bool[R]."""
        place = np.cumsum(kept) - 1
        entries = kept[self.latency.record]
        latency = Histograms(
            place[self.latency.record[entries]], self.latency.bucket[entries], self.latency.count[entries]
        )
        counts = {name: column[kept] for name, column in self.counts.items()}
        codes = self.codes.take(kept)
        return Records(self.edge[kept], self.begin_ms[kept], self.end_ms[kept], counts, latency, codes)

    def scaled(self, share: np.ndarray) -> Records:
        """Return the records with a part of their counts, float64[R] from 0 to 1, rounded down."""
        if (share == 1.0).all():
            return self
        counts = {name: _part(column, share) for name, column in self.counts.items()}
        found, codes = self.latency, self.codes
        latency = Histograms(found.record, found.bucket, _part(found.count, share[found.record]))
        codes = Codes(codes.record, codes.code, _part(codes.count, share[codes.record]), codes.names)
        return Records(self.edge, self.begin_ms, self.end_ms, counts, latency, codes)


class Adder:
    """Adds up increases, batch after batch, in order of time.

    Args:
        meanings: what the series mean.
        families: which series are buckets of one histogram; of the same table.
    """

    def __init__(self, meanings: SeriesMeanings, families: Families) -> None:
        self._meanings = meanings
        self._families = families
        self._left: dict[str, np.ndarray] = {}  # measure → what rounding left of each edge

    def records(self, increases: Increases, native: NativeIncreases | None = None) -> Records:
        """Add up the increases of each edge between two scrapes; all are of series that have an edge."""
        latencies = [
            latency_increases(increases.take(rows), self._families, unit_s=unit_s)
            for unit_s, rows in self._bucket_rows(increases)
        ]
        classic = len(increases)
        if native is not None:
            latencies.append(native.latency)
            increases = join_increases([increases, native.increases])
        series = np.concatenate([increases.series, *(found.series for found in latencies)])
        begin = np.concatenate([increases.begin_ms, *(found.begin_ms for found in latencies)])
        end = np.concatenate([increases.end_ms, *(found.end_ms for found in latencies)])
        edge, ends, begins, record = _distinct(self._meanings.edge[series], begin, end)
        totals = self._totals(increases, record, len(edge))
        if native is not None:
            unit_us = self._meanings.unit_s[native.increases.series] * 1e6
            of_native = record[classic : len(increases)]
            of_sums = np.bincount(of_native, native.sums * unit_us, len(edge))
            totals["latency_us_sum"] = totals["latency_us_sum"] + of_sums
        counts = {name: self._whole(name, edge, column, len(self._meanings.edges)) for name, column in totals.items()}
        latency = _histograms(latencies, record[len(increases) :])
        return Records(edge, begins, ends, counts, latency, self._codes(increases, record))

    def _totals(self, increases: Increases, record: np.ndarray, records: int) -> dict[str, np.ndarray]:
        adds, amount = self._meanings.adds[increases.series], increases.increase
        amount = np.where(adds & Adds.LATENCY_SUM, amount * self._meanings.unit_s[increases.series] * 1e6, amount)
        totals = {}
        for name, flag in COUNTS.items():
            rows = np.flatnonzero(adds & flag)
            totals[name] = np.bincount(record[rows], amount[rows], records)
        return totals

    def _codes(self, increases: Increases, record: np.ndarray) -> Codes:
        """Add up the increases of each record that have a response code, by code."""
        cells = self._meanings.cells
        cell = self._meanings.cell[increases.series]
        rows = np.flatnonzero(cell >= 0)
        if not len(rows):
            return Codes()
        cell = cell[rows].astype(np.int64)
        used, code = distinct_codes(np.array(cells.code, np.int64)[cell])
        keys, entry = distinct_codes(record[rows] * len(used) + code)
        totals = np.bincount(entry, increases.increase[rows], len(keys))
        owner = np.empty(len(keys), np.int64)
        owner[entry] = cell
        order = np.argsort(owner, kind="stable")  # by cell and time, as records of an edge are in order of time
        count = np.empty(len(keys), np.int64)
        count[order] = self._whole("codes", owner[order], totals[order], len(cells))
        names = [cells.names[at] for at in used.tolist()]
        return Codes(keys // len(used), keys % len(used), count, names)

    def _bucket_rows(self, increases: Increases) -> Iterator[tuple[float, np.ndarray]]:
        buckets = (self._meanings.adds[increases.series] & Adds.LATENCY_BUCKET) != 0
        unit = self._meanings.unit_s[increases.series]
        for unit_s in np.unique(unit[buckets]).tolist():
            yield unit_s, np.flatnonzero(buckets & (unit == unit_s))

    def _whole(self, name: str, edge: np.ndarray, totals: np.ndarray, edges: int) -> np.ndarray:
        """Round totals, in order of (edge, time), so that those of an edge add up whatever they are.

        Args:
            name: what they are totals of.
            edge: int64[R]: the edge, or whatever else the totals are of.
            edges: how many there are.
        """
        whole = np.floor(totals)
        if np.array_equal(whole, totals):
            return np.asarray(whole, np.int64)
        left = self._left.get(name, np.empty(0))
        left = np.concatenate([left, np.zeros(edges - len(left))])
        parts = totals - whole
        first = np.searchsorted(edge, edge)
        running = np.cumsum(parts)
        running -= (running - parts)[first] - left[edge]
        rounded = np.floor(running + 0.5)
        before = np.where(np.arange(len(edge)) == first, np.floor(left[edge] + 0.5), np.roll(rounded, 1))
        last = np.flatnonzero(np.append(edge[1:] != edge[:-1], True))
        left[edge[last]] = running[last] - rounded[last]
        self._left[name] = left
        return np.asarray(whole + rounded - before, np.int64)


def _part(count: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Return whole parts of counts; of a share that is whole / count exactly that whole."""
    part: np.ndarray = np.where(share == 1.0, count, np.floor(count * share + 1e-6)).astype(np.int64)
    return part


def _distinct(edge: np.ndarray, begin: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return the distinct (edge, end, begin), in order, as three columns, and which one each row is."""
    ends, nth_end = _distinct_times(end)
    begins, nth_begin = _distinct_times(begin)
    times, time = distinct_codes(nth_end * len(begins) + nth_begin)
    keys, record = distinct_codes(edge.astype(np.int64) * len(times) + time)
    edges, at = np.divmod(keys, len(times))
    return edges, ends[times[at] // len(begins)], begins[times[at] % len(begins)], record


def _distinct_times(times_ms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    first = times_ms.min()
    found, which = distinct_codes(times_ms - first)
    return found + first, which


def _histograms(latencies: Sequence[LatencyIncreases], record: np.ndarray) -> Histograms:
    """Join histograms in the order of their records, int64 of each."""
    entries, first = [], 0
    for found in latencies:
        of_each = record[first : first + len(found.series)]
        entries.append((np.repeat(of_each, np.diff(found.offsets)), found.bucket, found.count))
        first += len(found.series)
    return _joined(entries)


def _joined(entries: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Histograms:
    """Join entries of histograms, in the order of their records."""
    if not entries:
        return Histograms(np.empty(0, np.int64), np.empty(0, np.uint8), np.empty(0, np.int64))
    record, bucket, count = (np.concatenate(columns) for columns in zip(*entries, strict=True))
    if (record[1:] >= record[:-1]).all():
        return Histograms(record, bucket, count)
    order = np.argsort(record, kind="stable")
    return Histograms(record[order], bucket[order], count[order])
