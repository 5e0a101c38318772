"""Response codes of metrics are kept as counts; which of them are errors; a label that is no code costs little."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chronotope.ingest.metrics.counters.columns import Increases
from chronotope.ingest.metrics.formats.exposition import ExpositionParser
from chronotope.ingest.metrics.mapping.aggregation import Aggregator
from chronotope.ingest.metrics.mapping.pipeline import MetricsPipeline
from chronotope.schema.config.config import Config, load_config
from chronotope.schema.errors import InvalidConfig
from chronotope.schema.observations import MOST_CODES

T0 = 1_700_000_000_000
ISTIO = (
    'istio_requests_total{{reporter="source",source_workload="a",source_workload_namespace="n",'
    'destination_workload="b",destination_workload_namespace="n",request_protocol="{}",response_code="{}"{}}}'
)


def counted(*series: str, config: Config | None = None) -> tuple[int, int, dict[str, int]]:
    """(calls, errors, calls by code) of series that rise by 1, 2, 4, … one after the other."""
    pipeline = MetricsPipeline(config or Config())
    parser = ExpositionParser(pipeline.table, target_labels={"job": "n/a", "instance": "10.0.0.1:1"})
    calls = errors = 0
    codes: Counter[str] = Counter()
    for time_ms in (T0, T0 + 10_000):
        text = "".join(f"{one} {0 if time_ms == T0 else 1 << at}\n" for at, one in enumerate(series))
        for table in pipeline.accept(parser.parse(text.encode(), time_ms)):
            for row in table.to_pylist():
                calls, errors = calls + row["calls"], errors + row["errors"]
                codes.update(dict(row["codes"]))
    return calls, errors, dict(codes)


@pytest.mark.parametrize(
    ("series", "found"),
    [
        (
            [ISTIO.format("http", code, ',grpc_response_status="0"') for code in ("200", "404", "503")],
            (7, 4, {"200": 1, "404": 2, "503": 4}),
        ),
        ([ISTIO.format("http", code, ',response_flags="DC"') for code in ("200", "0")], (3, 0, {"200": 1, "-": 2})),
        (
            [
                ISTIO.format("grpc", code, f',grpc_response_status="{status}"')
                for code, status in (("200", "0"), ("200", "14"), ("503", "0"), ("404", "0"), ("0", "0"))
            ],
            (31, 14, {"0": 1, "14": 2, "503": 4, "404": 8, "-": 16}),
        ),
        (
            ['envoy_cluster_upstream_rq{envoy_cluster_name="cart",envoy_response_code="503"}'],
            (1, 1, {"503": 1}),
        ),
        (
            [
                'envoy_http_downstream_rq_xx{envoy_http_conn_manager_prefix="in",envoy_response_code_class="2"}',
                'envoy_http_downstream_rq_xx{envoy_http_conn_manager_prefix="in",envoy_response_code_class="5"}',
            ],
            (3, 2, {"2xx": 1, "5xx": 2}),
        ),
        (
            [
                f'grpc_client_handled_total{{grpc_code="{code}",grpc_service="x.Pay"}}'
                for code in ("OK", "Unknown", "NOT_FOUND")
            ],
            (7, 6, {"OK": 1, "Unknown": 2, "NOT_FOUND": 4}),
        ),
        (
            [
                f'http_client_request_duration_seconds_count{{server_address="cart",{labels}}}'
                for labels in (*(f'http_response_status_code="{code}"' for code in (200, 500)), 'error_type="timeout"')
            ],
            (7, 6, {"200": 1, "500": 2, "timeout": 4}),
        ),
        (
            [
                f'response_total{{direction="outbound",dst_deployment="cart",deployment="front",{labels}}}'
                for labels in (
                    'classification="success",status_code="200"',
                    'classification="failure",status_code="200",grpc_status="14"',
                )
            ],
            (3, 2, {"200": 1, "14": 2}),
        ),
        (
            ['http_client_requests_seconds_count{client_name="cart",status="IO_ERROR",outcome="UNKNOWN"}'],
            (1, 1, {"IO_ERROR": 1}),
        ),
        (['traces_service_graph_request_total{client="a",server="b"}'], (1, 0, {})),
    ],
)  # fmt: skip
def test_presets_keep_codes_and_know_errors(series: list[str], found: tuple[int, int, dict[str, int]]) -> None:
    assert counted(*series) == found


def config_of(aggregator: Path, text: str) -> Config:
    """A configuration as it is read from a file."""
    (aggregator / "chronotope.yaml").write_text(text)
    return load_config(aggregator / "chronotope.yaml")


OWN = """
metrics:
  presets: []
  mappings:
    - name: own
      source: {{scraped: true}}
      target: {{name: "{{upstream}}"}}
      families:
        own_requests_total: {family}
"""


def test_own_mapping_names_its_code(tmp_path: Path) -> None:
    config = config_of(tmp_path, OWN.format(family='{measure: calls, errors: {status: "5.."}, codes: "HTTP {status}"}'))
    series = [f'own_requests_total{{upstream="b",status="{status}"}}' for status in (200, 500)]
    assert counted(*series, config=config) == (3, 2, {"HTTP 200": 1, "HTTP 500": 2})


@pytest.mark.parametrize(
    ("family", "said"),
    [
        ("{measure: latency, codes: '{status}'}", "codes: are of calls, not of latency"),
        ("{measure: calls, codes: '{status'}", "is no template"),
        ("{measure: bytes_sent, errors: {status: '5..'}}", "errors: are of calls, not of bytes_sent"),
    ],
)
def test_code_of_what_is_no_call_is_an_error_with_its_line(tmp_path: Path, family: str, said: str) -> None:
    with pytest.raises(InvalidConfig, match=rf":9: .*{said}"):
        config_of(tmp_path, OWN.format(family=family))


def test_label_that_is_no_code_makes_no_more_than_the_most_codes() -> None:
    series = [ISTIO.format("http", f"{code:05}", "") for code in range(MOST_CODES * 3)]
    pipeline = MetricsPipeline(Config())
    codes = [pipeline.table.code(*_parts(one)) for one in series]
    count = len(codes)
    increases = Increases(
        np.array(codes, np.int32), np.full(count, T0), np.full(count, T0 + 10_000), np.ones(count, np.float64)
    )
    ((row,),) = (table.to_pylist() for table in pipeline.observer.observe(increases))
    found = dict(row["codes"])
    assert len(found) == MOST_CODES
    assert found["other"] == count - MOST_CODES + 1
    assert sum(found.values()) == row["calls"] == count


rise = st.tuples(
    st.integers(0, 2), st.integers(0, 3), st.integers(0, 60_000), st.integers(1, 90_000), st.integers(1, 9)
)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(rise, max_size=20), max_size=4), st.sampled_from([1.0, 8.0, 3.0]), st.booleans())
def test_codes_add_up_to_the_increases(batches: list[list[tuple[int, ...]]], parts: float, folded: bool) -> None:
    """Whatever the batches, fractions and folds: each edge's code has what its series rose by, rounded once."""
    pipeline = MetricsPipeline(Config())
    aggregator = Aggregator(pipeline.meanings, pipeline.counters.families, pipeline.table.names)
    wanted: Counter[tuple[str, str]] = Counter()
    found: Counter[tuple[str, str]] = Counter()
    for batch in batches:
        rows = []
        for target, code, start, length, count in batch:
            labels = {"destination_workload": f"w{target}", "response_code": str(200 + code), "source_workload": "a"}
            series = pipeline.table.code("istio_requests_total", tuple(sorted(labels.items())))
            rows.append((series, T0 + start, T0 + start + length, count / parts))
            wanted[f"w{target}", str(200 + code)] += count / parts  # type: ignore[assignment]
        columns = np.array(rows, np.float64).reshape(-1, 4).T
        increases = Increases(
            columns[0].astype(np.int32), columns[1].astype(np.int64), columns[2].astype(np.int64), columns[3]
        )
        for table in pipeline.observer.observe(aggregator.aggregate(increases) if folded else increases):
            for row in table.to_pylist():
                found.update({(row["target"], code): calls for code, calls in row["codes"]})
    for key in wanted | found:
        assert abs(found[key] - wanted[key]) <= 0.5 + 1e-6


def _parts(series: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    name, _, labels = series.rstrip("}").partition("{")
    pairs = (pair.partition("=") for pair in labels.split(","))
    return name, tuple(sorted((key, value.strip('"')) for key, _, value in pairs))
