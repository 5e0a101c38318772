"""The client against a real Prometheus: what promtool put in comes out, however it is asked for."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from tests.ingest.metrics.sources.real_prometheus import prometheus_with

from chronotope.ingest.metrics.counters.columns import SeriesTable, join_samples
from chronotope.ingest.metrics.counters.increases import Counters
from chronotope.ingest.metrics.sources.prometheus_api import PrometheusSource
from chronotope.ingest.metrics.sources.prometheus_http import PrometheusHttp
from chronotope.ingest.metrics.sources.replicas import Replicas
from chronotope.schema.errors import SourceError

pytestmark = pytest.mark.slow

START_S, STEP_S, SAMPLES, SERIES = 1_700_000_000, 15, 960, 6
END_MS = (START_S + STEP_S * SAMPLES) * 1000
RESET_AT = 500


def value_at(series: int, sample: int) -> int:
    """A counter of its own rate, that is reset in the middle."""
    return (series + 1) * (sample if sample < RESET_AT else sample - RESET_AT + 1)


def history() -> str:
    lines = ["# HELP calls Calls.", "# TYPE calls counter"]
    for series in range(SERIES):
        lines += [
            f'calls_total{{replica="{replica}",to="s{series}"}} {value_at(series, n)} {START_S + STEP_S * n + shift}'
            for replica, shift in (("a", 0), ("b", 1.5))
            for n in range(SAMPLES)
        ]
    return "\n".join([*lines, "# EOF", ""])


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with prometheus_with(history(), tmp_path_factory.mktemp("prometheus"), "--query.max-samples=20000") as address:
        yield address


@pytest.fixture
def http(url: str) -> Iterator[PrometheusHttp]:
    client = PrometheusHttp(url, attempts=2, sleep=lambda _: None)
    yield client
    client.close()


EXPECTED = [
    (series + 1) * (RESET_AT - 1) + value_at(series, SAMPLES - 1) for series in range(SERIES)
]  # before the reset from the first sample on, and all after it


@pytest.mark.parametrize("chunk_ms", [600_000, 3_600_000, 100_000_000])
def test_history_in_chunks_counts_every_call_of_a_pair_once(http: PrometheusHttp, chunk_ms: int) -> None:
    table = SeriesTable()
    source, replicas, counters = PrometheusSource(http, table), Replicas(table, "replica"), Counters(table)
    selectors = ['calls_total{to=~"s[0-2]"}', 'calls_total{to=~"s[3-5]"}']
    progress: list[tuple[int, int]] = []
    counted = np.zeros(SERIES)
    chunks = list(
        source.read(
            selectors,
            START_S * 1000,
            END_MS,
            chunk_ms=chunk_ms,
            on_progress=lambda done, total: progress.append((done, total)),
        )
    )
    for chunk in chunks:
        increases = counters.add(replicas.deduplicate(chunk.samples))
        services = [int(table.labels[code]["to"][1:]) for code in increases.series]
        np.add.at(counted, services, increases.increase)
    assert counted.tolist() == EXPECTED
    assert not counters.ignored
    assert counters.resets == SERIES
    assert (chunks[0].begin_ms, chunks[-1].end_ms) == (START_S * 1000, END_MS)
    assert progress[-1] == (len(chunks) * 2, len(chunks) * 2)


def test_each_stored_sample_comes_exactly_once(http: PrometheusHttp) -> None:
    table = SeriesTable()
    chunks = PrometheusSource(http, table).read(['calls_total{replica="a"}'], START_S * 1000, END_MS, chunk_ms=450_000)
    samples = join_samples([chunk.samples for chunk in chunks])
    assert len(samples) == SERIES * SAMPLES
    for code in range(SERIES):
        service = int(table.labels[code]["to"][1:])
        mine = samples.take(samples.series == code)
        assert (mine.time_ms == (START_S + STEP_S * np.arange(SAMPLES)) * 1000).all()
        assert mine.value.tolist() == [value_at(service, n) for n in range(SAMPLES)]


def test_steps_give_no_more_than_the_stored_samples(http: PrometheusHttp) -> None:
    table = SeriesTable()
    counters = Counters(table)
    chunks = PrometheusSource(http, table).read(
        ['calls_total{replica="a"}'], START_S * 1000, END_MS, chunk_ms=10**12, step_ms=60_000
    )
    total = sum(float(counters.add(chunk.samples).increase.sum()) for chunk in chunks)
    assert 0.98 * sum(EXPECTED) < total <= sum(EXPECTED)


def test_what_is_too_much_for_the_server_is_divided(http: PrometheusHttp) -> None:
    """20,000 samples a query are allowed, and there are 11,520 of each replica's: both together are too many."""
    table = SeriesTable()
    source = PrometheusSource(http, table)
    whole = [*source.read(['{__name__=~"calls_total|nothing"}'], START_S * 1000, END_MS, chunk_ms=10**12)]
    assert len(whole[0].samples) == 2 * SERIES * SAMPLES
    doubled = ["calls_total or calls_total"]
    list(source.read(doubled, START_S * 1000, END_MS, chunk_ms=10**12, step_ms=15_000))
    assert source.divided > 0


def test_reading_goes_on_where_it_stopped(http: PrometheusHttp) -> None:
    table = SeriesTable()
    source, counters = PrometheusSource(http, table), Counters(table)
    selector = ['calls_total{replica="b"}']
    reading = source.read(selector, START_S * 1000, END_MS, chunk_ms=3_600_000)
    first = next(reading)
    total = float(counters.add(first.samples).increase.sum())
    reading.close()  # type: ignore[attr-defined]
    for chunk in source.read(selector, first.end_ms, END_MS, chunk_ms=1_000_000):
        total += float(counters.add(chunk.samples).increase.sum())
    assert total == sum(EXPECTED)


def test_a_bad_query_is_refused_with_the_servers_words(http: PrometheusHttp) -> None:
    with pytest.raises(SourceError, match=r"400: bad_data: .*parse error"):
        list(PrometheusSource(http, SeriesTable()).read(["calls_total{"], 0, 1000))


def test_names_and_types_are_known(http: PrometheusHttp) -> None:
    source = PrometheusSource(http, SeriesTable())
    assert source.metric_names(START_S * 1000, END_MS) == ["calls_total"]
    assert source.types() == 0  # nothing is scraped, so there is no metadata
