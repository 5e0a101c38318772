"""Histograms of metrics to our logarithmic latency buckets.

Invariant: what is counted in a metric's buckets is counted in ours, in whole calls by rounding the running total: none
is lost and none is added. Where within its bucket a call was, nobody knows: the counts are spread evenly over the
bucket's logarithm, so a quantile is wrong by at most the ratio of the bucket's bounds (times 1.049), and by 5 % on
average where the bounds are close. The first bucket is taken to begin at a quarter of its bound, and what is above the
last bound lies there, as in Prometheus' own quantiles.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from chronotope.ingest.metrics.columns import Increases
from chronotope.ingest.metrics.families import BUCKET, Families
from chronotope.schema.latency import BUCKETS, GROWTH

LOG_GROWTH = np.log(GROWTH)
_FIRST = 0.25  # the lower bound of the first bucket, as a part of its upper one


def histogram_buckets(les_ms: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the latency buckets of one histogram.

    Args:
        les_ms: float64[L]: upper bounds in milliseconds, rising; the last may be infinite.
        counts: float64[L] or [H, L]: how many calls were in each bucket, not cumulated; negative ones count nothing.

    Returns:
        (uint8[B], rising; int64[B] or [H, B]): buckets of `schema.latency` and the calls in each.
    """
    bounded = np.maximum(np.atleast_2d(np.asarray(counts, np.float64)), 0.0)
    whole = whole_counts(bounded @ _weights(les_ms))
    used = np.flatnonzero(whole.any(axis=0))
    chosen = whole[:, used]
    return used.astype(np.uint8), chosen[0] if np.ndim(counts) == 1 else chosen


def whole_counts(parts: np.ndarray) -> np.ndarray:
    """Return int64[H, 256]: counts rounded by rounding their running total, so that each sum stays what it is."""
    rounded = np.floor(np.cumsum(parts, axis=1) + 0.5 + 1e-9)
    whole: np.ndarray = np.diff(rounded, axis=1, prepend=0.0).astype(np.int64)
    return whole


def _weights(les_ms: np.ndarray) -> np.ndarray:
    """Return float64[L, 256]: which part of each bucket of a metric, up to its bound, falls to which of ours."""
    bounds = np.asarray(les_ms, np.float64)
    finite = np.isfinite(bounds) & (bounds > 0)
    # Where a bound is in the scale of our buckets: bucket b is (b - 1, b].
    scale = np.full(len(bounds), 0.0)
    scale[finite] = np.log(bounds[finite] * 1000.0) / LOG_GROWTH
    above = scale[finite][-1] if finite.any() else 0.0
    scale[np.isposinf(bounds)] = above
    first = np.flatnonzero(finite)[:1]
    below = np.concatenate([[0.0], scale[:-1]])
    below[first] = scale[first] + np.log(_FIRST) / LOG_GROWTH
    return spread_weights(np.minimum(below, scale), scale)


def spread_weights(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return float64[L, 256]: which part of each interval falls to which of our buckets.

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
    """H histograms' increases; what rose in histogram h is `offsets[h]:offsets[h+1]` of the last two columns."""

    group: np.ndarray  # int32[H], a group of `Families`: the metric's labels are those of `series`
    series: np.ndarray  # int32[H]: a series of the group, whose labels other than `le` are the histogram's
    begin_ms: np.ndarray  # int64[H]
    end_ms: np.ndarray  # int64[H]
    offsets: np.ndarray  # int64[H+1]
    bucket: np.ndarray  # uint8[K], rising in each histogram
    count: np.ndarray  # int64[K]


def latency_increases(increases: Increases, families: Families, *, unit_s: float = 1.0) -> LatencyIncreases:
    """Return how many calls of which latency the `_bucket` series among increases say that there were.

    Args:
        increases: of any series; those that are no buckets are left out. All buckets of a histogram belong in one
            call: one that did not rise is not among them, and is known from `families`.
        families: the groups and bounds of the series, kept up with their table.
        unit_s: how many seconds the metric's unit is: 1, or 0.001 for milliseconds.
    """
    chosen = np.flatnonzero(families.role[increases.series] == BUCKET)
    chosen = chosen[~np.isnan(families.le[increases.series[chosen]])]
    group = families.group[increases.series[chosen]]
    keys = np.empty(len(chosen), [("group", np.int32), ("end", np.int64)])
    keys["group"], keys["end"] = group, increases.end_ms[chosen]
    unique, histogram = np.unique(keys, return_inverse=True)
    begin = np.full(len(unique), np.iinfo(np.int64).max)
    np.minimum.at(begin, histogram, increases.begin_ms[chosen])
    series = np.zeros(len(unique), np.int32)
    series[histogram] = increases.series[chosen]
    bounds = _Bounds(families, np.unique(group))
    parts: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    layout = bounds.layout[np.searchsorted(bounds.groups, unique["group"])]
    for number, les in enumerate(bounds.layouts):
        rows = np.flatnonzero(layout == number)
        place = np.full(len(unique), -1, np.int64)
        place[rows] = np.arange(len(rows))
        of_these = np.flatnonzero(place[histogram] >= 0)
        cumulated = np.zeros((len(rows), len(les)))
        column = np.searchsorted(les, families.le[increases.series[chosen[of_these]]])
        cumulated[place[histogram[of_these]], column] = increases.increase[chosen[of_these]]
        # After a reset that nobody saw a lower bound may have risen by more than one above it.
        cumulated = np.minimum.accumulate(cumulated[:, ::-1], axis=1)[:, ::-1]
        bucket, count = histogram_buckets(les * (1000.0 * unit_s), np.diff(cumulated, axis=1, prepend=0.0))
        at, nth = np.nonzero(count)
        parts.append((rows[at], bucket[nth], count[at, nth]))
    owner, bucket, count = (np.concatenate(columns) for columns in zip(*parts, strict=True)) if parts else _NOTHING
    order = np.argsort(owner, kind="stable")
    offsets = np.searchsorted(owner[order], np.arange(len(unique) + 1))
    return LatencyIncreases(
        unique["group"].copy(), series, begin, unique["end"].copy(), offsets, bucket[order], count[order]
    )


_NOTHING = (np.empty(0, np.int64), np.empty(0, np.uint8), np.empty(0, np.int64))


class _Bounds:
    """The bounds of groups: most histograms of a metric have the same ones, which makes them one matrix."""

    def __init__(self, families: Families, groups: np.ndarray) -> None:
        self.groups = groups
        self.layouts: list[np.ndarray] = []
        numbers: dict[bytes, int] = {}
        codes = np.flatnonzero((families.role == BUCKET) & ~np.isnan(families.le) & np.isin(families.group, groups))
        codes = codes[np.lexsort((families.le[codes], families.group[codes]))]
        ends = np.searchsorted(families.group[codes], groups, side="right")
        begins = np.searchsorted(families.group[codes], groups, side="left")
        self.layout = np.empty(len(groups), np.int64)
        for row, (begin, end) in enumerate(zip(begins.tolist(), ends.tolist(), strict=True)):
            les = np.unique(families.le[codes[begin:end]])
            key = les.tobytes()
            if key not in numbers:
                numbers[key] = len(self.layouts)
                self.layouts.append(les)
            self.layout[row] = numbers[key]
