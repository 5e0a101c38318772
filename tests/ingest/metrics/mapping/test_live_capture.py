"""Real scrapes of Envoy, HAProxy and gRPC programs that go up and down: the edges of layer `ipc` are the known ones."""

from __future__ import annotations

import io
import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard

from chronotope.ingest.identity.owners import Identities, Ownership
from chronotope.ingest.metrics.counters.columns import Samples
from chronotope.ingest.metrics.formats.exposition import ExpositionParser
from chronotope.ingest.metrics.mapping.pipeline import MetricsPipeline
from chronotope.schema.config.config import Config

MS = 1_000_000
# What the metrics call the kinds of the known edges.
PROTOCOLS = {"http": "http", "grpc": "grpc"}


@pytest.fixture(scope="module")
def folder(shared_data: Path) -> Path:
    return shared_data / "live_capture"


@pytest.fixture(scope="module")
def truth(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "truth.json").read_text())


def scrapes(folder: Path, pipeline: MetricsPipeline) -> Iterator[Samples]:
    """The samples of each scrape that was answered, with the labels that a Prometheus adds."""
    parsers: dict[str, ExpositionParser] = {}
    with (folder / "scrapes.jsonl.zst").open("rb") as file:
        for line in io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(file)):
            scrape = json.loads(line)
            url = scrape["url"]
            if url not in parsers:
                labels = {"job": scrape["target"], "instance": url.split("/")[2]}
                wanted = pipeline.rules.wanted
                parsers[url] = ExpositionParser(pipeline.table, target_labels=labels, wanted=wanted)
            if scrape["up"]:
                yield parsers[url].parse(scrape["body"].encode(), scrape["ts_ms"], complete=True)


def observe(
    folder: Path, truth: dict[str, Any]
) -> tuple[MetricsPipeline, dict[tuple[str, str, str, int], dict[str, int]]]:
    """Return the pipeline, and (source, target, protocol, reporter) → sums."""
    owners = Identities(
        [
            Ownership(one["ip"], one["service"], 0, "service", one["from_ns"] // MS, one["to_ns"] // MS)
            for one in truth["identities"]
        ]
    )
    pipeline = MetricsPipeline(Config(), lambda: owners)
    found: dict[tuple[str, str, str, int], dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for samples in scrapes(folder, pipeline):
        for table in pipeline.accept(samples):
            for row in table.to_pylist():
                sums = found[row["source"], row["target"], row["protocol"], row["reporter"]]
                for measure in ("calls", "errors", "latency_count", "latency_us_sum", "failed_connections"):
                    sums[measure] += row[measure]
    return pipeline, found


def test_edges_of_metrics_are_the_known_ones(folder: Path, truth: dict[str, Any]) -> None:
    expected = set()
    for edge in truth["edges"]:
        for witness in edge["visible_in"]:
            if witness.startswith("metrics"):
                # Metrics of the called side alone don't say who called.
                alone = "server side only" in witness or "haproxy frontend" in witness
                source = "unknown" if alone else edge["source"]
                expected.add((source, edge["target"], PROTOCOLS[edge["kind"]], 2 if alone else 1))
    _, found = observe(folder, truth)
    assert set(found) == expected


def test_calls_of_metrics_are_those_that_the_programs_counted(folder: Path, truth: dict[str, Any]) -> None:
    _, found = observe(folder, truth)
    # Envoy counted 1,027 calls in all and HAProxy 1,024: five of each before their first answer. Of the programs that
    # call payment, 20 calls were before an instance's first answer or after its last one.
    for edge, calls, errors in (
        (("edge-envoy", "frontend", "http", 1), 1022, 55),
        (("haproxy", "orders", "http", 1), 1019, 52),
        (("orders", "payment", "grpc", 1), 1004, 52),
    ):
        assert (found[edge]["calls"], found[edge]["errors"]) == (calls, errors)
    assert found["edge-envoy", "frontend", "http", 1]["latency_count"] == 1027
    assert found["edge-envoy", "frontend", "http", 1]["latency_us_sum"] == pytest.approx(39_527_438, rel=1e-3)
    assert found["haproxy", "orders", "http", 1]["failed_connections"] == 3


def test_calls_that_clients_and_servers_count_are_told_once(folder: Path, truth: dict[str, Any]) -> None:
    pipeline, found = observe(folder, truth)
    assert ("unknown", "payment", "grpc", 2) not in found
    assert pipeline.skipped["callers_are_named"] > 0
