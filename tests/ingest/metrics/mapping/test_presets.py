"""Presets: each is valid, and says of the labels that its programs emit who called whom."""

from __future__ import annotations

import json
import re
import tarfile
from pathlib import Path

import pytest

from chronotope.ingest.identity.owners import Identities, Ownership
from chronotope.ingest.metrics.formats.exposition import ExpositionParser
from chronotope.ingest.metrics.formats.prometheus_json import parse_query_answer
from chronotope.ingest.metrics.mapping.pipeline import MetricsPipeline
from chronotope.ingest.metrics.mapping.plain_names import selector_of
from chronotope.ingest.metrics.mapping.rules import preset_rules, rules_of
from chronotope.schema.config.config import Config
from chronotope.schema.config.metrics import PRESETS, MetricsSection

PRESET_FILES = Path(__file__).parents[4] / "ingest" / "metrics" / "presets"
SELF = {"job": "shop/front", "instance": "10.0.0.1:9090"}
OWNERS = Identities([Ownership("10.0.0.2", "shop/cart"), Ownership("cart.shop", "shop/cart")])


def edges(*rounds: str, aliases: dict[str, str] | None = None, **labels: str) -> list[tuple[object, ...]]:
    """(source, target, protocol, reporter, calls, errors, bytes sent, bytes received) of expositions 10 s apart."""
    pipeline = MetricsPipeline(Config(aliases=aliases or {}), lambda: OWNERS)
    parser = ExpositionParser(pipeline.table, target_labels=SELF | labels, wanted=pipeline.rules.wanted)
    found: dict[tuple[str, str, str, int], list[int]] = {}
    for number, text in enumerate(rounds):
        for table in pipeline.accept(parser.parse(text.encode(), 1_700_000_000_000 + number * 10_000)):
            for row in table.to_pylist():
                sums = found.setdefault((row["source"], row["target"], row["protocol"], row["reporter"]), [0] * 4)
                for at, measure in enumerate(("calls", "errors", "bytes_sent", "bytes_received")):
                    sums[at] += row[measure]
    return sorted((*edge, *sums) for edge, sums in found.items())


def counting(*series: str, count: int = 7) -> tuple[str, str]:
    """Series that begin at 0 and rise to a count."""
    return tuple("".join(f"{one} {value}\n" for one in series) for value in (0, count))  # type: ignore[return-value]


def test_every_preset_is_a_file_and_every_file_a_preset() -> None:
    assert {file.stem for file in PRESET_FILES.glob("*.yaml")} == set(PRESETS)
    assert all(preset_rules(preset) for preset in PRESETS)


def test_preset_that_is_not_chosen_is_not_used() -> None:
    pipeline = MetricsPipeline(Config(metrics=MetricsSection(presets=["grpc"])))
    assert pipeline.rules.wanted("grpc_client_handled_total")
    assert not pipeline.rules.wanted("istio_requests_total")


def test_grpc_client_finds_who_provides_the_interface_by_the_servers_metrics() -> None:
    pipeline = MetricsPipeline(Config(), lambda: OWNERS)
    client = ExpositionParser(pipeline.table, target_labels=SELF)
    server = ExpositionParser(pipeline.table, target_labels={"job": "shop/pay", "instance": "10.0.0.9:1"})
    found = []
    for time_ms, value in ((0, 0), (10_000, 5)):
        for parser, side in ((client, "client"), (server, "server")):
            text = f'grpc_{side}_handled_total{{grpc_code="OK",grpc_service="x.Pay",grpc_method="Do"}} {value}\n'
            found += pipeline.accept(parser.parse(text.encode(), 1_700_000_000_000 + time_ms))
    rows = [row for table in found for row in table.to_pylist()]
    assert [(row["source"], row["target"], row["calls"]) for row in rows] == [("shop/front", "shop/pay", 5)]


def test_grpc_interface_that_nobody_provides_has_its_own_name_or_its_alias() -> None:
    rounds = counting('grpc_client_handled_total{grpc_code="NOT_FOUND",grpc_service="x.Pay"}')
    assert edges(*rounds) == [("shop/front", "x.Pay", "grpc", 1, 7, 7, 0, 0)]
    assert edges(*rounds, aliases={"x.Pay": "shop/pay"}) == [("shop/front", "shop/pay", "grpc", 1, 7, 7, 0, 0)]


@pytest.mark.parametrize(
    ("series", "edge"),
    [
        (
            'response_total{direction="outbound",dst_deployment="cart",dst_namespace="shop",deployment="front",'
            'namespace="shop",classification="failure"}',
            ("shop/front", "shop/cart", "http", 1, 7, 7, 0, 0),
        ),
        (
            'response_total{direction="inbound",client_id="",deployment="front",namespace="shop",classification="success"}',
            ("unknown", "shop/front", "http", 2, 7, 0, 0, 0),
        ),
        (
            'envoy_cluster_upstream_rq{envoy_cluster_name="outbound|80||cart.shop.svc.cluster.local",envoy_response_code="503"}',
            ("shop/front", "shop/cart", "http", 1, 7, 7, 0, 0),
        ),
        (
            'http_client_request_duration_seconds_count{server_address="10.0.0.2",server_port="80",error_type="timeout"}',
            ("shop/front", "shop/cart", "http", 1, 7, 7, 0, 0),
        ),
        (
            'http_client_request_duration_seconds_count{server_address="api.example",http_response_status_code="404",error_type="404"}',
            ("shop/front", "api.example", "http", 1, 7, 0, 0, 0),
        ),
        (
            'rpc_client_duration_milliseconds_count{rpc_system="grpc",net_peer_name="cart.shop",rpc_grpc_status_code="14"}',
            ("shop/front", "shop/cart", "grpc", 1, 7, 7, 0, 0),
        ),
        (
            'traces_service_graph_request_total{client="a",server="b",client_service_namespace="shop"}',
            ("shop/a", "b", "http", 1, 7, 0, 0, 0),
        ),
        (
            'beyla_network_flow_bytes_total{k8s_src_owner_name="a",k8s_src_namespace="n",k8s_dst_owner_name="b",'
            'k8s_dst_namespace="n",direction="response",transport="TCP"}',
            ("n/b", "n/a", "tcp", 0, 0, 0, 0, 7),
        ),
        (
            'hubble_http_requests_total{source_workload="a",source_namespace="n",destination="n/b",status="500",'
            'reporter="server"}',
            ("n/a", "n/b", "http", 2, 7, 7, 0, 0),
        ),
        (
            'ipc_client_call_seconds_count{ipc_server_app="cart",ipc_client_app="front",ipc_protocol="http_1",'
            'ipc_result="failure"}',
            ("front", "cart", "http", 1, 7, 7, 0, 0),
        ),
        (
            'http_client_requests_seconds_count{client_name="cart.shop",status="IO_ERROR",outcome="UNKNOWN"}',
            ("shop/front", "shop/cart", "http", 1, 7, 7, 0, 0),
        ),
        (
            'istio_tcp_sent_bytes_total{reporter="source",source_workload="a",source_workload_namespace="n",'
            'source_canonical_service="unknown",source_app="unknown",destination_workload="unknown",'
            'destination_service="b.m.svc.cluster.local",destination_service_name="b",request_protocol="tcp"}',
            ("n/a", "m/b", "tcp", 1, 0, 0, 0, 7),
        ),
        (
            'istio_requests_total{reporter="waypoint",source_workload="a",source_workload_namespace="n",'
            'destination_canonical_service="b",destination_workload="b-v1",destination_workload_namespace="m",'
            'request_protocol="http",response_code="503"}',
            ("n/a", "m/b", "http", 2, 7, 7, 0, 0),
        ),
        (
            'istio_requests_total{reporter="source",source_workload="a",source_workload_namespace="n",'
            'destination_workload="unknown",destination_service="gate.edge.svc.cluster.local",'
            'destination_service_name="gate.edge.svc.cluster.local",request_protocol="http",response_code="0"}',
            ("n/a", "edge/gate", "http", 1, 7, 0, 0, 0),
        ),
        (
            'istio_requests_total{reporter="source",source_workload="a",source_workload_namespace="n",'
            'destination_service="10.9.8.7",destination_service_name="PassthroughCluster",response_code="200"}',
            ("n/a", "PassthroughCluster", "tcp", 1, 7, 0, 0, 0),
        ),
        (
            'istio_requests_total{reporter="destination",source_workload="unknown",source_workload_namespace="unknown",'
            'destination_workload="b",destination_workload_namespace="m",request_protocol="http",response_code="200"}',
            ("unknown", "m/b", "http", 2, 7, 0, 0, 0),
        ),
        (
            'http_client_request_duration_count{server_address="cart.shop",http_response_status_code="500"}',
            ("shop/front", "shop/cart", "http", 1, 7, 7, 0, 0),
        ),
        (
            'rpc_client_duration_count{rpc_system="grpc",rpc_service="x.Pay",server_address="pay.example",server_port="80"}',
            ("shop/front", "pay.example", "grpc", 1, 7, 0, 0, 0),
        ),
        (
            'grpc_client_call_duration_seconds_count{grpc_method="x.Pay/Do",grpc_target="dns:///cart.shop:80",'
            'grpc_status="UNAVAILABLE"}',
            ("shop/front", "shop/cart", "grpc", 1, 7, 7, 0, 0),
        ),
        (
            'grpc_client_processing_duration_seconds_count{service="x.Pay",method="Do",statusCode="OK"}',
            ("shop/front", "x.Pay", "grpc", 1, 7, 0, 0, 0),
        ),
        (
            'grpc_client_completed_total{grpc_service="x.Pay",grpc_method="Do",code="NOT_FOUND"}',
            ("shop/front", "x.Pay", "grpc", 1, 7, 7, 0, 0),
        ),
        (
            'istio_requests_total{reporter="source",source_workload="a",destination_service_name="www.example.com",'
            'destination_service_namespace="n",response_code="200",request_protocol="http"}',
            ("a", "www.example.com", "http", 1, 7, 0, 0, 0),
        ),
    ],
)  # fmt: skip
def test_labels_that_a_program_emits_give_its_edge(series: str, edge: tuple[object, ...]) -> None:
    assert edges(*counting(series)) == [edge]


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ('reporter="destination",source_workload_namespace="n",source_workload="unknown"', "no_source"),
        ('reporter="source",source_workload="unknown",source_workload_namespace="unknown"', "no_source"),
        (
            'reporter="source",source_workload="a",source_workload_namespace="n",'
            'destination_service="10.9.8.7:80",destination_service_name="10.9.8.7:80"',
            "no_target",
        ),
        (
            'reporter="source",source_workload="a",source_workload_namespace="n",'
            'destination_service="[fd00::9:8]:80",destination_service_name="[fd00::9:8]:80"',
            "no_target",
        ),
        (
            'reporter="source",source_workload="a",source_workload_namespace="n",'
            'destination_service="::ffff:10.9.8.7",destination_service_name="::ffff:10.9.8.7"',
            "no_target",
        ),
    ],
)
def test_istio_series_of_pods_that_start_or_end_are_left_out_and_counted(labels: str, reason: str) -> None:
    """As Kiali does: the same calls come again once the proxies know who they are."""
    target = "" if "destination" in labels.partition(",")[2] else ',destination_workload="b"'
    pipeline = MetricsPipeline(Config())
    parser = ExpositionParser(pipeline.table, target_labels=SELF)
    for series in ("istio_requests_total", "istio_tcp_sent_bytes_total"):
        pipeline.accept(parser.parse(f"{series}{{{labels}{target}}} 1\n".encode(), 1_700_000_000_000))
    assert pipeline.series() == {reason: 2, "used": 0}


@pytest.mark.parametrize(
    ("series", "edge"),
    [
        ('hubble_tcp_flags_total{flag="SYN",source="n/a",destination="n/b"}', {("n/a", "n/b", "tcp", 7, 0)}),
        ('hubble_tcp_flags_total{flag="SYN-ACK",source="n/b",destination="n/a"}', set()),
        (
            'hubble_flows_processed_total{verdict="DROPPED",protocol="TCP",source_workload="a",source_namespace="n",'
            'destination_workload="b",destination_namespace="n"}',
            {("n/a", "n/b", "tcp", 0, 7)},
        ),
        ('hubble_flows_processed_total{verdict="FORWARDED",protocol="TCP",source="n/b",destination="n/a"}', set()),
    ],
)
def test_hubbles_connections_go_from_who_opened_them(series: str, edge: set[tuple[object, ...]]) -> None:
    """Its flows are those of replies too."""
    pipeline = MetricsPipeline(Config())
    parser = ExpositionParser(pipeline.table, target_labels=SELF)
    found = set()
    for number, text in enumerate(counting(series)):
        for table in pipeline.accept(parser.parse(text.encode(), 1_700_000_000_000 + number * 10_000)):
            measures = ("source", "target", "protocol", "connections", "failed_connections")
            found |= {tuple(row[name] for name in measures) for row in table.to_pylist()}
    assert found == edge


def test_names_with_dots_mean_what_plain_ones_mean() -> None:
    """Prometheus 3 and its exposition format have them in quotes."""
    series = '{"http.client.request.duration_count","server.address"="10.0.0.2","http.response.status_code"="500"}'
    assert edges(*counting(series)) == [("shop/front", "shop/cart", "http", 1, 7, 7, 0, 0)]


def test_names_with_dots_of_a_prometheus_mean_what_plain_ones_mean() -> None:
    metric = {"__name__": "rpc.client.call.duration_count", "rpc.method": "x.Pay/Do", "rpc.system.name": "grpc", **SELF}
    series = {"metric": metric, "values": [[1_700_000_000, "2"], [1_700_000_015, "9"]]}
    body = json.dumps({"status": "success", "data": {"resultType": "matrix", "result": [series]}}).encode()
    pipeline = MetricsPipeline(Config())
    rows = [row for table in pipeline.accept(parse_query_answer(body, pipeline.table)) for row in table.to_pylist()]
    assert {(row["source"], row["target"], row["protocol"]) for row in rows} == {("shop/front", "x.Pay", "grpc")}
    assert sum(row["calls"] for row in rows) == 7


def test_names_with_dots_are_asked_for_in_quotes() -> None:
    rules = rules_of(MetricsSection())
    assert rules.selected("http.client.request.duration_count")
    assert not rules.selected("http.client.nothing")
    assert selector_of('a."b') == r'{__name__="a.\"b"}'
    assert selector_of("a_b:c") == "a_b:c"


def test_network_metrics_that_do_not_say_the_direction_are_not_used() -> None:
    assert not edges(*counting('beyla_network_flow_bytes_total{k8s_src_owner_name="a",k8s_dst_owner_name="b"}'))


def test_service_of_metrics_is_that_of_traces_by_owner_and_alias() -> None:
    rounds = counting('http_client_request_duration_seconds_count{server_address="10.0.0.2"}')
    found = edges(*rounds, instance="10.0.0.2:9090", aliases={"shop/cart": "shop/basket"})
    assert found == [("shop/basket", "shop/basket", "http", 1, 7, 0, 0, 0)]


def test_labels_of_istios_own_templates_give_ends_and_reporter(shared_data: Path) -> None:
    archive = shared_data / "prom_expositions" / "istio_proxy_expected_metric_templates.tar.gz"
    used = ("istio_requests_total", "sent_bytes_total", "received_bytes_total", "opened_total")
    checked = 0
    with tarfile.open(archive) as files:
        for member in files.getmembers():
            if not member.name.endswith(".tmpl") or "customized" in member.name:
                continue
            text = files.extractfile(member).read().decode()  # type: ignore[union-attr]
            name = re.search(r"name: (istio_\w+)", text)
            if name is None or not name[1].endswith(used):
                continue
            pairs = re.findall(r'name: (\w+)\s+(?:\{\{-? if [^}]*\}\}\s+)?value: "?([^"\n]*)"?', text)
            labels = {key: re.sub(r"\{\{.*?\}\}", "", value).strip() for key, value in pairs}
            if "source_workload" not in labels:
                continue
            series = ",".join(f'{key}="{value}"' for key, value in labels.items() if value)
            ((source, target, _, reporter, *_),) = edges(*counting(f"{name[1]}{{{series}}}"))
            assert source in ("default/productpage-v1", "default/curl", "unknown"), (member.name, source)
            assert target in ("default/ratings", "default/server", "unknown"), (member.name, target)
            assert reporter == {"source": 1, "destination": 2, "waypoint": 2}[labels["reporter"]], member.name
            checked += 1
    assert checked >= 15
