"""Native histograms of Prometheus' API as calls and latency buckets.

Invariant: as for counters (`increases`), there are never more calls than happened. The calls in the latency buckets are
as many as the histogram's count rose by, in whole numbers. Buckets may be merged or split between two samples, so each
sample is first spread over our own buckets, and those are compared.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from chronotope.ingest.metrics.counters.columns import Increases, NativeHistograms
from chronotope.ingest.metrics.counters.histograms import LOG_GROWTH, LatencyIncreases, spread_weights, whole_counts
from chronotope.ingest.metrics.counters.increases import LARGEST, LONGEST_GAP_MS
from chronotope.schema.latency import BUCKETS


@dataclass(frozen=True, slots=True)
class _Last:
    """The last sample of a histogram."""

    time_ms: int
    count: float  # NaN: the series ended
    sum: float
    laid: np.ndarray  # calls by our buckets


@dataclass(frozen=True, slots=True)
class NativeIncreases:
    """Increases of M native histograms: counts, sums, and calls by latency."""

    increases: Increases
    sums: np.ndarray  # float64[M], in the metric's unit; 0 where it fell
    latency: LatencyIncreases  # of the same series and times; `group` is -1

    def __len__(self) -> int:
        return len(self.increases)

    def take(self, chosen: np.ndarray) -> NativeIncreases:
        """Return the histograms of int64 row numbers, rising."""
        return NativeIncreases(self.increases.take(chosen), self.sums[chosen], self.latency.take(chosen))


class NativeCounters:
    """The last native histogram of each series; histograms in, calls and their latencies out.

    Args:
        longest_gap_ms: as `Counters` has it.
    """

    def __init__(self, *, longest_gap_ms: int = LONGEST_GAP_MS) -> None:
        self.ignored: Counter[str] = Counter()  # reason → number of histograms
        self.resets = 0
        self._longest_gap_ms = longest_gap_ms
        self._last: dict[int, _Last] = {}  # by series

    def renumber(self, renumbered: np.ndarray) -> None:
        """Follow `SeriesTable.compact`, with what it returned."""
        kept = {series: int(renumbered[series]) for series in self._last if renumbered[series] >= 0}
        self._last = {code: self._last[series] for series, code in kept.items()}

    def add(self, native: NativeHistograms, unit_s: np.ndarray | None = None) -> NativeIncreases:
        """Return the increases of histograms. Those of one series must come in order of time.

        Args:
            native: N histograms.
            unit_s: float64[N]: how many seconds the unit of each is; 1 by default.
        """
        rows: list[tuple[int, int, int, float, float]] = []
        unit_us = (np.ones(len(native)) if unit_s is None else unit_s) * 1e6
        risen = [np.zeros((0, BUCKETS))]
        for row in range(len(native)):
            series, time_ms, count = int(native.series[row]), int(native.time_ms[row]), float(native.count[row])
            last = self._last.get(series)
            if last is not None and time_ms <= last.time_ms:
                self.ignored["duplicate_time" if time_ms == last.time_ms else "out_of_order"] += 1
                continue
            if not (count != count or 0 <= count <= LARGEST):  # NaN is a staleness marker, which ends the series
                self.ignored["not_a_count"] += 1
                continue
            now = self._last[series] = _Last(time_ms, count, float(native.sum[row]), _laid(native, row, unit_us[row]))
            if last is None or last.count != last.count or count != count:
                continue
            if time_ms - last.time_ms > self._longest_gap_ms:
                self.ignored["gap"] += 1
                continue
            before = last if count >= last.count else _Last(last.time_ms, 0.0, 0.0, np.zeros(BUCKETS))
            self.resets += count < last.count
            if count > before.count:
                rows.append((series, last.time_ms, time_ms, count - before.count, max(now.sum - before.sum, 0.0)))
                risen.append(_scaled(np.maximum(now.laid - before.laid, 0.0), count - before.count)[None])
        columns = np.array(rows, np.float64).reshape(-1, 5).T
        series, begin, end = columns[0].astype(np.int32), columns[1].astype(np.int64), columns[2].astype(np.int64)
        whole = whole_counts(np.concatenate(risen))
        histogram, bucket = np.nonzero(whole)
        offsets = np.searchsorted(histogram, np.arange(len(rows) + 1))
        latency = LatencyIncreases(
            *(np.full(len(rows), -1, np.int32), series, begin, end),
            *(offsets, bucket.astype(np.uint8), whole[histogram, bucket]),
        )
        sums = np.where(np.isfinite(columns[4]), columns[4], 0.0)
        return NativeIncreases(Increases(series, begin, end, columns[3]), sums, latency)


def _laid(native: NativeHistograms, row: int, unit_us: float) -> np.ndarray:
    """Return float64[256]: the calls of a histogram by our buckets. Calls without duration are in the first."""
    part = slice(int(native.offsets[row]), int(native.offsets[row + 1]))
    low, high = (np.log(np.clip(ends, 1e-12, 1e12) * unit_us) / LOG_GROWTH for ends in _ends(native, part))
    counts = native.bucket_count[part]
    laid: np.ndarray = np.where(np.isfinite(counts), np.maximum(counts, 0.0), 0.0) @ spread_weights(low, high)
    return laid


def _ends(native: NativeHistograms, part: slice) -> tuple[np.ndarray, np.ndarray]:
    """Return finite bounds of buckets: what is above the last bound lies at it."""
    lower, upper = (np.nan_to_num(ends[part], nan=0.0, posinf=np.inf) for ends in (native.lower, native.upper))
    upper = np.where(np.isfinite(upper), upper, lower)
    return np.minimum(lower, upper), upper


def _scaled(risen: np.ndarray, calls: float) -> np.ndarray:
    """Return counts that add up to the calls; all in the first bucket if nothing is known of them."""
    total = risen.sum()
    if total > 0:
        scaled: np.ndarray = risen * (calls / total)
        return scaled
    unknown: np.ndarray = np.zeros(BUCKETS)
    unknown[0] = calls
    return unknown
