"""Scrapes of real programs that go up and down, to increases: held to sums by hand."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
import zstandard
from prometheus_client.parser import text_string_to_metric_families
from tests.ingest.metrics.sources.saved_counters import SavedCounters

from chronotope.ingest.metrics.counters.columns import SeriesTable
from chronotope.ingest.metrics.counters.families import BUCKET
from chronotope.ingest.metrics.counters.histograms import latency_increases
from chronotope.ingest.metrics.counters.increases import Counters
from chronotope.ingest.metrics.formats.exposition import ExpositionParser

WANTED = ("grpc_client_handled_total", "grpc_server_handled_total", "envoy_cluster_upstream_rq_total")


@pytest.fixture(scope="module")
def scrapes(shared_data: Path) -> list[dict[str, Any]]:
    with (shared_data / "live_capture" / "scrapes.jsonl.zst").open("rb") as packed:
        return [json.loads(line) for line in io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(packed))]


def by_hand(scrapes: list[dict[str, Any]], restart_every: int) -> dict[tuple[str, str], float]:
    """Return the sums of all differences by target and metric, by prometheus_client and a loop.

    What a counter had counted when it was first seen is in it when its `_created` says that it began while we watched,
    or when its target's last answer did not have it.
    """
    answered: dict[str, int] = {}
    last: dict[tuple[str, ...], tuple[int, float]] = {}
    sums: dict[tuple[str, str], float] = {}
    for number, scrape in enumerate(scrapes):
        if restart_every and number % restart_every == 0:
            answered = {}
        families = text_string_to_metric_families(scrape["body"]) if scrape["up"] else ()
        samples = {
            (sample.name, *map(str, sorted(sample.labels.items()))): sample
            for family in families
            for sample in family.samples
        }
        for identity, sample in samples.items():
            if sample.name in WANTED:
                key = (scrape["target"], *identity)
                before = last.get(key)
                last[key] = (scrape["ts_ms"], sample.value)
                created = samples.get((sample.name.removesuffix("_total") + "_created", *identity[1:]))
                if before is None and created is not None and created.value * 1000 > scrapes[0]["ts_ms"]:
                    before = (scrape["ts_ms"], 0.0)
                elif before is None and created is None and scrape["target"] in answered:
                    before = (answered[scrape["target"]], 0.0)
                if before is not None and scrape["ts_ms"] - before[0] <= 300_000:
                    added = sample.value - before[1] if sample.value >= before[1] else sample.value
                    sums[key[:2]] = sums.get(key[:2], 0.0) + added
        if scrape["up"]:
            answered[scrape["target"]] = scrape["ts_ms"]
    return sums


@pytest.mark.parametrize("restart_every", [0, 20])
def test_targets_that_go_up_and_down_count_as_by_hand(scrapes: list[dict[str, Any]], restart_every: int) -> None:
    """Whether the collector is restarted now and then or not."""
    names = {name.removesuffix("_total") for name in WANTED} | set(WANTED)
    saved, table, parsers, sums = SavedCounters(), SeriesTable(), {}, {}
    counters = Counters(table, since_ms=scrapes[0]["ts_ms"])
    for number, scrape in enumerate(scrapes):
        if restart_every and number % restart_every == 0:
            saved.save(counters, table)
            table, parsers = SeriesTable(), {}
            counters = Counters(table, since_ms=counters.since_ms)
            counters.remembered = saved.load()
        if not scrape["up"]:
            continue
        target = scrape["target"]
        if target not in parsers:
            parsers[target] = ExpositionParser(table, target_labels={"job": target}, wanted=names.__contains__)
        samples = parsers[target].parse(scrape["body"].encode(), scrape["ts_ms"], complete=True)
        increases = counters.add(samples)
        for code, increase in zip(increases.series.tolist(), increases.increase.tolist(), strict=True):
            key = (table.labels[code]["job"], table.names[code].removesuffix("_total") + "_total")
            sums[key] = sums.get(key, 0.0) + increase
    assert sums == {key: total for key, total in by_hand(scrapes, restart_every).items() if total}
    assert len(sums) >= 4


def test_real_histograms_give_as_many_latencies_as_calls(scrapes: list[dict[str, Any]]) -> None:
    table = SeriesTable()
    counters, latencies, calls = Counters(table), 0, 0.0
    parser = ExpositionParser(table, wanted=lambda name: name.startswith("envoy_cluster_upstream_rq_time"))
    for scrape in scrapes:
        if scrape["target"] == "edge-envoy" and scrape["up"]:
            increases = counters.add(parser.parse(scrape["body"].encode(), scrape["ts_ms"]))
            assert (counters.families.role == BUCKET).any()
            latencies += int(latency_increases(increases, counters.families, unit_s=0.001).count.sum())
            calls += sum(
                increase
                for code, increase in zip(increases.series.tolist(), increases.increase.tolist(), strict=True)
                if table.names[code].endswith("_count")
            )
    assert latencies == calls > 100
