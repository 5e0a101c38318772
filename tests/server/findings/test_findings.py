"""What layers should have seen and did not, on a small graph of known evidence, and on a real day."""

from __future__ import annotations

import csv
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard
from tests.e2e.process import chronotope

from chronotope.ingest.files.spans.formats import no_progress, read_batches
from chronotope.ingest.metrics.sources.files import MetricsImport
from chronotope.ingest.spans.columns import Vocabulary
from chronotope.ingest.spans.pairer import Pairer
from chronotope.schema.config.config import Config
from chronotope.schema.observations import observation_table
from chronotope.schema.storage.migrate import migrate
from chronotope.schema.storage.store import Store
from chronotope.server.api.app import create_app
from chronotope.server.evidence.settings import Settings

pytestmark = pytest.mark.slow

T0 = 1_700_006_400
DAY = "2022-08-22"


def findings(*rows: tuple[str, str, str, int], kinds: dict[str, str] | None = None) -> Any:
    """(type, source, target) of the findings of edges (layer, source, target, reporter)."""
    kinds = kinds or {}
    with Store.open("chdb://memory") as store:
        migrate(store)
        columns = {
            "time": [T0] * len(rows),
            "layer": [row[0] for row in rows],
            "source": [row[1] for row in rows],
            "target": [row[2] for row in rows],
            "reporter": [row[3] for row in rows],
            "source_kind": [kinds.get(row[1], "service") for row in rows],
            "target_kind": [kinds.get(row[2], "service") for row in rows],
            "calls": [0 if row[0] == "network" else 5 for row in rows],
            "bytes_sent": [100 if row[0] == "network" else 0 for row in rows],
            "protocol": "http",
        }
        store.insert("observations", observation_table(columns))
        client = create_app(store, Settings(clock=lambda: (T0 + 3600) * 1000)).test_client()
        answer = client.get(f"/api/v1/findings?from={T0}&to={T0 + 60}")
        assert answer.status_code == 200
        assert answer.headers["ETag"]
        assert all(one["reason"] for one in answer.json["findings"])
        return [(one["type"], one["edge"]["source"], one["edge"]["target"]) for one in answer.json["findings"]]


def test_edge_of_metrics_between_two_traced_services_was_never_traced() -> None:
    found = findings(("trace", "a", "b", 1), ("trace", "c", "d", 1), ("ipc", "a", "d", 1), ("ipc", "a", "b", 1))
    assert found == [("never_traced", "a", "d")]


def test_service_that_no_trace_ever_shows_is_no_finding() -> None:
    assert not findings(("trace", "a", "b", 1), ("ipc", "a", "b", 1), ("ipc", "a", "legacy", 1))


def test_caller_that_counts_other_calls_has_a_client_that_is_not_instrumented() -> None:
    found = findings(("ipc", "a", "b", 1), ("trace", "a", "b", 1), ("trace", "a", "c", 1), ("trace", "x", "y", 1))
    assert found == [("never_in_metrics", "a", "c")]


def test_edge_through_an_intermediary_is_seen() -> None:
    rows = [("network", "a", "lb", 1), ("network", "lb", "b", 1), ("trace", "a", "b", 1)]
    assert not findings(*rows, kinds={"lb": "intermediary"})
    assert findings(*rows) == [("never_in_network", "a", "b")]


def test_unknown_caller_is_a_finding() -> None:
    assert findings(("ipc", "unknown", "b", 2), kinds={"unknown": "unknown"}) == [("unknown_caller", "unknown", "b")]


def test_sources_count_wins_and_the_targets_is_used_where_the_source_is_silent() -> None:
    """The same calls, reported by both ends: one count."""
    with Store.open("chdb://memory") as store:
        migrate(store)
        calls = [("a", "b", 1, 10), ("a", "b", 2, 9), ("x", "b", 2, 4)]
        columns = {
            "time": [T0] * 3,
            "layer": "ipc",
            "source": [row[0] for row in calls],
            "target": [row[1] for row in calls],
            "reporter": [row[2] for row in calls],
            "calls": [row[3] for row in calls],
        }
        store.insert("observations", observation_table(columns))
        client = create_app(store, Settings(clock=lambda: (T0 + 3600) * 1000)).test_client()
        edges = client.get(f"/api/v1/graph?from={T0}&to={T0 + 60}").json["edges"]
    assert [(edge["source"], edge["evidence"]["ipc"]["calls"]) for edge in edges] == [("a", 10), ("x", 4)]


def mesh_metrics(folder: Path) -> Iterator[str]:
    """The mesh's own edges as counters. It kept latencies only: a minute that has one had a call at least."""
    with (folder / f"metrics_faults_{DAY}.tar.zst").open("rb") as file:
        stream = zstandard.ZstdDecompressor().stream_reader(file)
        with tarfile.open(fileobj=stream, mode="r|") as archive:
            for member in archive:
                if not member.name.endswith("/source_50.csv"):
                    continue
                content = archive.extractfile(member)
                assert content is not None
                rows = list(csv.DictReader(content.read().decode().splitlines()))
    for pair in [name for name in rows[0] if name not in ("time", "timestamp")]:
        source, target = pair.split("_")
        labels = f'reporter="source",source_workload="{source}",destination_workload="{target}",request_protocol="grpc"'
        minutes = {}
        for row in rows:
            minutes.setdefault(int(row["timestamp"]), row[pair])
        count = 0
        for at, latency in sorted(minutes.items()):
            count += latency not in ("", "NaN")
            yield f"istio_requests_total{{{labels}}} {count} {at}"
    yield "# EOF"


@pytest.fixture(scope="module")
def nezha(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Store, Path]]:
    """A real day: spans and the mesh's metrics in one store."""
    folder = shared_data / "nezha_onlineboutique"
    file = tmp_path_factory.mktemp("nezha") / "mesh.om"
    file.write_text("\n".join(mesh_metrics(folder)) + "\n")
    with Store.open("chdb://memory") as store:
        migrate(store)
        vocabulary = Vocabulary()
        pairer = Pairer(store, vocabulary)
        for batch in read_batches(folder / f"spans_{DAY}.parquet", "spans", vocabulary):
            pairer.accept(batch)
        for table, token in MetricsImport(Config()).tables(file, no_progress):
            store.insert("observations", table, token)
        yield store, folder


def test_traces_and_metrics_of_a_real_day_merge_to_all_edges_of_the_mesh(nezha: tuple[Store, Path]) -> None:
    store, folder = nezha
    with (folder / "dependency_istio_ob.csv").open() as file:
        known = {(row["Source"], row["Target"]) for row in csv.DictReader(file) if not row["Target"][0].isdigit()}
    client = create_app(store, Settings()).test_client()
    edges = {}
    for layers in ("ipc,trace", "ipc", "trace"):
        answer = client.get(f"/api/v1/graph?from={DAY}T00:00:00Z&to={DAY}T12:00:00Z&layers={layers}").json
        edges[layers] = {(edge["source"], edge["target"]) for edge in answer["edges"]}
    assert len(known) == 14
    assert edges["ipc,trace"] == edges["ipc"] == known
    assert known - edges["trace"] == {("checkoutservice", "currencyservice")}


def test_findings_of_a_real_day_name_the_call_that_loses_the_trace(nezha: tuple[Store, Path]) -> None:
    client = create_app(nezha[0], Settings()).test_client()
    answer = client.get(f"/api/v1/findings?from={DAY}T00:00:00Z&to={DAY}T12:00:00Z").json
    (finding,) = answer["findings"]
    assert finding["type"] == "never_traced"
    assert (finding["edge"]["source"], finding["edge"]["target"]) == ("checkoutservice", "currencyservice")
    assert finding["layers"] == ["ipc"]
    assert finding["missing"] == "trace"
    assert "does not pass the trace context" in finding["reason"]


def test_command_prints_what_the_route_answers(tmp_path: Path, shared_data: Path) -> None:
    store = ("--store", f"chdb://{tmp_path}/store")
    file = shared_data / "kiali_golden" / "openmetrics_TestWorkloadNodeGraph.txt"
    assert chronotope("import", str(file), "--input", "openmetrics", *store).returncode == 0
    window = ("--at", "1523364080", "--window", "10m")
    shown = chronotope("findings", *store, *window)
    assert shown.returncode == 0, shown.stderr
    assert "unknown_caller: unknown → bookinfo/productpage (http)" in shown.stdout
    answer = json.loads(chronotope("findings", *store, *window, "--format", "json").stdout)
    assert [finding["type"] for finding in answer["findings"]] == ["unknown_caller"]
