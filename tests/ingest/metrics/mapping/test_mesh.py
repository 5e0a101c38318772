"""Whole meshes by Istio's metrics, as a graph: several clusters, the ambient mode, what has no workload, streams."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tests.ingest.metrics.mapping.imported import imported_graph

END_S, SECONDS = 1_700_000_400, 300
REQUESTS = "istio_requests_total"
RECEIVED = "istio_tcp_received_bytes_total"
SENT = "istio_tcp_sent_bytes_total"
NOBODY = ("unknown", "unknown")
Series = tuple[str, dict[str, str], int]
Graph = dict[tuple[str, str, str], tuple[float, ...]]


def labels(side: str, end: tuple[str, str], cluster: str, version: str) -> dict[str, str]:
    """What a proxy says of one end, (namespace, name)."""
    namespace, name = end
    known = end != NOBODY
    return {
        f"{side}_workload_namespace": namespace,
        f"{side}_workload": f"{name}-{version}" if known else "unknown",
        f"{side}_canonical_service": name,
        f"{side}_cluster": cluster if known else "unknown",
    }


def counter(
    family: str, reporter: str, source: tuple[str, str], target: tuple[str, str], rate: int, **more: str
) -> Series:
    """A counter that rises by `rate` a second; `more` says what is not the usual."""
    version = more.pop("version", "v1")
    said = {
        "reporter": reporter,
        **labels("source", source, "west", "v1"),
        **labels("destination", target, more.pop("cluster", "west"), version),
        "destination_service_namespace": target[0],
        "destination_service_name": target[1],
        "destination_service": f"{target[1]}.{target[0]}.svc.cluster.local",
    }
    if family == REQUESTS:
        said |= {"request_protocol": "http", "response_code": "200"}
    return family, {**said, **more}, rate


def exposition(series: Iterable[Series]) -> str:
    """OpenMetrics with each counter at the start and at the end."""
    lines = []
    for family in (REQUESTS, RECEIVED, SENT, "istio_request_messages_total"):
        lines.append(f"# TYPE {family.removesuffix('_total')} counter")
        for name, said, rate in series:
            if name == family:
                text = ",".join(f'{key}="{value}"' for key, value in said.items())
                lines += [f"{name}{{{text}}} 0 {END_S - SECONDS}", f"{name}{{{text}}} {rate * SECONDS} {END_S}"]
    return "\n".join([*lines, "# EOF", ""])


def graph_of(series: list[Series], folder: Path) -> Graph:
    """The edges that a file of the series gives: calls, errors, bytes sent and received, each a second."""
    file = folder / "mesh.txt"
    file.write_text(exposition(series))
    found = {}
    for edge in imported_graph(file, END_S, SECONDS).edges:
        ipc = edge.evidence.ipc
        counts = (ipc.calls, ipc.errors, ipc.bytes_sent or 0, ipc.bytes_received or 0)
        found[edge.source, edge.target, edge.protocol] = tuple(round(count / SECONDS, 6) for count in counts)
    return found


def test_calls_into_two_clusters_are_those_of_the_caller(tmp_path: Path) -> None:
    """The servers of one cluster report too; the caller's proxy has seen all of its calls."""
    till, stock, gate = ("shop", "till"), ("shop", "stock"), ("edge", "gate")
    series = [
        counter(REQUESTS, "source", till, stock, 5),
        counter(REQUESTS, "source", till, stock, 7, cluster="east"),
        counter(REQUESTS, "source", till, stock, 11, cluster="east", version="v2", response_code="503"),
        counter(REQUESTS, "destination", till, stock, 5),
        counter(REQUESTS, "destination", gate, till, 3),
        counter(REQUESTS, "destination", NOBODY, till, 2),
    ]
    assert graph_of(series, tmp_path) == {
        ("shop/till", "shop/stock", "http"): (23, 11, 0, 0),
        ("edge/gate", "shop/till", "http"): (3, 0, 0, 0),
        ("unknown", "shop/till", "http"): (2, 0, 0, 0),
    }


def test_ambient_mesh_has_its_waypoint_between_tcp_ends_and_calls_from_end_to_end(tmp_path: Path) -> None:
    """The node's proxies see bytes to and from the waypoint, the waypoint the calls that pass it: none counts twice."""
    till, stock, waypoint = ("shop", "till"), ("shop", "stock"), ("shop", "waypoint")
    asked = {"destination_service": "stock.shop.svc.cluster.local", "destination_service_name": "stock"}
    series = [counter(REQUESTS, "waypoint", till, stock, 4, grpc_response_status="14", request_protocol="grpc")]
    for reporter in ("source", "destination"):
        series += [
            counter(RECEIVED, reporter, till, waypoint, 900, app="ztunnel", **asked),
            counter(RECEIVED, reporter, waypoint, stock, 800, app="ztunnel"),
            counter(SENT, reporter, waypoint, stock, 70, app="ztunnel"),
        ]
    assert graph_of(series, tmp_path) == {
        ("shop/till", "shop/stock", "grpc"): (4, 4, 0, 0),
        ("shop/till", "shop/waypoint", "tcp"): (0, 0, 900, 0),
        ("shop/waypoint", "shop/stock", "tcp"): (0, 0, 800, 70),
    }


def test_calls_that_reach_no_workload_are_of_the_service_that_was_asked_for(tmp_path: Path) -> None:
    """A host outside the mesh is one node, whichever namespace declares it: traces name it by its host alone."""
    till, stock = ("shop", "till"), ("shop", "stock")
    nowhere = {"destination_service": "pay.example.org", "destination_service_name": "pay.example.org"}
    failing = {"destination_service_namespace": "unknown", "destination_service_name": "stock", "response_code": "503"}
    series = [
        counter(REQUESTS, "source", till, stock, 20),
        counter(REQUESTS, "source", till, NOBODY, 6, destination_service="stock.shop.svc.cluster.local", **failing),
        counter(REQUESTS, "source", till, NOBODY, 9, **nowhere, destination_service_namespace="shop"),
        counter(REQUESTS, "source", stock, NOBODY, 8, **nowhere),
    ]
    assert graph_of(series, tmp_path) == {
        ("shop/till", "shop/stock", "http"): (26, 6, 0, 0),
        ("shop/till", "pay.example.org", "http"): (9, 0, 0, 0),
        ("shop/stock", "pay.example.org", "http"): (8, 0, 0, 0),
    }


def test_messages_of_a_stream_are_no_calls(tmp_path: Path) -> None:
    till, feed = ("shop", "till"), ("shop", "feed")
    series = [
        counter(REQUESTS, "source", till, feed, 1, request_protocol="grpc", grpc_response_status="0"),
        counter("istio_request_messages_total", "source", till, feed, 50),
    ]
    assert graph_of(series, tmp_path) == {("shop/till", "shop/feed", "grpc"): (1, 0, 0, 0)}
