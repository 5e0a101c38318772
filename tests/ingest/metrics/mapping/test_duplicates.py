"""Programs that count the same calls under several names: each call counts once, and none is lost."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chronotope.ingest.metrics.counters.columns import NativeHistograms, Samples
from chronotope.ingest.metrics.formats.exposition import ExpositionParser
from chronotope.ingest.metrics.mapping.checking import report
from chronotope.ingest.metrics.mapping.pipeline import MetricsPipeline
from chronotope.ingest.metrics.sources.files import MetricsImport
from chronotope.schema.config.config import Config

SELF = {"job": "shop/front", "instance": "10.0.0.1:9090"}
T0_MS = 1_700_000_000_000
OLD = 'http_client_duration_milliseconds_count{net_peer_name="cart.shop",net_peer_port="80",http_status_code="200"}'
NEW = 'http_client_request_duration_seconds_count{server_address="cart.shop",http_response_status_code="200"}'

CLUSTER = '{envoy_cluster_name="cart"}'
OPAQUE = '{direction="outbound",peer="dst",dst_deployment="cart",dst_namespace="shop"}'

# Pairs of series of the same calls, the preferred one first.
PAIRS = [
    (NEW, OLD),
    (
        'http_server_request_duration_seconds_count{http_route="/"}',
        'http_server_duration_milliseconds_count{http_target="/"}',
    ),
    (
        'rpc_client_call_duration_seconds_count{rpc_method="x.Cart/Add",server_address="cart.shop",server_port="1"}',
        'rpc_client_duration_milliseconds_count{rpc_service="x.Cart",rpc_method="Add",server_address="cart.shop"}',
    ),
    (
        'rpc_server_call_duration_seconds_count{rpc_system_name="grpc",rpc_method="x.Cart/Add"}',
        'rpc_server_duration_milliseconds_count{rpc_system="grpc",rpc_service="x.Cart",rpc_method="Add"}',
    ),
    (
        'http_server_request_duration_seconds_count{http_route="/"}',
        'http_server_requests_seconds_count{uri="/",application="front"}',
    ),
    (
        'http_client_request_duration_seconds_count{server_address="cart.shop"}',
        'http_client_requests_seconds_count{client_name="cart.shop",application="front"}',
    ),
    (
        'rpc_server_duration_milliseconds_count{rpc_system="grpc",rpc_service="x.Cart",rpc_method="Add"}',
        'grpc_server_handled_total{grpc_service="x.Cart",grpc_code="OK"}',
    ),
    (
        'rpc_client_duration_milliseconds_count{rpc_system="grpc",rpc_service="x.Cart",server_address="cart.shop"}',
        'grpc_client_handled_total{grpc_service="x.Cart",grpc_code="OK"}',
    ),
]


def counted(rounds: Sequence[str], **labels: str) -> tuple[int, int]:
    """Calls of expositions 15 s apart, of which each is all that its program says; and increases left out."""
    pipeline = MetricsPipeline(Config(), since_ms=T0_MS)
    parser = ExpositionParser(pipeline.table, target_labels=SELF | labels, wanted=pipeline.rules.wanted)
    calls = 0
    for number, text in enumerate(rounds):
        samples = parser.parse(text.encode(), T0_MS + number * 15_000, complete=True)
        calls += sum(sum(table["calls"].to_pylist()) for table in pipeline.accept(samples))
    return calls, pipeline.skipped["duplicate_family"]


@pytest.mark.parametrize("pair", PAIRS)
def test_two_metrics_of_the_same_calls_count_once(pair: tuple[str, str]) -> None:
    both = [f"{pair[0]} {n}\n{pair[1]} {n}\n" for n in (0, 3, 3, 10)]
    assert counted(both) == (10, 2)
    for one in pair:
        assert counted([f"{one} {n}\n" for n in (0, 3, 3, 10)]) == (10, 0)


def shown(names: Sequence[str], values: Sequence[int]) -> list[str]:
    """Expositions in which metrics have the same values."""
    return ["".join(f"{name} {value}\n" for name in names) for value in values]


@pytest.mark.parametrize(("first", "second"), [(OLD, NEW), (NEW, OLD)])
def test_change_from_one_metric_to_the_other_counts_all(first: str, second: str) -> None:
    """A program is restarted with the other convention, perhaps with both for a while."""
    assert counted(shown([first], (0, 5, 8)) + shown([second], (2, 6)))[0] == 14
    stages = shown([first], (0, 5, 8)) + shown([first, second], (2, 6)) + shown([second], (1, 4))
    assert counted(stages)[0] == 18


def test_metric_that_lags_behind_the_other_is_no_second_count() -> None:
    """A scrape reads one histogram before a call ends and the other after it."""
    assert counted([f"{NEW} {new}\n{OLD} {old}\n" for new, old in ((0, 0), (0, 1), (1, 1), (1, 2), (2, 2))])[0] == 2


RUNS = st.tuples(st.sampled_from([[OLD], [NEW], [OLD, NEW]]), st.lists(st.integers(0, 9), max_size=5))


@settings(max_examples=60, deadline=None)
@given(st.lists(RUNS, max_size=6))
def test_no_schedule_of_conventions_loses_or_doubles_a_call(runs: list[tuple[list[str], list[int]]]) -> None:
    """A program runs and is restarted, each time with some convention; each run is seen from its first call on."""
    rounds = [""]
    for names, calls in runs:
        rounds += shown(names, [0, *itertools.accumulate(calls)])
    assert counted(rounds)[0] == sum(sum(calls) for _, calls in runs)


@pytest.mark.parametrize(
    ("calls", "connections", "sent"),
    [
        (
            CLUSTER.replace("{", 'envoy_cluster_upstream_rq{envoy_response_code="200",'),
            f"envoy_cluster_upstream_cx_total{CLUSTER}",
            f"envoy_cluster_upstream_cx_tx_bytes_total{CLUSTER}",
        ),
        (f"response_total{OPAQUE}", f"tcp_open_total{OPAQUE}", f"tcp_write_bytes_total{OPAQUE}"),
    ],
)
def test_connections_of_a_proxy_are_an_edge_only_without_calls(calls: str, connections: str, sent: str) -> None:
    def found(*names: str) -> set[tuple[str, int, int, int]]:
        pipeline = MetricsPipeline(Config(), since_ms=T0_MS)
        parser = ExpositionParser(pipeline.table, target_labels=SELF)
        tables = [
            table
            for number, text in enumerate(shown(names, (0, 4)))
            for table in pipeline.accept(parser.parse(text.encode(), T0_MS + number * 10_000, complete=True))
        ]
        measures = ("calls", "connections", "bytes_sent")
        return {
            (row["protocol"], *(row[measure] for measure in measures)) for table in tables for row in table.to_pylist()
        }

    assert found(calls, connections, sent) == {("http", 4, 0, 0)}
    assert found(connections, sent) == {("tcp", 0, 4, 4)}


def test_metrics_of_two_libraries_both_count() -> None:
    """Their instrumentation scopes tell that their calls are not the same."""
    one = NEW.replace("}", ',otel_scope_name="undici"}')
    other = OLD.replace("}", ',otel_scope_name="http"}')
    assert counted([f"{one} {n}\n{other} {2 * n}\n" for n in (0, 3, 5)]) == (15, 0)


def test_calls_of_another_server_are_not_left_out() -> None:
    other = OLD.replace("cart.shop", "pay.shop")
    assert counted([f"{NEW} {n}\n{other} {2 * n}\n" for n in (0, 3, 5)]) == (15, 0)


def test_classic_and_native_form_of_one_histogram_count_once() -> None:
    """Prometheus holds both with `always_scrape_classic_histograms`."""
    pipeline = MetricsPipeline(Config(), since_ms=T0_MS)
    labels = tuple(sorted({**SELF, "server_address": "cart.shop"}.items()))
    name = "http_client_request_duration_seconds"
    classic, native = (pipeline.table.code(name + suffix, labels) for suffix in ("_count", ""))
    times, values = T0_MS + 15_000 * np.arange(3), np.array([0.0, 3.0, 10.0])
    histograms = NativeHistograms(
        *(np.full(3, native, np.int32), times, values, values / 10),
        *(np.array([0, 0, 1, 2]), np.array([0.1, 0.1]), np.array([0.2, 0.2]), np.array([3.0, 10.0])),
    )
    tables = pipeline.accept(Samples(np.full(3, classic, np.int32), times, values, histograms))
    rows = [row for table in tables for row in table.to_pylist()]
    assert sum(row["calls"] for row in rows) == sum(row["latency_count"] for row in rows) == 10
    assert sum(count for row in rows for _, count in row["latency"]) == 10
    assert pipeline.skipped["duplicate_family"] == 2


def test_check_tells_which_metric_is_a_duplicate() -> None:
    pipeline = MetricsPipeline(Config())
    ExpositionParser(pipeline.table, target_labels=SELF).parse(f"{NEW} 1\n{OLD} 1\n".encode(), T0_MS)
    found = report(pipeline, T0_MS)
    assert found["used"] == 1
    assert [(one["reason"], one["series"]) for one in found["unused"]] == [("duplicate_family", 1)]


def test_file_that_has_both_counts_each_call_once(tmp_path: Path) -> None:
    """Files come metric after metric."""
    rows = [
        f'{name[:-1]},job="shop/front",instance="a:1"}} {n * 7} {T0_MS // 1000 + 60 * n}'
        for name in (OLD, NEW)
        for n in range(5)
    ]
    file = tmp_path / "metrics.om"
    file.write_text("\n".join([*rows, "# EOF", ""]))
    importer = MetricsImport(Config())
    tables = [table for table, _ in importer.tables(file, lambda *_: None)]
    assert sum(sum(table["calls"].to_pylist()) for table in tables) == 28
