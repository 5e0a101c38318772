"""Metrics to increases: exposition text of scrapes, JSON of range queries, OpenMetrics files."""

from __future__ import annotations

import io
import itertools
from typing import Any

import numpy as np
import orjson
import pytest

from chronotope.ingest.metrics.columns import Samples, SeriesTable
from chronotope.ingest.metrics.exposition import ExpositionParser
from chronotope.ingest.metrics.histograms import latency_increases
from chronotope.ingest.metrics.increases import Counters
from chronotope.ingest.metrics.openmetrics import OpenMetricsFile
from chronotope.ingest.metrics.prom_json import parse_query_answer
from chronotope.ingest.metrics.spreading import spread_to_buckets

START_S = 1_700_000_000
LES = ("0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf")


def istio_labels(series: int) -> str:
    """Return Istio's labels, about 230 bytes."""
    return (
        f'{{destination_canonical_service="service-{series % 997}",destination_cluster="east",reporter="source",'
        f'destination_workload_namespace="shop",request_protocol="http",response_code="{200 + series % 5}",'
        f'source_canonical_service="service-{series}",source_workload_namespace="shop"}}'
    )


def scrape_text(series: int, scrape: int) -> bytes:
    lines = [f"istio_requests_total{istio_labels(code)} {(code % 7 + 1) * scrape}\n" for code in range(series)]
    return "".join(["# TYPE istio_requests_total counter\n", *lines]).encode()


@pytest.mark.parametrize("series", [1_000, 100_000])
def test_scrapes_to_increases(benchmark: Any, series: int) -> None:
    """Scrapes of one target, whose series were all seen before."""
    bodies = [scrape_text(series, scrape) for scrape in range(4)]
    table = SeriesTable()
    parser, counters, time_ms = ExpositionParser(table), Counters(table), itertools.count(START_S * 1000, 15_000)
    counters.add(parser.parse(bodies[0], next(time_ms)))

    def run() -> float:
        total = 0.0
        for body in bodies:  # the first one, of zeros, is a reset
            increases = counters.add(parser.parse(body, next(time_ms)))
            total += float(spread_to_buckets(increases).amount.sum())
        return total

    total = benchmark(run)
    benchmark.extra_info |= {"samples": series * len(bodies), "bytes_per_sample": len(bodies[1]) // series}
    assert total == 3 * sum(code % 7 + 1 for code in range(series))


def test_first_scrape(benchmark: Any) -> None:
    """Of series never seen: each is read and interned."""
    body = scrape_text(20_000, 1)
    samples = benchmark(lambda: ExpositionParser(SeriesTable()).parse(body, START_S * 1000))
    assert len(samples) == 20_000


@pytest.mark.parametrize(("series", "points"), [(100, 10_000), (5_000, 240)])
def test_range_query_to_increases(benchmark: Any, series: int, points: int) -> None:
    result = [
        {
            "metric": {"__name__": "istio_requests_total", "source": f"s{code}", "destination": "d"},
            "values": [[START_S + 15 * point, str(point * (code % 7 + 1))] for point in range(points)],
        }
        for code in range(series)
    ]
    body = orjson.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}})

    def run() -> float:
        table = SeriesTable()
        increases = Counters(table).add(parse_query_answer(body, table))
        return float(spread_to_buckets(increases).amount.sum())

    assert benchmark(run) == (points - 1) * sum(code % 7 + 1 for code in range(series))
    benchmark.extra_info |= {"samples": series * points, "bytes_per_sample": len(body) // (series * points)}


@pytest.mark.parametrize("samples", [500_000])
def test_openmetrics_file_to_increases(benchmark: Any, samples: int) -> None:
    """Series after series, as promtool writes them."""
    points = 1_000
    text = "".join(
        f"istio_requests_total{istio_labels(code)} {point} {START_S + 15 * point}\n"
        for code in range(samples // points)
        for point in range(points)
    ).encode()

    def run() -> float:
        table = SeriesTable()
        counters = Counters(table)
        return sum(float(counters.add(block).increase.sum()) for block in OpenMetricsFile(io.BytesIO(text), table))

    assert benchmark(run) == samples // points * (points - 1)


@pytest.mark.parametrize("histograms", [1_000, 20_000])
def test_histograms_to_latency_buckets(benchmark: Any, histograms: int) -> None:
    table = SeriesTable()
    codes = [
        table.code("rq_seconds_bucket", (("le", le), ("to", f"s{number}")))
        for number in range(histograms)
        for le in LES
    ]
    series = np.array(codes, np.int32)
    counters = Counters(table)
    value = np.tile(np.arange(1.0, len(LES) + 1), histograms)
    counters.add(Samples(series, np.zeros(len(series), np.int64), np.zeros(len(series))))
    increases = counters.add(Samples(series, np.full(len(series), 15_000), value))
    latency = benchmark(latency_increases, increases, counters.families)
    assert latency.count.sum() == histograms * len(LES)
