"""Native histograms to calls and latencies."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chronotope.ingest.metrics.counters.columns import Increases, NativeHistograms, Samples, empty_samples, join_samples
from chronotope.ingest.metrics.counters.histograms import LatencyIncreases
from chronotope.ingest.metrics.counters.native_histograms import NativeCounters
from chronotope.ingest.metrics.formats.prometheus_json import parse_query_answer
from chronotope.ingest.metrics.mapping.pipeline import MetricsPipeline
from chronotope.ingest.metrics.sources.replicas import Replicas
from chronotope.schema.config.config import Config
from chronotope.schema.latency import bucket_of, quantiles_ms

T0 = 1_700_000_000


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


def added(counters: NativeCounters, native: NativeHistograms) -> tuple[Increases, LatencyIncreases]:
    """What histograms rose by: calls and latencies."""
    found = counters.add(native)
    return found.increases, found.latency


def test_calls_and_latencies_are_what_was_added() -> None:
    counters = NativeCounters()
    calls, latency = added(counters, native_of((0, 10, {0.1: 10}), (15, 17, {0.1: 12, 0.4: 5})))
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
    calls, latency = added(counters, native_of(*((second, count, {0.1: count}) for second, count in rows)))
    assert calls.increase.tolist() == [3.0, 1.0]
    assert latency.count.sum() == 4
    assert counters.ignored == {"duplicate_time": 1, "out_of_order": 1, "gap": 1, "not_a_count": 1}
    assert counters.resets == 1


def test_buckets_may_be_merged_between_two_samples() -> None:
    counters = NativeCounters()
    calls, latency = added(counters, native_of((0, 40, {0.1: 20, 0.2: 20}), (15, 60, {0.2: 60})))
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
    _, latency = added(NativeCounters(), native)
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
        calls, latency = added(NativeCounters(), native_of(*rows))
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


def answer(*points: tuple[int, int, float], **labels: str) -> bytes:
    """A query's answer: (second, count, sum in ms) of a native histogram of Istio's, 128 to 256 ms each."""
    histograms = [
        [T0 + second, {"count": str(count), "sum": str(total), "buckets": [[0, "128", "256", str(count)]]}]
        for second, count, total in points
    ]
    ends = {"source_workload": "a", "destination_workload": "b", "reporter": "source"}
    metric = {"__name__": "istio_request_duration_milliseconds", "request_protocol": "http", **ends, **labels}
    result = [{"metric": metric, "histograms": histograms}]
    return json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}}).encode()


def rows_of(pipeline: MetricsPipeline, samples: Samples) -> list[dict[str, Any]]:
    return [row for table in pipeline.accept(samples) for row in table.to_pylist()]


def test_native_histograms_give_latency_and_go_on_with_the_next_answer() -> None:
    pipeline = MetricsPipeline(Config())
    assert not rows_of(pipeline, parse_query_answer(answer((0, 10, 2000.0)), pipeline.table))
    (row,) = rows_of(pipeline, parse_query_answer(answer((10, 14, 2800.0)), pipeline.table))
    assert (row["source"], row["target"], row["protocol"], row["reporter"]) == ("a", "b", "http", 1)
    assert (row["latency_count"], row["latency_us_sum"], row["calls"]) == (4, 800_000, 0)
    low, high = bucket_of(np.array([128_000_000, 256_000_000]))
    assert all(low <= bucket <= high for bucket, _ in row["latency"])
    assert sum(calls for _, calls in row["latency"]) == 4


def test_native_histogram_that_counts_calls_gives_calls_errors_and_codes() -> None:
    pipeline = MetricsPipeline(Config())
    found = []
    for second, count in ((0, 1), (10, 6)):
        body = answer((second, count, count * 0.2), http_response_status_code="500", server_address="cart", job="n/a")
        body = body.replace(b"istio_request_duration_milliseconds", b"http_client_request_duration_seconds")
        found += rows_of(pipeline, parse_query_answer(body, pipeline.table))
    (row,) = found
    assert (row["source"], row["target"], row["calls"], row["errors"]) == ("n/a", "cart", 5, 5)
    assert (row["codes"], row["latency_us_sum"]) == ([("500", 5)], 1_000_000)


def test_floats_under_a_histograms_own_name_mean_nothing() -> None:
    """A summary has its quantiles there."""
    pipeline = MetricsPipeline(Config())
    name = "http_client_requests_seconds"
    for second, value in ((0, "1"), (10, "9")):
        metric = {"__name__": name, "quantile": "0.9", "client_name": "cart", "job": "n/a"}
        for labels in (metric, {key: label for key, label in metric.items() if key != "quantile"}):
            result = [{"metric": labels, "values": [[T0 + second, value]]}]
            body = json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}}).encode()
            assert not rows_of(pipeline, parse_query_answer(body, pipeline.table))
    assert not pipeline.rules.wanted(name)
    assert pipeline.rules.selected(name)


def test_replicas_of_native_histograms_count_once() -> None:
    pipeline = MetricsPipeline(Config())
    replicas = Replicas(pipeline.table, "replica")
    calls = 0
    for second in (0, 10, 20):
        parts = [
            parse_query_answer(answer((second + late, 4 * second, 0.0), replica=name), pipeline.table)
            for late, name in enumerate("xy")
        ]
        rows = rows_of(pipeline, replicas.deduplicate(join_samples(parts)))
        calls += sum(row["latency_count"] for row in rows)
    assert calls == 80
    assert replicas.dropped == 3
