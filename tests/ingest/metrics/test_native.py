"""Native histograms to calls and latencies."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chronotope.ingest.metrics.columns import NativeHistograms, Samples, empty_samples, join_samples
from chronotope.ingest.metrics.native import NativeCounters
from chronotope.schema.latency import bucket_of, quantiles_ms


def native_of(*rows: tuple[int, float, dict[float, float]], series: int = 0) -> NativeHistograms:
    """Return histograms of one series: (seconds, count, calls by a bucket's upper bound in seconds, factor 2)."""
    uppers = [upper for *_, buckets in rows for upper in buckets]
    sizes = [len(buckets) for *_, buckets in rows]
    return NativeHistograms(
        series=np.full(len(rows), series, np.int32),
        time_ms=np.array([second * 1000 for second, *_ in rows], np.int64),
        count=np.array([count for _, count, _ in rows], np.float64),
        sum=np.zeros(len(rows)),
        offsets=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        lower=np.array(uppers, np.float64) / 2,
        upper=np.array(uppers, np.float64),
        bucket_count=np.array([calls for *_, buckets in rows for calls in buckets.values()], np.float64),
    )


def test_calls_and_latencies_are_what_was_added() -> None:
    counters = NativeCounters()
    calls, latency = counters.add(native_of((0, 10, {0.1: 10}), (15, 17, {0.1: 12, 0.4: 5})))
    assert (calls.increase.tolist(), calls.begin_ms.tolist(), calls.end_ms.tolist()) == ([7.0], [0], [15_000])
    assert latency.count.sum() == 7
    slow = latency.bucket > bucket_of(np.array([100_000_000]))[0]
    assert latency.count[slow].sum() == 5
    assert latency.offsets.tolist() == [0, len(latency.bucket)]


def test_resets_gaps_repetitions_and_ends_are_those_of_counters() -> None:
    counters = NativeCounters(longest_gap_ms=60_000)
    rows = [
        (0, 10.0),
        (15, 3.0),
        (15, 9.0),
        (10, 9.0),
        (100, 9.0),
        (110, math.nan),
        (120, 12.0),
        (130, 13.0),
        (140, -1.0),
    ]
    calls, latency = counters.add(native_of(*((second, count, {0.1: count}) for second, count in rows)))
    assert calls.increase.tolist() == [3.0, 1.0]
    assert latency.count.sum() == 4
    assert counters.ignored == {"duplicate_time": 1, "out_of_order": 1, "gap": 1, "not_a_count": 1}
    assert counters.resets == 1


def test_buckets_may_be_merged_between_two_samples() -> None:
    counters = NativeCounters()
    calls, latency = counters.add(native_of((0, 40, {0.1: 20, 0.2: 20}), (15, 60, {0.2: 60})))
    assert calls.increase.tolist() == [20.0]
    assert latency.count.sum() == 20


def test_quantiles_are_within_the_resolution() -> None:
    latency_s = np.random.default_rng(3).lognormal(-3, 0.8, 50_000)
    exponent = np.ceil(np.log2(latency_s) * 8)
    buckets = {
        float(2 ** (key / 8)): float(count) for key, count in zip(*np.unique(exponent, return_counts=True), strict=True)
    }
    native = native_of((0, 0, {}), (15, 50_000, buckets))
    native = NativeHistograms(
        native.series, native.time_ms, native.count, native.sum, native.offsets,
        native.upper / 2 ** (1 / 8), native.upper, native.bucket_count,
    )  # fmt: skip
    _, latency = NativeCounters().add(native)
    estimates = quantiles_ms(latency.offsets, latency.bucket, latency.count, (0.5, 0.99))[0]
    assert estimates == pytest.approx(np.quantile(latency_s, (0.5, 0.99)) * 1000, rel=0.06)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.dictionaries(st.floats(allow_nan=True), st.integers(0, 1000) | st.just(math.nan), max_size=5), max_size=6
    )
)
def test_calls_by_latency_are_as_many_as_calls(steps: list[dict[float, float]]) -> None:
    count, rows = 0, []
    for second, buckets in enumerate(steps):
        count += 7
        rows.append((second, float(count), buckets))
    with np.errstate(over="ignore"):
        calls, latency = NativeCounters().add(native_of(*rows))
    assert latency.count.sum() == calls.increase.sum() == max(7 * (len(steps) - 1), 0)
    assert (latency.count > 0).all()


def test_parts_join_and_divide_with_their_histograms() -> None:
    first, second = native_of((0, 1, {0.1: 1}), (5, 2, {0.1: 1, 0.2: 1})), native_of((10, 3, {0.4: 3}), series=4)
    empty = empty_samples()
    joined = join_samples([Samples(empty.series, empty.time_ms, empty.value, part) for part in (first, None, second)])
    later = joined.between(5000, 20_000).native
    assert later is not None
    assert (later.series.tolist(), later.offsets.tolist()) == ([0, 4], [0, 2, 3])
    assert (later.upper.tolist(), later.bucket_count.tolist()) == ([0.1, 0.2, 0.4], [1.0, 1.0, 3.0])
