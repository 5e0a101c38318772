"""Native histograms, which Prometheus' API gives beside the samples, to calls and latency buckets.

Invariant: as for counters (`increases`): never more calls than happened; and the calls in the latency buckets are as
many as the histogram's count rose by, in whole numbers. Buckets may be merged or split between two samples: each
sample is first laid over our own buckets, and those are compared.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from chronotope.ingest.metrics.columns import Increases, NativeHistograms
from chronotope.ingest.metrics.histograms import LOG_GROWTH, LatencyIncreases, spread_weights, whole_counts
from chronotope.ingest.metrics.increases import LARGEST, LONGEST_GAP_MS
from chronotope.schema.latency import BUCKETS


class NativeCounters:
    """The last native histogram of each series; histograms in, calls and their latencies out.

    Args:
        longest_gap_ms: as `Counters` has it.
        unit_s: how many seconds the metric's unit is.
    """

    def __init__(self, *, longest_gap_ms: int = LONGEST_GAP_MS, unit_s: float = 1.0) -> None:
        self.ignored: Counter[str] = Counter()  # reason → number of histograms
        self.resets = 0
        self._longest_gap_ms = longest_gap_ms
        self._unit_us = unit_s * 1e6
        self._last: dict[int, tuple[int, float, np.ndarray]] = {}  # series → time, count, calls by latency bucket

    def add(self, native: NativeHistograms) -> tuple[Increases, LatencyIncreases]:
        """Return how many calls there were, row by row, and their latencies, histogram by histogram.

        The histograms of one series must come in order of time. Both answers have the same series and times; `group`
        of the second is -1.
        """
        rows: list[tuple[int, int, int, float]] = []
        risen = [np.zeros((0, BUCKETS))]
        for row in range(len(native)):
            series, time_ms, count = int(native.series[row]), int(native.time_ms[row]), float(native.count[row])
            laid = self._laid(native, row)
            last = self._last.get(series)
            if last is not None and time_ms <= last[0]:
                self.ignored["duplicate_time" if time_ms == last[0] else "out_of_order"] += 1
                continue
            if count != count:  # a staleness marker ends the series
                self._last[series] = (time_ms, count, laid)
                continue
            if not 0 <= count <= LARGEST:
                self.ignored["not_a_count"] += 1
                continue
            self._last[series] = (time_ms, count, laid)
            if last is None or last[1] != last[1]:
                continue
            if time_ms - last[0] > self._longest_gap_ms:
                self.ignored["gap"] += 1
                continue
            before, laid_before = (last[1], last[2]) if count >= last[1] else (0.0, np.zeros(BUCKETS))
            self.resets += count < last[1]
            if count > before:
                rows.append((series, last[0], time_ms, count - before))
                risen.append(_scaled(np.maximum(laid - laid_before, 0.0), count - before)[None])
        columns = np.array(rows, np.float64).reshape(-1, 4).T
        series, begin, end = columns[0].astype(np.int32), columns[1].astype(np.int64), columns[2].astype(np.int64)
        whole = whole_counts(np.concatenate(risen))
        histogram, bucket = np.nonzero(whole)
        offsets = np.searchsorted(histogram, np.arange(len(rows) + 1))
        latency = LatencyIncreases(
            *(np.full(len(rows), -1, np.int32), series, begin, end),
            *(offsets, bucket.astype(np.uint8), whole[histogram, bucket]),
        )
        return Increases(series, begin, end, columns[3]), latency

    def _laid(self, native: NativeHistograms, row: int) -> np.ndarray:
        """Return float64[256]: the calls of a histogram by our buckets; those of no time at all are in the first."""
        part = slice(int(native.offsets[row]), int(native.offsets[row + 1]))
        low, high = (np.log(np.clip(ends, 1e-12, 1e12) * self._unit_us) / LOG_GROWTH for ends in _ends(native, part))
        counts = native.bucket_count[part]
        laid: np.ndarray = np.where(np.isfinite(counts), np.maximum(counts, 0.0), 0.0) @ spread_weights(low, high)
        return laid


def _ends(native: NativeHistograms, part: slice) -> tuple[np.ndarray, np.ndarray]:
    """Return the bounds of buckets, finite: what is above the last bound lies there."""
    lower, upper = (np.nan_to_num(ends[part], nan=0.0, posinf=np.inf) for ends in (native.lower, native.upper))
    upper = np.where(np.isfinite(upper), upper, lower)
    return np.minimum(lower, upper), upper


def _scaled(risen: np.ndarray, calls: float) -> np.ndarray:
    """Return counts that add up to the calls; all in the first bucket when nothing is known of them."""
    total = risen.sum()
    if total > 0:
        scaled: np.ndarray = risen * (calls / total)
        return scaled
    unknown: np.ndarray = np.zeros(BUCKETS)
    unknown[0] = calls
    return unknown
