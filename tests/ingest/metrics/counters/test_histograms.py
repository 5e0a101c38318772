"""Histograms of metrics to latency buckets: every call once, and where it was as well as anyone can know."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chronotope.ingest.metrics.counters.columns import Increases, SeriesTable
from chronotope.ingest.metrics.counters.families import MOST_BOUNDS, Families
from chronotope.ingest.metrics.counters.histograms import bucket_weights, latency_increases, spread_counts
from chronotope.ingest.metrics.formats.exposition import ExpositionParser
from chronotope.ingest.metrics.mapping.pipeline import MetricsPipeline
from chronotope.schema.config.config import Config
from chronotope.schema.latency import bucket_of, quantiles_ms

PROMETHEUS_LES_MS = np.array([5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, math.inf])


def histogram_buckets(les_ms: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the latency buckets of one histogram.

    Args:
        les_ms: float64[L]: upper bounds in milliseconds, rising; the last may be infinite.
        counts: float64[L] or [H, L]: how many calls were in each bucket, not cumulated; negative ones count nothing.

    Returns:
        (uint8[B], rising; int64[B] or [H, B]): buckets of `schema.latency` and the calls in each.
    """
    bounded = np.maximum(np.atleast_2d(np.asarray(counts, np.float64)), 0.0)
    histogram, bucket, count = spread_counts(bounded, bucket_weights(les_ms))
    used, place = np.unique(bucket, return_inverse=True)
    chosen = np.zeros((len(bounded), len(used)), np.int64)
    chosen[histogram, place] = count
    return used, chosen[0] if np.ndim(counts) == 1 else chosen


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.floats(1e-6, 1e9), min_size=1, max_size=12, unique=True).map(sorted),
    st.booleans(),
    st.data(),
)
def test_no_call_is_lost_or_added(bounds: list[float], open_end: bool, data: st.DataObject) -> None:
    les = np.array([*bounds, math.inf] if open_end else bounds)
    counts = np.array(data.draw(st.lists(st.integers(0, 10**9), min_size=len(les), max_size=len(les))))
    bucket, count = histogram_buckets(les, counts)
    assert count.sum() == counts.sum()
    assert (count >= 0).all()
    assert (np.diff(bucket.astype(int)) > 0).all()


def test_each_call_stays_between_its_bounds() -> None:
    bucket, count = histogram_buckets(np.array([100.0, 200.0]), np.array([0, 700]))
    low, high = bucket_of(np.array([100_000_000, 200_000_000]))
    assert bucket.min() >= low
    assert bucket.max() <= high
    assert count.max() <= 2 * np.median(count)


def test_what_is_above_the_last_bound_lies_there() -> None:
    bucket, count = histogram_buckets(PROMETHEUS_LES_MS, np.array([0] * 11 + [9]))
    assert (bucket.tolist(), count.tolist()) == ([int(bucket_of(np.array([10_000_000_000]))[0])], [9])


def test_one_call_alone_lies_in_the_middle_of_its_bounds() -> None:
    bucket, count = histogram_buckets(np.array([10.0, 1000.0]), np.array([0, 1]))
    assert count.tolist() == [1]
    middle = quantiles_ms(np.array([0, 1]), bucket, count, (0.5,))[0, 0]
    assert middle == pytest.approx(100, rel=0.06)


def test_bounds_at_or_below_zero_do_no_harm() -> None:
    for les in ([0.0, 1.0, math.inf], [-1.0, 0.0], [math.inf]):
        counts = np.arange(1, len(les) + 1)
        assert histogram_buckets(np.array(les), counts)[1].sum() == counts.sum()


def test_quantiles_are_as_good_as_the_bounds_allow() -> None:
    latency_ms = np.random.default_rng(7).lognormal(3.5, 1.0, 100_000)
    counts = np.histogram(latency_ms, np.concatenate([[0], PROMETHEUS_LES_MS]))[0]
    bucket, count = histogram_buckets(PROMETHEUS_LES_MS, counts)
    estimates = quantiles_ms(np.array([0, len(bucket)]), bucket, count, (0.5, 0.95, 0.99))[0]
    assert np.allclose(estimates, np.quantile(latency_ms, (0.5, 0.95, 0.99)), rtol=0.15)


def increases_of(table: SeriesTable, *rows: tuple[str, str, float]) -> Increases:
    """Return increases of (service, le, increase) from 0 to 15 s."""
    codes = [table.code("rq_seconds_bucket", (("le", le), ("to", to))) for to, le, _ in rows]
    count = len(rows)
    return Increases(
        np.array(codes, np.int32), np.zeros(count, np.int64), np.full(count, 15_000), np.array([row[2] for row in rows])
    )


def test_bucket_series_make_one_histogram_for_each_other_labels() -> None:
    table = SeriesTable()
    rows = [("a", "0.1", 3.0), ("b", "0.1", 1.0), ("a", "0.2", 5.0), ("a", "+Inf", 5.0), ("b", "+Inf", 4.0)]
    increases = increases_of(table, *rows)
    table.code("rq_seconds_bucket", (("le", "0.2"), ("to", "b")))  # did not rise
    families = Families(table)
    families.update()
    latency = latency_increases(increases, families)
    assert [table.labels[code]["to"] for code in latency.series] == ["a", "b"]
    totals = np.add.reduceat(latency.count, latency.offsets[:-1])
    assert totals.tolist() == [5, 4]
    assert latency.bucket.max() <= bucket_of(np.array([200_000_000]))[0]


def test_the_metrics_unit_may_be_milliseconds() -> None:
    table = SeriesTable()
    increases = increases_of(table, ("a", "10", 1.0))
    families = Families(table)
    families.update()
    in_ms = latency_increases(increases, families, unit_s=0.001)
    assert int(in_ms.bucket[0]) < int(latency_increases(increases, families).bucket[0])


def test_a_lower_bucket_that_rose_more_than_all_counts_no_more_than_all() -> None:
    table = SeriesTable()
    increases = increases_of(table, ("a", "0.1", 7.0), ("a", "+Inf", 2.0))
    families = Families(table)
    families.update()
    assert latency_increases(increases, families).count.sum() == 2


def test_without_buckets_there_are_no_latencies() -> None:
    table = SeriesTable()
    code = table.code("calls_total", ())
    increases = Increases(np.array([code], np.int32), np.array([0]), np.array([15_000]), np.array([3.0]))
    families = Families(table)
    families.update()
    latency = latency_increases(increases, families)
    assert (len(latency.group), latency.offsets.tolist()) == (0, [0])


def test_histogram_of_too_many_bounds_is_counted_and_only_its_latencies_are_not_told() -> None:
    pipeline = MetricsPipeline(Config())
    parser = ExpositionParser(pipeline.table, target_labels={"job": "n/a", "instance": "x:1"})
    name = "http_client_request_duration_seconds"
    rows = []
    for second, calls in ((0, 0), (10, 5)):
        lines = [f'{name}_bucket{{server_address="b",le="{le / 100}"}} {calls}' for le in range(1, MOST_BOUNDS + 2)]
        text = "\n".join([*lines, f'{name}_count{{server_address="b"}} {calls}', ""])
        for table in pipeline.accept(parser.parse(text.encode(), 1_700_000_000_000 + second * 1000)):
            rows += table.to_pylist()
    assert [(row["calls"], row["latency_count"], row["latency"]) for row in rows] == [(5, 5, [])]
    assert pipeline.skipped["too_many_bounds"] == 1
