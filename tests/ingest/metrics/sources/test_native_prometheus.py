"""Native histograms through a real Prometheus, which scrapes them as protobuf, into the store."""

from __future__ import annotations

import struct
import threading
import time
from pathlib import Path

import pytest
from tests.ingest.metrics.sources.http_stage import Reply, stage
from tests.ingest.metrics.sources.real_prometheus import prometheus_with

from chronotope.ingest.metrics.mapping.pipeline import MetricsPipeline
from chronotope.ingest.metrics.sources.history import Backfill
from chronotope.ingest.metrics.sources.prometheus_api import PrometheusSource
from chronotope.ingest.metrics.sources.prometheus_http import PrometheusHttp
from chronotope.schema.config.config import Config
from chronotope.schema.storage.store import Store

pytestmark = pytest.mark.slow

NAME = "http_client_request_duration_seconds"
PROTOBUF = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
FIRST, MORE, RISES = 5, 3, 2  # calls at the first two scrapes; more at each of the next ones; how many of these


def varint(number: int) -> bytes:
    """Encode an unsigned number."""
    rest = number >> 7
    return bytes([number & 127 | (128 if rest else 0)]) + (varint(rest) if rest else b"")


def field(number: int, value: int | float | bytes) -> bytes:
    """Encode a field of a message."""
    if isinstance(value, bytes):
        return varint(number << 3 | 2) + varint(len(value)) + value
    if isinstance(value, float):
        return varint(number << 3 | 1) + struct.pack("<d", value)
    return varint(number << 3) + varint(value)


def zigzag(number: int) -> int:
    return number << 1 if number >= 0 else (-number << 1) - 1


def exposition(calls: int) -> bytes:
    """A family of one native histogram (schema 0: factor 2), all of whose calls took between 0.25 and 0.5 s.

    Source: io.prometheus.client, metrics.proto.
    """
    span = field(1, zigzag(-1)) + field(2, 1)  # one bucket, that up to 2 ** -1
    histogram = field(1, calls) + field(2, calls * 0.4) + field(5, zigzag(0)) + field(6, 1e-9)
    histogram += field(12, span) + field(13, zigzag(calls))
    label = field(1, b"server_address") + field(2, b"cart.shop")
    family = field(1, NAME.encode()) + field(3, 4) + field(4, field(1, label) + field(7, histogram))
    return varint(len(family)) + family


def test_native_histogram_that_a_prometheus_scraped_is_calls_and_latencies(store: Store, tmp_path: Path) -> None:
    scrapes, enough = 0, threading.Event()

    def answer(*_: object) -> Reply:
        nonlocal scrapes
        calls = FIRST + MORE * min(max(scrapes - 1, 0), RISES)
        scrapes += 1
        if scrapes > RISES + 3:
            enough.set()
        return Reply(exposition(calls), headers={"Content-Type": PROTOBUF})

    with stage(answer) as target:
        job = f"{{job_name: front, static_configs: [{{targets: ['{target.removeprefix('http://')}']}}]}}"
        configuration = f"global: {{scrape_interval: 1s, scrape_timeout: 1s}}\nscrape_configs: [{job}]\n"
        options = ("--enable-feature=native-histograms",)
        begin_ms = round(time.time() * 1000)
        with prometheus_with("# EOF\n", tmp_path, *options, configuration=configuration) as url:
            assert enough.wait(60)
            time.sleep(0.5)  # until the last scrape is in the database
            pipeline = MetricsPipeline(Config())
            backfill = Backfill(store, PrometheusSource(PrometheusHttp(url, attempts=1), pipeline.table), pipeline)
            backfill.run(begin_ms, round(time.time() * 1000))
    ((calls, latencies),) = store.rows(
        "SELECT sum(calls), sum(latency_count) FROM edges_10s WHERE target = 'cart.shop'"
    )
    assert calls == latencies == MORE * RISES
