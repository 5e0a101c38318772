"""A real day (Nezha): the events of its spans and of its mesh's metrics are those that the data's own minutes show.

The day holds 63 minutes of spans with holes of up to 41 minutes between them, in which nothing was recorded, and twenty
hours of the mesh's metrics, in which edges fall silent for up to three minutes.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.server.findings.test_findings import DAY, mesh_metrics

from chronotope.ingest.files.spans.formats import no_progress, read_batches
from chronotope.ingest.metrics.sources.files import MetricsImport
from chronotope.ingest.spans.columns import SpanBatch, Vocabulary, join_batches
from chronotope.ingest.spans.pairer import Pairer
from chronotope.schema.config.config import Config
from chronotope.schema.config.events import EventsSection
from chronotope.schema.storage.migrate import migrate
from chronotope.schema.storage.store import Store
from chronotope.server.detection.watcher import find_events
from chronotope.server.events.event import NEW, RETURNED, VANISHED, Event
from chronotope.server.events.table import read_events

pytestmark = pytest.mark.slow

MINUTE_S = 60
FALSE_A_DAY = EventsSection().false_alarms
NOW_MS = 1_700_000_000_000

Calls = dict[tuple[str, str], dict[int, int]]  # edge → minute (Unix seconds) → calls
Told = tuple[str, str, str, int]  # type, source, target, minute
CUT = ("recommendationservice", 1_661_140_320 + 43 * 60, 1_661_140_320 + 182 * 60)


@pytest.fixture(scope="module")
def folder(shared_data: Path) -> Path:
    return shared_data / "nezha_onlineboutique"


@pytest.fixture(scope="module")
def day(folder: Path) -> tuple[Vocabulary, np.ndarray]:
    vocabulary = Vocabulary()
    return vocabulary, join_batches(list(read_batches(folder / f"spans_{DAY}.parquet", "spans", vocabulary))).rows


@pytest.fixture(scope="module")
def truth(folder: Path) -> Calls:
    """The calls of each minute, as counted from the parents of spans when the data was put together."""
    found: Calls = {}
    with (folder / f"truth_edges_per_minute_ob_{DAY}.csv").open() as file:
        for row in csv.DictReader(file):
            found.setdefault((row["source"], row["target"]), {})[int(row["minute"])] = int(row["calls"])
    return found


def derived(calls: Calls, *, clumps: bool = False) -> list[tuple[Told, int]]:
    """Events by the plainest rule, and the minute by whose end each could be known.

    Only minutes in which something was recorded count. An edge that is first seen after the first of them is new; it
    has vanished when the silence is so long that a Poisson process of its rate has it less than FALSE_A_DAY times a
    day; `clumps`: a process of clumps as large as the variance of its minutes says, which is the most cautious reading.
    """
    minutes = sorted(set().union(*calls.values()))
    found: list[tuple[Told, int]] = []
    for (source, target), own in calls.items():
        seen = [number for number, minute in enumerate(minutes) if minute in own]
        if seen[0] > 0:
            found.append(((NEW, source, target, minutes[seen[0]]), minutes[seen[0]]))
        for last, following in zip(seen, [*seen[1:], len(minutes)], strict=True):
            past = np.array([own.get(minute, 0) for minute in minutes[seen[0] : last + 1]])
            rate, clump = past.mean(), max(past.var() / past.mean(), 1.0) if clumps else 1.0
            silence = math.ceil(clump * math.log(max(rate * 1440 / FALSE_A_DAY, math.e)) / rate)
            if last + silence < following and last + silence < len(minutes):
                found.append(((VANISHED, source, target, minutes[last]), minutes[last + silence]))
                if following < len(minutes):
                    found.append(((RETURNED, source, target, minutes[following]), minutes[following]))
    return sorted(found)


def told(store: Store) -> list[tuple[Told, int]]:
    """The events of a store: those that vanished under the minute of their last call."""
    find_events(store, EventsSection(), lambda: NOW_MS)
    return sorted(map(_minutes, read_events(store, 0, NOW_MS)))


def _minutes(event: Event) -> tuple[Told, int]:
    assert event.edge is not None
    at = event.time_ms // 1000 - (1 if event.type == VANISHED else 0)
    evident = (event.evident_ms // 1000 - 1) // MINUTE_S * MINUTE_S
    return (event.type, event.edge.source, event.edge.target, at // MINUTE_S * MINUTE_S), evident


def stored(day: tuple[Vocabulary, np.ndarray], kept: np.ndarray) -> Iterator[Store]:
    vocabulary, rows = day
    with Store.open("chdb://memory") as store:
        migrate(store)
        pairer = Pairer(store, vocabulary)
        for start in range(0, int(kept.sum()), 200_000):
            pairer.accept(SpanBatch(rows[kept][start : start + 200_000].copy()))
        yield store


def test_holes_in_which_nothing_was_recorded_are_no_events(day: Any, truth: Calls) -> None:
    """Every edge is there from the first minute on, and `emailservice` misses one."""
    assert derived(truth) == []
    for store in stored(day, np.ones(len(day[1]), bool)):
        assert told(store) == []


def test_a_service_that_was_there_for_a_part_of_the_day_is_told_within_a_minute(day: Any, truth: Calls) -> None:
    """The real spans of one service are left out before one minute and after another, all others stay."""
    vocabulary, rows = day
    service, begin_s, end_s = CUT
    own = rows["service"] == vocabulary.service(service)
    kept = ~own | ((rows["start_ns"] >= begin_s * 10**9) & (rows["start_ns"] < end_s * 10**9))
    shorter = {
        edge: {minute: count for minute, count in own.items() if service not in edge or begin_s <= minute < end_s}
        for edge, own in truth.items()
    }
    wanted = derived(shorter)
    ends = [("frontend", service), (service, "productcatalogservice")]
    assert [event[:3] for event, _ in wanted] == [(kind, *pair) for kind in (NEW, VANISHED) for pair in ends]
    minutes = sorted(set().union(*truth.values()))
    for store in stored(day, kept):
        found = told(store)
        assert [event for event, _ in found] == [event for event, _ in wanted]
        cautious = [minutes.index(knowable) for _, knowable in derived(shorter, clumps=True)]
        for (event, evident), (_, knowable), latest in zip(found, wanted, cautious, strict=True):
            assert minutes.index(knowable) <= minutes.index(evident) <= latest + 1, event


def test_short_silences_of_the_mesh_are_no_events(folder: Path, tmp_path: Path) -> None:
    """The mesh kept latencies only, so a minute has one call at least: three silent ones are no proof."""
    file = tmp_path / "mesh.om"
    lines = list(mesh_metrics(folder))
    file.write_text("\n".join(lines) + "\n")
    with Store.open("chdb://memory") as store:
        migrate(store)
        for table, token in MetricsImport(Config()).tables(file, no_progress):
            store.insert("observations", table, token)
        rows = store.rows(
            "SELECT source, target, toUnixTimestamp(time) AS minute, sum(calls) FROM edges_1m GROUP BY ALL"
        )
        calls: Calls = {}
        for source, target, minute, count in rows:
            calls.setdefault((source, target), {})[int(minute)] = int(count)
        assert len(calls) == 14
        assert sum(len(own) for own in calls.values()) < 14 * max(map(len, calls.values())), "some are silent"
        assert derived(calls) == []
        assert told(store) == []
