"""One machine drives a real store on disk and a dictionary with the same deeds; they must always agree.

Hypothesis leaves rules out at random, and so short a run may leave out what matters. Every run therefore ends by
repeating all its inserts, opening the store again and asking everything.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from chronotope.schema.names import edge_id
from chronotope.schema.observations import observation_table
from chronotope.schema.storage.migrate import migrate
from chronotope.schema.storage.store import Store

pytestmark = pytest.mark.slow

START = 1_700_000_000 // 86400 * 86400
LEVELS = {"edges_10s": 10, "edges_1m": 60, "edges_1h": 3600, "edges_1d": 86400, "edge_hours": 3600}
LATENCIES = {"latency_10s": 10, "latency_1m": 60, "latency_1h": 3600, "latency_1d": 86400}

names = st.sampled_from(["a", "b", "ü'\\", "db"])
edges = st.tuples(names, names, st.sampled_from(["http", "sql"]), st.sampled_from(["trace", "ipc"]))
Edge = tuple[str, str, str, str]


@dataclass(frozen=True)
class Row:
    """One observation of the model."""

    edge: Edge
    time: int
    late_ms: int
    calls: int
    errors: int
    latency: tuple[tuple[int, int], ...]

    def negative(self) -> Row:
        """Return the correction that takes this row back."""
        undone = tuple((bucket, -count) for bucket, count in self.latency)
        return Row(self.edge, self.time, self.late_ms, -self.calls, -self.errors, undone)


# A few buckets around the borders of minute, hour, day, month and year, so that they meet.
times = st.builds(
    lambda base, step: START + base + step * 10,
    st.sampled_from([0, 3600, 86400, 30 * 86400, 400 * 86400]),
    st.integers(-8, 8),
)
histograms = st.dictionaries(st.sampled_from([0, 1, 100, 255]), st.integers(1, 9), max_size=3)
rows = st.builds(
    Row,
    edges,
    times,
    st.integers(0, 9999),
    st.integers(0, 1000),
    st.integers(0, 5),
    histograms.map(lambda found: tuple(sorted(found.items()))),
)
batches = st.lists(rows, min_size=1, max_size=6)


def columns_of(batch: list[Row]) -> dict[str, Any]:
    """Return a batch as the columns of the table `observations`."""
    source, target, protocol, layer = (list(part) for part in zip(*(row.edge for row in batch), strict=True))
    return {
        "time": [row.time for row in batch],
        "first_at": [row.time * 1000 + row.late_ms for row in batch],
        "last_at": [row.time * 1000 + row.late_ms for row in batch],
        "source": source,
        "target": target,
        "protocol": protocol,
        "layer": layer,
        "calls": [row.calls for row in batch],
        "errors": [row.errors for row in batch],
        "latency": [list(row.latency) for row in batch],
    }


class StoreMachine(RuleBasedStateMachine):
    """A store in a folder of its own, and what it should hold."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="chronotope-machine-"))
        self.url = f"chdb://{self.folder / 'store'}"
        self.store = Store.open(self.url)
        self.rows: list[Row] = []
        self.inserted: list[list[Row]] = []

    @initialize(batch=batches)
    def begin(self, batch: list[Row]) -> None:
        migrate(self.store)
        self.insert(batch, again=False)

    def teardown(self) -> None:
        try:
            self._ask_everything_of_a_store_opened_again()
        finally:
            self.store.close()
            shutil.rmtree(self.folder)

    def _ask_everything_of_a_store_opened_again(self) -> None:
        self.close_and_open()
        self.migrate_again()
        for number in range(len(self.inserted)):
            self._insert(number)
        for level in LEVELS:
            self.ask_for_a_window(level, (START - 86400, START + 401 * 86400))
        for level in LATENCIES:
            self.ask_for_latencies(level)
        self.ask_for_lifetimes()
        self.ask_for_services()

    def _insert(self, number: int) -> None:
        self.store.insert("observations", observation_table(columns_of(self.inserted[number])), token=f"batch-{number}")

    @rule(batch=batches, again=st.booleans())
    def insert(self, batch: list[Row], again: bool) -> None:
        self.inserted.append(batch)
        self.rows += batch
        self._insert(len(self.inserted) - 1)
        if again:
            self.insert_again_with_the_same_token(len(self.inserted) - 1)

    @rule(which=st.integers(0, 100))
    def insert_again_with_the_same_token(self, which: int) -> None:
        self._insert(which % len(self.inserted))

    @rule(which=st.integers(0, 100))
    def take_back(self, which: int) -> None:
        self.insert([self.rows[which % len(self.rows)].negative()], again=False)

    @rule(table=st.sampled_from([*LEVELS, *LATENCIES, "edge_lifetimes", "services"]))
    def merge(self, table: str) -> None:
        self.store.command(f"OPTIMIZE TABLE {table} FINAL")

    @rule()
    def migrate_again(self) -> None:
        assert migrate(self.store) == []

    @rule()
    def close_and_open(self) -> None:
        self.store.close()
        self.store = Store.open(self.url)

    @rule(level=st.sampled_from(list(LEVELS)), bounds=st.tuples(times, times))
    def ask_for_a_window(self, level: str, bounds: tuple[int, int]) -> None:
        """On borders of the level's buckets, so that it answers exactly."""
        width = LEVELS[level]
        since, until = min(bounds) // width * width, max(bounds) // width * width + width
        found = self.store.rows(
            f"SELECT source, target, protocol, layer, sum(calls), sum(errors) FROM {level} "
            "WHERE time >= toDateTime({since:UInt32}, 'UTC') AND time < toDateTime({until:UInt32}, 'UTC') GROUP BY ALL",
            {"since": since, "until": until},
        )
        calls: Counter[Edge] = Counter()
        errors: Counter[Edge] = Counter()
        for row in self.rows:
            if since <= row.time < until:
                calls[row.edge] += row.calls
                errors[row.edge] += row.errors
        assert {row[:4]: row[4:] for row in found} == {edge: (calls[edge], errors[edge]) for edge in calls}

    @rule(level=st.sampled_from(list(LATENCIES)))
    def ask_for_latencies(self, level: str) -> None:
        width = LATENCIES[level]
        expected: Counter[tuple[Any, ...]] = Counter()
        for row in self.rows:
            for bucket, count in row.latency:
                expected[(row.time // width * width, *row.edge, bucket)] += count
        found = self.store.rows(
            f"SELECT toUnixTimestamp(time), source, target, protocol, layer, sumMap(latency) FROM {level} GROUP BY ALL"
        )
        counted = {(*row[:5], bucket): count for row in found for bucket, count in row[5].items() if count}
        assert counted == {key: count for key, count in expected.items() if count}

    @rule()
    def ask_for_lifetimes(self) -> None:
        seen: dict[Edge, list[int]] = {}
        for row in self.rows:
            if row.calls > 0:
                seen.setdefault(row.edge, []).append(row.time * 1000 + row.late_ms)
        found = self.store.rows(
            "SELECT source, target, protocol, layer, any(id), toUnixTimestamp64Milli(min(first_seen)), "
            "toUnixTimestamp64Milli(max(last_seen)) FROM edge_lifetimes GROUP BY source, target, protocol, layer"
        )
        assert {row[:4]: row[4:] for row in found} == {
            edge: (edge_id(*edge[:3]), min(moments), max(moments)) for edge, moments in seen.items()
        }

    @rule()
    def ask_for_services(self) -> None:
        found = self.store.rows("SELECT DISTINCT service, layer FROM services")
        live = [row.edge for row in self.rows if row.calls > 0]
        assert set(found) == {(end, edge[3]) for edge in live for end in edge[:2]}

    @invariant()
    def all_levels_hold_the_same_calls(self) -> None:
        sums = " UNION ALL ".join(f"SELECT sum(calls) AS calls FROM {level}" for level in LEVELS)
        assert set(self.store.rows(sums)) == {(sum(row.calls for row in self.rows),)}


StoreMachine.TestCase.settings = settings(
    max_examples=5,
    stateful_step_count=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
TestStoreMachine = StoreMachine.TestCase
