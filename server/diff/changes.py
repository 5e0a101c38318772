"""Which measures of which edges changed between two windows. Pure.

Invariant: a measure is tested only in a layer that saw both windows alike, on an edge that both windows have. All tests
of an answer are corrected together. A change is listed only when it is improbable, and large enough to matter. Where a
layer moved as a whole its rates are not tested, but shares and latencies are: they do not depend on how many calls were
seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from msgspec import Struct

from chronotope.schema.latency import BUCKETS, middle_ms
from chronotope.server.diff.aligned import Pair
from chronotope.server.diff.coverage import Covered
from chronotope.server.diff.shared_load import shared_rate_p
from chronotope.server.diff.significance import (
    MIN_SHARE,
    discoveries,
    latency_p,
    matters,
    mean_inflation,
    share_inflation,
    share_p,
    volume_p,
)
from chronotope.server.evidence.columns import Histograms
from chronotope.server.graph.answer import Layer
from chronotope.server.graph.measures import or_none

_MIDDLES = middle_ms(np.arange(BUCKETS))
_AT_ONCE = 10_000  # edges whose histograms are spread out at a time: 20 MB for each window


class Change(Struct, gc=False):
    """A measure that changed; `effect` is after ÷ before, null when it was 0."""

    layer: Layer
    measure: str
    before: float
    after: float
    p_value: float
    effect: float | None


@dataclass(frozen=True, slots=True)
class Test:
    """One measure of one layer on T edges."""

    layer: str
    measure: str
    edge: np.ndarray
    before: np.ndarray
    after: np.ndarray
    p: np.ndarray
    least: float = 0.0


def find_changes(
    pair: Pair, covered: Mapping[str, Covered], seconds: tuple[int, int], significance: float, *, full: bool
) -> tuple[dict[int, list[Change]], int]:
    """Return the changes of each edge that has some, and how many tests were made.

    Args:
        pair: E edges in both windows.
        covered: how each layer saw the windows.
        seconds: length of the windows.
        significance: the false discovery rate over all tests.
        full: latencies too.
    """
    tests = [
        test
        for name, cover in covered.items()
        if not cover.silent
        for test in _Layer(pair, name, significance).tests(seconds, full=full, rates=cover.coverage is None)
    ]
    if not tests:
        return {}, 0
    every = np.concatenate([test.p for test in tests])
    found = np.split(discoveries(every, significance), np.cumsum([len(test.p) for test in tests])[:-1])
    changes: dict[int, list[Change]] = {}
    for test, own in zip(tests, found, strict=True):
        rows = np.flatnonzero(own & matters(test.before, test.after, test.least))
        for edge, change in zip(test.edge[rows].tolist(), _records(test, rows), strict=True):
            changes.setdefault(edge, []).append(change)
    return changes, int((~np.isnan(every)).sum())


def _records(test: Test, rows: np.ndarray) -> Iterator[Change]:
    before, after = test.before[rows], test.after[rows]
    effect = np.divide(after, before, out=np.zeros(len(rows)), where=before > 0)
    layer: Layer = test.layer  # type: ignore[assignment]
    numbers = (np.round(before, 6).tolist(), np.round(after, 6).tolist(), test.p[rows].tolist())
    for values in zip(*numbers, or_none(np.round(effect, 4), before > 0), strict=True):
        yield Change(layer, test.measure, *values)


class _Layer:
    """One layer's evidence of an edge in both windows; 0 where it has none."""

    def __init__(self, pair: Pair, name: str, significance: float) -> None:
        self.name = name
        self.significance = significance
        self.parts = [columns.layers.get(name) for columns in (pair.before, pair.after)]
        self.sub_windows = [own.get(name, {}) for own in pair.sub_windows]
        alive = pair.alive
        seen = np.logical_or.reduce([part.alive for part in self.parts if part is not None])
        self.edge = np.flatnonzero(alive[0] & alive[1] & seen)

    def sums(self, *measures: str) -> tuple[np.ndarray, np.ndarray]:
        """Return measures of both windows, added up."""
        none = np.zeros(len(self.edge))
        before, after = (
            none
            if part is None
            else np.asarray(np.sum([np.maximum(part.measures[name][self.edge], 0) for name in measures], 0, np.float64))
            for part in self.parts
        )
        return before, after

    def parts_of(self, *measures: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the sub-windows of measures, added up; zeros where the layer has no evidence."""
        count = max((own[measures[0]].shape[1] for own in self.sub_windows if own), default=0)
        none = np.zeros((len(self.edge), count))
        before, after = (
            np.asarray(np.sum([own[measure][self.edge] for measure in measures], 0)) if own else none
            for own in self.sub_windows
        )
        return before, after

    def tests(self, seconds: tuple[int, int], *, full: bool, rates: bool) -> Iterator[Test]:
        """Return the tests of this layer."""
        if not len(self.edge):
            return
        network = self.name == "network"
        events = "connections" if network else "calls"
        if rates:
            yield self._rate(events, seconds)
        if network:
            yield self._share("failed_connection_ratio", ("failed_connections",), (events, "failed_connections"))
            if rates:
                yield self._volume(seconds)
            return
        yield self._share("error_ratio", ("errors",), (events,))
        if full:
            yield from self._latency()

    def _rate(self, events: str, seconds: tuple[int, int]) -> Test:
        before, after = self.sums(events)
        p = shared_rate_p(before, after, self.parts_of(events), seconds[1] / sum(seconds), self.significance)
        return Test(self.name, f"{events}_per_second", self.edge, before / seconds[0], after / seconds[1], p)

    def _volume(self, seconds: tuple[int, int]) -> Test:
        before, after = self.sums("bytes_sent", "bytes_received")
        p = volume_p(self.parts_of("bytes_sent", "bytes_received"))
        p = np.where(before + after > 0, p, np.nan)
        return Test(self.name, "bytes_per_second", self.edge, before / seconds[0], after / seconds[1], p)

    def _share(self, measure: str, hits: tuple[str, ...], trials: tuple[str, ...]) -> Test:
        k, n = self.sums(*hits), self.sums(*trials)
        p = share_p(k, n, share_inflation(self.parts_of(*hits), self.parts_of(*trials)), self.significance)
        p = np.where(k[0] + k[1] > 0, p, np.nan)  # no error in either window: there is nothing to test
        shares = [np.divide(own, of, out=np.zeros(len(own)), where=of > 0) for own, of in zip(k, n, strict=True)]
        return Test(self.name, measure, self.edge, shares[0], shares[1], p, MIN_SHARE)

    def _latency(self) -> Iterator[Test]:
        sums, counts = self.parts_of("latency_us_sum"), self.parts_of("latency_count")
        for start in range(0, len(self.edge), _AT_ONCE):
            rows = slice(start, start + _AT_ONCE)
            edge = self.edge[rows]
            before, after = (_spread(part.histograms if part else None, edge) for part in self.parts)
            own = (sums[0][rows] / 1000, sums[1][rows] / 1000), (counts[0][rows], counts[1][rows])
            inflation = mean_inflation(*own, (_variance(before), _variance(after)))
            middle = latency_p(before, after, inflation)
            yield Test(self.name, "latency_ms_p50", edge, _quantile(before, 0.5), _quantile(after, 0.5), middle)
            # The tail: calls slower than 95 % of all calls of both windows.
            slow = np.arange(BUCKETS) > _rank(before + after, 0.95)[:, None]
            hits, calls = ((before * slow).sum(1), (after * slow).sum(1)), (before.sum(1), after.sum(1))
            tail = np.where(np.minimum(*calls) >= 20, share_p(hits, calls, inflation, self.significance), np.nan)
            yield Test(self.name, "latency_ms_p95", edge, _quantile(before, 0.95), _quantile(after, 0.95), tail)


def _spread(histograms: Histograms | None, edge: np.ndarray) -> np.ndarray:
    """Histograms of some edges as float64[N, BUCKETS]."""
    found = np.zeros((len(edge), BUCKETS))
    if histograms is None or not len(histograms.edge):
        return found
    at = np.minimum(np.searchsorted(edge, histograms.edge), len(edge) - 1)
    at = np.where(edge[at] == histograms.edge, at, -1)
    row = np.repeat(at, np.diff(histograms.offsets))
    kept = row >= 0
    np.add.at(found, (row[kept], histograms.buckets[kept]), np.maximum(histograms.counts[kept], 0))
    return found


def _rank(histogram: np.ndarray, quantile: float) -> np.ndarray:
    """The bucket of a quantile, int64[N]."""
    running = np.cumsum(histogram, 1)
    return np.asarray((running < np.maximum(np.ceil(quantile * running[:, -1:]), 1)).sum(1).clip(0, BUCKETS - 1))


def _quantile(histogram: np.ndarray, quantile: float) -> np.ndarray:
    return np.asarray(np.where(histogram.any(1), _MIDDLES[_rank(histogram, quantile)], 0.0))


def _variance(histogram: np.ndarray) -> np.ndarray:
    count = np.maximum(histogram.sum(1), 1)
    mean = histogram @ _MIDDLES / count
    return np.asarray(np.maximum(histogram @ _MIDDLES**2 / count - mean**2, 0))
