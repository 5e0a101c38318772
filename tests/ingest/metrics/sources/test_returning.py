"""A series of a Prometheus that comes back with its old value was not born; a new one was, if its target was up."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from urllib.parse import parse_qs

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.ingest.metrics.sources.http_stage import Reply, stage
from tests.ingest.metrics.sources.real_prometheus import prometheus_with

from chronotope.ingest.metrics.mapping.pipeline import MetricsPipeline
from chronotope.ingest.metrics.sources.collector import LAG_MS, RELIST_MS, MetricsCollector
from chronotope.ingest.metrics.sources.history import Backfill, Backfilled
from chronotope.ingest.metrics.sources.prometheus_api import PrometheusSource
from chronotope.ingest.metrics.sources.prometheus_http import PrometheusHttp
from chronotope.schema.config.config import Config
from chronotope.schema.config.metrics import MetricsSection, PrometheusEntry
from chronotope.schema.storage.migrate import migrate
from chronotope.schema.storage.store import Store

START_S, STEP_S = 1_700_000_100, 15
SCRAPE = 'job="shop/front",instance="10.0.0.1:9090"'


def series(target: str, code: int = 200) -> str:
    """A client's count of its calls to a service."""
    return f'http_client_requests_seconds_count{{{SCRAPE},client_name="{target}",status="{code}"}}'


def history(minutes: int) -> str:
    """`always` is there all the time, `back` is not from minute 2 to 20, `born` begins at minute 15 with 7 calls."""
    lines = ["# TYPE http_client_requests_seconds_count gauge"]  # promtool takes histograms only whole
    times = [START_S + STEP_S * number for number in range(minutes * 4)]
    for target, since, value in (("always", 0, 100), ("back", 0, 5000), ("born", 15 * 60, 7)):
        rows = [at for at in times if at - START_S >= since]
        if target == "back":
            rows = [at for at in rows if not 120 <= at - START_S < 1200]
        lines += [f"{series(target)} {value + (at - START_S) // STEP_S * (target == 'always')} {at}" for at in rows]
    return "\n".join([*lines, "# TYPE up gauge", *(f"up{{{SCRAPE}}} 1 {at}" for at in times), "# EOF", ""])


def backfilled(store: Store, url: str, begin_s: int, end_s: int, chunk_ms: int = 3_600_000) -> Backfill:
    """What a fresh process brings into the store."""
    pipeline = MetricsPipeline(Config())
    backfill = Backfill(store, PrometheusSource(PrometheusHttp(url, attempts=1), pipeline.table), pipeline)
    assert isinstance(backfill.run(begin_s * 1000, end_s * 1000, chunk_ms=chunk_ms), Backfilled)
    return backfill


def calls(store: Store) -> dict[str, int]:
    rows = store.rows("SELECT target, sum(calls) FROM edges_10s GROUP BY target ORDER BY target")
    return {str(target): int(count) for target, count in rows}


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with prometheus_with(history(30), tmp_path_factory.mktemp("prometheus")) as url:
        yield url


@pytest.mark.parametrize("chunk_ms", [300_000, 3_600_000])
def test_series_that_was_there_before_the_backfill_is_not_born(store: Store, prometheus: str, chunk_ms: int) -> None:
    backfill = backfilled(store, prometheus, START_S + 600, START_S + 1800, chunk_ms)
    assert calls(store) == {"always": 80, "born": 7}
    assert backfill.skipped["returned"] == 1


class Server:
    """Speaks as much of Prometheus' API as is asked of it, over samples of one target scraped every 15 s."""

    def __init__(self, samples: dict[str, dict[int, float]], *, knows_series: bool = True) -> None:
        self.samples = samples  # metric and called service → second → value
        self.knows_series = knows_series
        self.asked: list[str] = []
        self.url = ""

    def answer(self, path: str, body: bytes, _: dict[str, str]) -> Reply:
        """Answer one request."""
        question = path.partition("?")[0].rpartition("/api/v1/")[2]
        form = parse_qs(body.decode() or path.partition("?")[2])
        self.asked.append(question)
        if question == "label/__name__/values":
            begin, end = float(form["start"][0]), float(form["end"][0])
            return _said(sorted({name.split(" ")[0] for name in self.between(begin, end)}))
        if question == "series":
            if not self.knows_series:
                return Reply(b'{"status":"error","errorType":"bad_data","error":"no"}', 422)
            begin, end = float(form["start"][0]), float(form["end"][0])
            found = self.between(begin, end)
            asked = " ".join(form["match[]"])
            return _said([_metric(name) for name in found if f'"{name.split(" ")[0]}"' in asked])
        name, _, length = form["query"][0].rstrip("ms]").partition("[")
        end = float(form["time"][0])
        begin = end - int(length) / 1000
        result = [
            {"metric": _metric(own), "values": [[at, str(n)] for at, n in sorted(rows.items()) if begin <= at <= end]}
            for own, rows in self.samples.items()
            if own.split(" ")[0] == name
        ]
        return _said({"resultType": "matrix", "result": [one for one in result if one["values"]]})

    def between(self, begin: float, end: float) -> list[str]:
        """Names of what has a sample in a time."""
        return [name for name, rows in self.samples.items() if any(begin <= at <= end for at in rows)]


def _metric(name: str) -> dict[str, str]:
    metric, _, target = name.partition(" ")
    called = {"client_name": target, "grpc_service": target, "status": "200"} if target else {}
    return {"__name__": metric, "job": "shop/front", "instance": "10.0.0.1:9090", **called}


def _said(data: object) -> Reply:
    return Reply(json.dumps({"status": "success", "data": data}).encode())


METRIC = "http_client_requests_seconds_count"


@pytest.fixture(scope="module")
def asked() -> Iterator[tuple[Store, Server, Iterator[int]]]:
    """A store and a server for all examples, and numbers that tell them apart."""
    server = Server({})
    with stage(server.answer) as server.url, Store.open("chdb://memory") as store:
        migrate(store)
        yield store, server, itertools.count(1)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(st.tuples(st.booleans(), st.integers(0, 3)), min_size=80, max_size=80),
    begin=st.integers(1, 60),
    hides=st.booleans(),
    knows_series=st.booleans(),
)
def test_no_schedule_of_gaps_gives_calls_that_did_not_happen(
    asked: tuple[Store, Server, Iterator[int]],
    steps: list[tuple[bool, int]],
    begin: int,
    hides: bool,
    knows_series: bool,
) -> None:
    """A program shows its counter from the first call on, and hides it now and then; it is always up."""
    times = [START_S + STEP_S * number for number in range(len(steps))]
    rows: dict[int, float] = {}
    value = 0
    for at, (there, count) in zip(times, steps, strict=True):
        value += count
        if value and (there or not hides or not rows):
            rows[at] = float(value)
    store, server, number = asked
    target = f"cart{next(number)}"
    server.samples = {f"{METRIC} {target}": rows, "up": dict.fromkeys(times, 1.0)}
    server.knows_series = knows_series
    backfilled(store, f"{server.url}/{target}", times[begin], times[-1] + 1)
    found = calls(store).get(target, 0)
    before = max((count for at, count in rows.items() if at < times[begin]), default=0.0)
    assert found <= max(rows.values(), default=0.0) - before
    if not hides and (knows_series or before):
        assert found == value - before


def test_metric_that_appears_later_is_read_within_minutes(store: Store) -> None:
    """And all of it counts, as its target was up before; its metrics are listed seldom."""
    up = {START_S + STEP_S * number: 1.0 for number in range(80)}
    appears = START_S + 315
    server = Server({"up": up, f"{METRIC} early": dict.fromkeys(up, 3.0)})
    seen_at, rounds = None, 29
    with stage(server.answer) as url:
        now_s = START_S + 60.0
        config = Config(metrics=MetricsSection(prometheus=[PrometheusEntry(url=url)]))
        collector = MetricsCollector(store, config, clock=lambda: now_s)
        collector.rounds.stop(0)
        for _ in range(rounds):
            now_s += 15
            if now_s >= appears:
                counted = {at: float(at - appears + 1) for at in up if appears <= at <= now_s}
                server.samples["grpc_client_handled_total late"] = counted
            collector.round()
            if seen_at is None and "late" in calls(store):
                seen_at = now_s
    assert seen_at is not None
    assert seen_at - appears <= (RELIST_MS + LAG_MS) / 1000 + 30
    assert calls(store)["late"] == max(counted[at] for at in counted if at * 1000 < now_s * 1000 - LAG_MS)
    assert server.asked.count("label/__name__/values") <= rounds * 15_000 // RELIST_MS + 2
