"""Histograms of metrics in our logarithmic latency buckets.

Invariant: what is counted in a metric's buckets is counted in ours, in whole calls, by rounding the running total. None
is lost and none is added. Nobody knows where in its bucket a call was, so the counts are spread evenly over the
bucket's logarithm. A quantile is wrong by at most the ratio of the bucket's bounds (times 1.049), and by 5 % on average
where the bounds are close. The first bucket is taken to begin at a quarter of its bound. What is above the last bound
lies at it, as in Prometheus' own quantiles.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from chronotope.ingest.columns.bytes import compiled
from chronotope.ingest.columns.codes import distinct_codes
from chronotope.ingest.columns.hashing import SEED, slot_of, table_size
from chronotope.ingest.metrics.counters.columns import Increases
from chronotope.ingest.metrics.counters.families import BUCKET, Families
from chronotope.schema.latency import BUCKETS, GROWTH

LOG_GROWTH = np.log(GROWTH)
_FIRST = 0.25  # the lower bound of the first bucket, as a part of its upper one


def whole_counts(parts: np.ndarray) -> np.ndarray:
    """Return int64[H, 256]: counts rounded by rounding their running total, so that each sum stays what it is."""
    rounded = np.floor(np.cumsum(parts, axis=1) + 0.5 + 1e-9)
    whole: np.ndarray = np.diff(rounded, axis=1, prepend=0.0).astype(np.int64)
    return whole


def spread_counts(counts: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (histogram int64[K], bucket uint8[K], calls int64[K]) of counts float64[H, L], none of them zero."""
    room = np.minimum(counts.sum(axis=1) + 2, BUCKETS).sum()
    histogram, bucket = np.empty(int(room), np.int64), np.empty(int(room), np.uint8)
    count = np.empty(int(room), np.int64)
    used = weights > 0
    low = used.argmax(axis=1)
    high = BUCKETS - used[:, ::-1].argmax(axis=1)
    written = put_counts(counts, weights, low, high, histogram, bucket, count)
    return histogram[:written], bucket[:written], count[:written]


@compiled
def put_counts(
    counts: np.ndarray,
    weights: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    histogram: np.ndarray,
    bucket: np.ndarray,
    count: np.ndarray,
) -> int:
    """Spread the counts of histograms over our buckets, as `whole_counts` rounds them; return how many were written.

    Args:
        counts: float64[H, L], not cumulated, none negative.
        weights: float64[L, 256]; those of row l are in low[l]:high[l].
        histogram, bucket, count: written: only buckets that have calls.
    """
    written = 0
    parts = np.zeros(BUCKETS)
    for row in range(counts.shape[0]):
        first, last = BUCKETS, 0
        for nth in range(counts.shape[1]):
            amount = counts[row, nth]
            if amount > 0.0:
                first, last = min(first, low[nth]), max(last, high[nth])
                for place in range(low[nth], high[nth]):
                    parts[place] += amount * weights[nth, place]
        running, before = 0.0, 0.0
        for place in range(first, last):
            running += parts[place]
            parts[place] = 0.0
            rounded = np.floor(running + 0.5 + 1e-9)
            if rounded > before:
                histogram[written], bucket[written], count[written] = row, place, np.int64(rounded - before)
                written += 1
            before = rounded
    return written


def bucket_weights(les_ms: np.ndarray) -> np.ndarray:
    """Return float64[L, 256]: the part of each of a metric's buckets that falls into each of ours."""
    bounds = np.asarray(les_ms, np.float64)
    finite = np.isfinite(bounds) & (bounds > 0)
    # The position of a bound in the scale of our buckets: bucket b is (b - 1, b].
    scale = np.full(len(bounds), 0.0)
    scale[finite] = np.log(bounds[finite] * 1000.0) / LOG_GROWTH
    above = scale[finite][-1] if finite.any() else 0.0
    scale[np.isposinf(bounds)] = above
    first = np.flatnonzero(finite)[:1]
    below = np.concatenate([[0.0], scale[:-1]])
    below[first] = scale[first] + np.log(_FIRST) / LOG_GROWTH
    return spread_weights(np.minimum(below, scale), scale)


def spread_weights(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return float64[L, 256]: the part of each interval that falls into each of our buckets.

    Args:
        low, high: float64[L]: its ends, in the scale of which bucket b is (b - 1, b]: log(µs) / log(1.1).
    """
    edges = np.arange(-1.0, BUCKETS)  # our bucket b is between edges b and b + 1
    edges[0], edges[-1] = -np.inf, np.inf
    overlap = np.maximum(np.minimum(high[:, None], edges[1:]) - np.maximum(low[:, None], edges[:-1]), 0.0)
    total = overlap.sum(axis=1, keepdims=True)
    weights: np.ndarray = np.divide(overlap, total, out=np.zeros_like(overlap), where=total > 1e-9)
    # A bucket without width, and what is above the last bound, lies in the bucket of the bound.
    point = np.flatnonzero(total[:, 0] <= 1e-9)
    weights[point, np.clip(np.ceil(high[point] - 1e-9), 0, BUCKETS - 1).astype(np.int64)] = 1.0
    return weights


@dataclass(frozen=True, slots=True)
class LatencyIncreases:
    """Increases of H histograms. Those of histogram h are `offsets[h]:offsets[h+1]` of the last two columns."""

    group: np.ndarray  # int32[H], a group of `Families`: the metric's labels are those of `series`
    series: np.ndarray  # int32[H]: a series of the group, whose labels other than `le` are the histogram's
    begin_ms: np.ndarray  # int64[H]
    end_ms: np.ndarray  # int64[H]
    offsets: np.ndarray  # int64[H+1]
    bucket: np.ndarray  # uint8[K], rising in each histogram
    count: np.ndarray  # int64[K]

    def take(self, chosen: np.ndarray) -> LatencyIncreases:
        """Return the histograms of int64 row numbers, rising."""
        sizes = np.diff(self.offsets)
        kept = np.zeros(len(sizes), np.bool_)
        kept[chosen] = True
        entries = np.repeat(kept, sizes)
        group, series, begin_ms, end_ms = (
            column[chosen] for column in (self.group, self.series, self.begin_ms, self.end_ms)
        )
        offsets = np.append(0, np.cumsum(sizes[chosen]))
        return LatencyIncreases(group, series, begin_ms, end_ms, offsets, self.bucket[entries], self.count[entries])


def latency_increases(increases: Increases, families: Families, *, unit_s: float = 1.0) -> LatencyIncreases:
    """Return the calls by latency, from the `_bucket` series among increases.

    Args:
        increases: of any series; those that are no buckets are left out. All buckets of a histogram belong in one
            call: one that did not rise is not among them, and is known from `families`.
        families: the groups and bounds of the series, kept up with their table.
        unit_s: how many seconds the metric's unit is: 1, or 0.001 for milliseconds.
    """
    chosen = np.flatnonzero(families.role[increases.series] == BUCKET)
    chosen = chosen[~np.isnan(families.le[increases.series[chosen]])]
    increases = increases.take(chosen)
    series, end_ms = increases.series, increases.end_ms
    histogram, heads, begin = group_pairs(families.group[series], end_ms, increases.begin_ms, SEED)
    group = families.group[series[heads]]
    bounds = families.bounds()
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    layout = bounds.layout[group]
    for number in distinct_codes(layout[layout >= 0])[0].tolist():
        les, rows = bounds.layouts[number], np.flatnonzero(layout == number)
        place = np.full(len(heads), -1, np.int64)
        place[rows] = np.arange(len(rows))
        of_these = np.flatnonzero(place[histogram] >= 0)
        at = place[histogram[of_these]] * len(les) + bounds.column[series[of_these]]
        cumulated = np.bincount(at, increases.increase[of_these], len(rows) * len(les)).reshape(len(rows), len(les))
        # After an unseen reset, a lower bound may have risen by more than a higher one.
        cumulated = np.minimum.accumulate(cumulated[:, ::-1], axis=1)[:, ::-1]
        cumulated[:, 1:] = np.maximum(cumulated[:, 1:] - cumulated[:, :-1], 0.0)
        at, bucket, count = spread_counts(cumulated, bucket_weights(les * (1000.0 * unit_s)))
        parts.append((rows[at], bucket, count))
    owner, bucket, count = (np.concatenate(columns) for columns in zip(*parts, strict=True)) if parts else _NOTHING
    if len(parts) > 1:
        order = np.argsort(owner, kind="stable")
        owner, bucket, count = owner[order], bucket[order], count[order]
    offsets = np.searchsorted(owner, np.arange(len(heads) + 1))
    return LatencyIncreases(group, series[heads], begin, end_ms[heads], offsets, bucket, count)


_NOTHING = (np.empty(0, np.int64), np.empty(0, np.uint8), np.empty(0, np.int64))


@compiled
def group_pairs(
    groups: np.ndarray, ends: np.ndarray, begins: np.ndarray, seed: np.uint64
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find the rows of the same group and end.

    Returns:
        int64[N], which pair each row has, in the order of their first rows; int64[P], a row of each; int64[P], the
        lowest begin of each.
    """
    size = table_size(len(groups))
    mask = np.uint64(size - 1)
    table = np.full(size, -1, np.int64)
    pair, heads = np.empty(len(groups), np.int64), np.empty(len(groups), np.int64)
    lowest = np.empty(len(groups), np.int64)
    pairs = 0
    for row in range(len(groups)):
        slot = slot_of(np.uint64(groups[row]), np.uint64(ends[row]), np.uint64(0), mask, seed)
        while True:
            found = table[slot]
            if found < 0:
                table[slot], heads[pairs], lowest[pairs], pair[row] = pairs, row, begins[row], pairs
                pairs += 1
                break
            head = heads[found]
            if groups[head] == groups[row] and ends[head] == ends[row]:
                pair[row] = found
                lowest[found] = min(lowest[found], begins[row])
                break
            slot = (slot + 1) & np.int64(mask)
    return pair, heads[:pairs].copy(), lowest[:pairs].copy()
