"""Files of metrics to observations: what waits in memory does not grow with the file, and nothing is lost by it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest

from chronotope.ingest.metrics.sources import files
from chronotope.ingest.metrics.sources.files import MetricsImport
from chronotope.schema.config.config import Config

START_S, POINTS, LES = 1_700_000_000, 40, ("5", "50", "+Inf")


def write_file(path: Path, instances: int) -> int:
    """Write a file, series after series, of two edges that many instances tell of; return how many calls it has."""
    lines, calls = [], 0
    for suffix, les in (("bucket", LES), ("count", ("",))):
        for le in les:
            for instance in range(instances):
                for code in ("200", "500"):
                    labels = (
                        f'destination_workload="cart",response_code="{code}",source_workload="front",reporter="source"'
                    )
                    labels += f',pod="p{instance}",request_protocol="http"' + (f',le="{le}"' if le else "")
                    rate = {"5": 1, "50": 2}.get(le, 4)
                    for point in range(POINTS):
                        second = START_S + 15 * point + instance % 15
                        name = f"istio_request_duration_milliseconds_{suffix}"
                        lines.append(f"{name}{{{labels}}} {rate * point} {second}")
                        if suffix == "count":
                            lines.append(f"istio_requests_total{{{labels}}} {rate * point} {second}")
                    calls += rate * (POINTS - 1) if suffix == "count" else 0
    path.write_text("\n".join([*lines, "# EOF", ""]))
    return calls


def read(path: Path) -> tuple[Counter[str], int, list[pa.Table]]:
    """Return what a file's observations add up to, the most increases that waited, and the tables."""
    loading, sums, most = MetricsImport(Config()), Counter[str](), 0

    def on_progress(*_: int) -> None:
        nonlocal most
        most = max(most, loading.held)

    tables = [table for table, _ in loading.tables(path, on_progress)]
    for row in (row for table in tables for row in table.to_pylist()):
        sums += Counter({name: row[name] for name in ("calls", "errors", "latency_count")})
        sums["latencies"] += sum(count for _, count in row["latency"])
        for bucket, count in row["latency"]:
            sums["to 5 ms" if bucket <= 90 else "to 50 ms" if bucket <= 114 else "above"] += count
    return sums, max(most, loading.held), tables


@pytest.mark.parametrize("instances", [4, 40])
def test_what_waits_is_bounded_by_edges_and_time(
    instances: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = write_file(tmp_path / "file.om", instances)
    plain, most_plain, _ = read(tmp_path / "file.om")
    monkeypatch.setattr(files, "MOST_WAITING", 100)
    monkeypatch.setattr("chronotope.ingest.metrics.formats.exposition.BLOCK_ROWS", 64)
    folded, most, tables = read(tmp_path / "file.om")
    places = ("to 5 ms", "to 50 ms", "above")  # of single calls within a bucket nobody knows the place
    assert [folded.pop(place, 0) for place in places] == pytest.approx([plain.pop(place, 0) for place in places], 0.05)
    assert folded == plain
    assert plain["calls"] == plain["latencies"] == calls
    assert plain["errors"] == calls / 2
    assert most_plain == 10 * instances * (POINTS - 1)
    # Series that say different things × steps × phases of the scrapes, whatever the number of instances.
    assert most <= 10 * (POINTS + 2) * 1.5 * 2 + 100 + 64
    assert tables[0].schema == read(tmp_path / "file.om")[2][0].schema


def test_a_file_that_is_read_again_has_the_same_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_file(tmp_path / "file.om", 5)
    monkeypatch.setattr(files, "MOST_WAITING", 100)
    first, second = (
        [token for _, token in MetricsImport(Config()).tables(tmp_path / "file.om", _ignore)] for _ in "ab"
    )
    assert first == second


def _ignore(*_: int) -> None:
    """Show no progress."""
