"""Kiali's own test data: the edges and rates of its golden graphs come out, by service instead of by workload."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.ingest.metrics.mapping.imported import imported_graph

from chronotope.ingest.files.spans.formats import no_progress
from chronotope.ingest.metrics.sources.files import MetricsImport
from chronotope.schema.config.config import Config

Edge = tuple[str, str, str]


def cases(folder: Path) -> Iterator[tuple[dict[str, Any], Path]]:
    """The cases whose counters are there as a file."""
    for case in json.loads((folder / "cases.json").read_text()):
        file = folder / f"openmetrics_{case['fixture']}.txt"
        if file.exists():
            yield case, file


def service(node: dict[str, str]) -> str:
    """A node of Kiali's as a service's id."""
    name = node.get("app") or node.get("service") or node["workload"]
    namespace = node["namespace"]
    return name if namespace == "unknown" else f"{namespace}/{name}"


def expected_rates(case: dict[str, Any]) -> dict[Edge, tuple[float, float]]:
    """(source, target, protocol) → rate of calls (bytes, for tcp) and of errors."""
    rates: dict[Edge, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for edge in case["expected"]["edges"]:
        protocol, said = edge["traffic"]["protocol"], edge["traffic"]["rates"]
        found = rates[service(edge["source"]), service(edge["target"]), protocol]
        found[0] += float(said[protocol])
        found[1] += float(said.get("http5xx", 0)) + float(said.get("grpcErr", 0))
    return {edge: (rate, errors) for edge, (rate, errors) in rates.items()}


def test_edges_and_rates_are_those_of_kiali(shared_data: Path) -> None:
    checked = 0
    for case, file in cases(shared_data / "kiali_golden"):
        end_s, seconds = case["expected"]["timestamp"], case["expected"]["duration"]
        graph = imported_graph(file, end_s, seconds, times=2)  # a repeated import counts once
        found = {}
        for edge in graph.edges:
            evidence = edge.evidence.ipc
            count = evidence.calls or evidence.bytes_sent
            found[edge.source, edge.target, edge.protocol] = (count / seconds, evidence.errors / seconds)
        assert found == {edge: pytest.approx(rates, rel=1e-6) for edge, rates in expected_rates(case).items()}
        checked += 1
    assert checked


def test_cluster_is_an_attribute_of_the_service(shared_data: Path) -> None:
    file = shared_data / "kiali_golden" / "openmetrics_TestWorkloadNodeGraph.txt"
    (table, _), *_ = MetricsImport(Config()).tables(file, no_progress)
    attributes = dict(zip(table["target"].to_pylist(), map(dict, table["target_attributes"].to_pylist()), strict=True))
    assert attributes["bookinfo/details"] == {"cluster": "east"}
    assert attributes["unknown"] == {}
