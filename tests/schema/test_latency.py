"""Latency buckets: bounds, edges, and quantiles within five per cent of the exact ones."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronotope.schema.latency import BUCKETS, GROWTH, bucket_of, middle_ms, quantiles_ms

NINE_HOURS_NS = 9 * 3600 * 10**9
QUANTILES = (0.5, 0.9, 0.95, 0.99, 0.999, 1.0)
latencies = st.one_of(
    st.integers(1000, 10**6), st.integers(1000, NINE_HOURS_NS), st.floats(3, 13.5).map(lambda power: int(10**power))
)


def histogram(values: list[int]) -> tuple[np.ndarray, np.ndarray]:
    return np.unique(bucket_of(np.array(values, np.int64)), return_counts=True)


@given(st.lists(latencies, min_size=1, max_size=200))
def test_quantiles_are_within_five_per_cent_of_exact_ranks(values: list[int]) -> None:
    buckets, counts = histogram(values)
    answer = quantiles_ms(np.array([0, len(buckets)]), buckets, counts, QUANTILES)[0]
    ordered = sorted(values)
    for quantile, milliseconds in zip(QUANTILES, answer, strict=True):
        exact = ordered[max(math.ceil(quantile * len(values)), 1) - 1] / 1e6
        assert abs(milliseconds - exact) <= 0.05 * exact


@given(st.lists(st.lists(latencies, max_size=20), max_size=20))
def test_many_histograms_at_once_are_each_alone(groups: list[list[int]]) -> None:
    """An empty one between others is NaN and shifts nothing."""
    parts = [histogram(values) for values in groups]
    offsets = np.cumsum([0, *(len(buckets) for buckets, _ in parts)])
    buckets = np.concatenate([np.empty(0, np.uint8), *(part[0] for part in parts)])
    counts = np.concatenate([np.empty(0, np.int64), *(part[1] for part in parts)])
    together = quantiles_ms(offsets, buckets, counts, QUANTILES)
    assert together.shape == (len(groups), len(QUANTILES))
    for row, (own, count) in zip(together, parts, strict=True):
        alone = quantiles_ms(np.array([0, len(own)]), own, count, QUANTILES)[0]
        np.testing.assert_array_equal(row, alone)
        assert np.isnan(row).all() == (len(own) == 0)


@given(st.integers(0, NINE_HOURS_NS), st.integers(0, NINE_HOURS_NS))
def test_longer_latency_never_has_a_lower_bucket(one: int, other: int) -> None:
    low, high = bucket_of(np.array([min(one, other), max(one, other)], np.int64))
    assert low <= high


@pytest.mark.parametrize("bucket", range(1, BUCKETS - 1))
def test_bucket_holds_its_upper_bound_and_not_the_lower(bucket: int) -> None:
    lower, upper = 1000 * GROWTH ** (bucket - 1), 1000 * GROWTH**bucket
    inside = np.array([lower * 1.000001 + 1, upper * 0.999999], np.int64)
    outside = np.array([lower * 0.999999, upper * 1.000001 + 1], np.int64)
    assert bucket_of(inside).tolist() == [bucket, bucket]
    assert bucket_of(outside).tolist() == [bucket - 1, bucket + 1]


@pytest.mark.parametrize(("latency_ns", "bucket"), [(1000, 0), (1001, 1), (1100, 1), (1101, 2), (1210, 2), (1331, 3)])
def test_exact_bounds_stay_in_their_own_bucket(latency_ns: int, bucket: int) -> None:
    assert bucket_of(np.array([latency_ns])).tolist() == [bucket]


@pytest.mark.parametrize("latency_ns", [-(2**63), -1, 0, 1, 999, 1000])
def test_up_to_a_microsecond_is_the_first_bucket(latency_ns: int) -> None:
    assert bucket_of(np.array([latency_ns], np.int64)).tolist() == [0]


@pytest.mark.parametrize("latency_ns", [NINE_HOURS_NS * 2, 2**63 - 1])
def test_above_nine_hours_is_the_last_bucket(latency_ns: int) -> None:
    assert bucket_of(np.array([latency_ns], np.int64)).tolist() == [BUCKETS - 1]


def test_middle_of_a_bucket_is_within_five_per_cent_of_its_bounds() -> None:
    bucket = np.arange(1, BUCKETS - 1)
    middle, lower, upper = middle_ms(bucket), GROWTH ** (bucket - 1.0) / 1000, GROWTH**bucket / 1000
    assert ((middle / lower <= 1.05) & (upper / middle <= 1.05)).all()


def test_counts_that_are_not_positive_count_nothing() -> None:
    """A correction may arrive before what it corrects."""
    offsets = np.array([0, 3, 4])
    answer = quantiles_ms(offsets, np.array([5, 9, 20], np.uint8).repeat([1, 1, 2]), np.array([-7, 4, 0, -1]), (0.5, 1))
    np.testing.assert_allclose(answer[0], middle_ms(np.array([9, 9])))
    assert np.isnan(answer[1]).all()


def test_no_histograms_give_no_quantiles() -> None:
    empty = np.empty(0, np.int64)
    assert quantiles_ms(np.array([0]), empty.astype(np.uint8), empty, (0.5,)).shape == (0, 1)
    assert np.isnan(quantiles_ms(np.array([0, 0]), empty.astype(np.uint8), empty, (0.5,))).all()
