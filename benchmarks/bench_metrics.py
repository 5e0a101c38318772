"""Metrics to increases and to observations: exposition text of scrapes, JSON of range queries, OpenMetrics files."""

from __future__ import annotations

import io
import itertools
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from chronotope.ingest.metrics.counters.columns import Samples, SeriesTable
from chronotope.ingest.metrics.counters.histograms import latency_increases
from chronotope.ingest.metrics.counters.increases import Counters
from chronotope.ingest.metrics.formats.exposition import ExpositionParser
from chronotope.ingest.metrics.formats.openmetrics import OpenMetricsFile
from chronotope.ingest.metrics.formats.prometheus_json import parse_query_answer
from chronotope.ingest.metrics.mapping.pipeline import MetricsPipeline
from chronotope.schema.config.config import Config

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
            total += float(increases.increase.sum())
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
        return float(increases.increase.sum())

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


def histogram_text(edges: int, scrape: int) -> bytes:
    """Return what mesh proxies of some callers say: of each edge 12 buckets, a sum, a count and a counter."""
    lines = ["# TYPE istio_requests_total counter\n", "# TYPE istio_request_duration_milliseconds histogram\n"]
    for edge in range(edges):
        labels = istio_labels(edge)[:-1]
        calls = (edge % 7 + 1) * len(LES) * scrape
        lines.append(f"istio_requests_total{labels}}} {calls}\n")
        lines += [
            f'istio_request_duration_milliseconds_bucket{labels},le="{le}"}} {calls // len(LES) * (nth + 1)}\n'
            for nth, le in enumerate(LES)
        ]
        lines.append(f"istio_request_duration_milliseconds_sum{labels}}} {calls * 10}\n")
        lines.append(f"istio_request_duration_milliseconds_count{labels}}} {calls}\n")
    return "".join(lines).encode()


def sums(tables: list[pa.Table]) -> list[int]:
    """Return how many calls there are, and how many of them have a latency by their buckets."""
    calls = sum(pc.sum(table["calls"]).as_py() for table in tables)
    return [calls, sum(pc.sum(chunk.items).as_py() or 0 for table in tables for chunk in table["latency"].chunks)]


@pytest.mark.parametrize(("form", "series"), [("counters", 100_000), ("histograms", 90_000), ("histograms", 1_500)])
def test_scrapes_to_observations(benchmark: Any, form: str, series: int) -> None:
    """Text to tables for the store: scrapes of one target, whose series were all seen before."""
    edges = series if form == "counters" else series // (len(LES) + 3)
    text_of = scrape_text if form == "counters" else histogram_text
    bodies = [text_of(edges, scrape) for scrape in range(4)]
    pipeline, time_ms = MetricsPipeline(Config()), itertools.count(START_S * 1000, 15_000)
    parser = ExpositionParser(pipeline.table, wanted=pipeline.rules.wanted)
    pipeline.accept(parser.parse(bodies[0], next(time_ms)))

    def run() -> list[int]:
        tables: list[pa.Table] = []
        for body in bodies:  # the first one, of zeros, is a reset
            tables += pipeline.accept(parser.parse(body, next(time_ms)))
        return sums(tables)

    found = benchmark(run)
    benchmark.extra_info |= {"samples": series * len(bodies)}
    calls = 3 * sum(edge % 7 + 1 for edge in range(edges)) * (1 if form == "counters" else len(LES))
    assert found == [calls, 0 if form == "counters" else calls]


@pytest.mark.parametrize(("form", "series", "points"), [("counters", 5_000, 240), ("histograms", 3_000, 240)])
def test_range_query_to_observations(benchmark: Any, form: str, series: int, points: int) -> None:
    """The answers for an hour to tables for the store, each time of series never seen."""
    body = range_answer(form, series, points)

    def run() -> list[int]:
        pipeline = MetricsPipeline(Config())
        return sums(pipeline.accept(parse_query_answer(body, pipeline.table)))

    found = benchmark.pedantic(run, rounds=5, warmup_rounds=1)
    benchmark.extra_info |= {"samples": series * points, "bytes_per_sample": len(body) // (series * points)}
    edges = series if form == "counters" else series // (len(LES) + 3)
    calls = (points - 1) * sum(edge % 7 + 1 for edge in range(edges)) * (1 if form == "counters" else len(LES))
    assert found == [calls, 0 if form == "counters" else calls]


def range_answer(form: str, series: int, points: int) -> bytes:
    """Return the JSON of a range selector: series after series, a sample every 15 s."""
    texts = [
        (scrape_text if form == "counters" else histogram_text)(
            series if form == "counters" else series // (len(LES) + 3), scrape
        )
        for scrape in (0, 1)
    ]
    parser = ExpositionParser(SeriesTable())
    first, second = (parser.parse(text, 0) for text in texts)
    step = (second.value - first.value).astype(np.int64).tolist()
    result = [
        {
            "metric": {"__name__": parser.table.names[code], **parser.table.labels[code]},
            "values": [[START_S + 15 * point, str(point * rise)] for point in range(points)],
        }
        for code, rise in zip(first.series.tolist(), step, strict=True)
    ]
    return orjson.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}})
