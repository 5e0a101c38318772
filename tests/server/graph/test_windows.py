"""Whatever the window, the counts are those of a dictionary that adds up the same observations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import UNSET

from chronotope.schema.observations import observation_table
from chronotope.schema.storage.migrate import migrate
from chronotope.schema.storage.store import Store
from chronotope.server.diff.reading import read_diff
from chronotope.server.evidence.levels import plan_window
from chronotope.server.evidence.lifetimes import read_lifetimes
from chronotope.server.evidence.question import Question
from chronotope.server.evidence.settings import KEEP_ALL, Settings
from chronotope.server.evidence.statement import counts_query
from chronotope.server.evidence.windows import put_together
from chronotope.server.graph.reading import read_graph

T0 = 1_700_006_400
DAYS = 3
ROWS = 4000


@pytest.fixture(scope="module")
def written() -> Iterator[tuple[Store, np.ndarray]]:
    """Rows of (time, source, target, calls), some of them corrections, over three days."""
    random = np.random.default_rng(7)
    rows = np.stack(
        [
            T0 + random.integers(0, DAYS * 8640, ROWS) * 10,
            random.integers(0, 4, ROWS),
            random.integers(4, 8, ROWS),
            random.integers(1, 100, ROWS),
        ],
        axis=1,
    )
    undone = rows[::10].copy()
    undone[:, 3] *= -1
    rows = np.concatenate([rows, undone])
    with Store.open("chdb://memory") as store:
        migrate(store)
        columns = {
            "time": rows[:, 0],
            "layer": "trace",
            "source": [f"s{n}" for n in rows[:, 1]],
            "target": [f"s{n}" for n in rows[:, 2]],
            "calls": rows[:, 3],
            "latency_us_sum": rows[:, 3] * 1000,
            "latency_count": rows[:, 3],
            "latency": [{int(n) % 200: int(n)} if n > 0 else {(-int(n)) % 200: int(n)} for n in rows[:, 3]],
        }
        store.insert("observations", observation_table(columns))
        yield store, rows


def calls_of(rows: np.ndarray, begin: int, end: int) -> dict[tuple[str, str], int]:
    """Add up the calls in [begin, end) by source and target; what is cancelled is not there."""
    found: Counter[tuple[str, str]] = Counter()
    for _, source, target, calls in rows[(rows[:, 0] >= begin) & (rows[:, 0] < end)].tolist():
        found[f"s{source}", f"s{target}"] += calls
    return {pair: calls for pair, calls in found.items() if calls}


@given(
    start=st.integers(-100, DAYS * 8640 + 100),
    length=st.one_of(st.integers(1, 60), st.integers(1, DAYS * 8640)),
    full=st.booleans(),
)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_window_of_tens_of_seconds_is_counted_exactly(
    written: tuple[Store, np.ndarray], start: int, length: int, full: bool
) -> None:
    store, rows = written
    begin, end = T0 + start * 10, T0 + (start + length) * 10
    expected = calls_of(rows, begin, end)
    question = Question(start_ms=begin * 1000, end_ms=end * 1000, full=full)
    graph = read_graph(store, Settings(), question, end * 1000).graph
    found = {(edge.source, edge.target): edge.evidence.trace.calls for edge in graph.edges}  # type: ignore[union-attr]
    assert found == expected
    for edge in graph.edges:
        latency = edge.evidence.trace.latency_ms  # type: ignore[union-attr]
        assert latency.mean == pytest.approx(1.0)
        assert isinstance(latency.p50, float) == full


@given(
    starts=st.tuples(st.integers(-100, DAYS * 8640), st.one_of(st.integers(-30, 30), st.integers(-8640, 8640))),
    length=st.one_of(st.integers(1, 60), st.integers(1, 8640)),
    full=st.booleans(),
)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_both_windows_of_a_diff_are_counted_exactly_also_where_they_overlap(
    written: tuple[Store, np.ndarray], starts: tuple[int, int], length: int, full: bool
) -> None:
    store, rows = written
    windows = [(T0 + start * 10, T0 + (start + length) * 10) for start in (starts[0], starts[0] + starts[1])]
    before, after = (Question(start_ms=begin * 1000, end_ms=end * 1000, full=full) for begin, end in windows)
    found, _ = read_diff(
        store, Settings(), (before, after), (T0 + DAYS * 86_400) * 1000, significance=0.01, unchanged=True
    )
    for side, (begin, end) in zip(("before", "after"), windows, strict=True):
        evidence = {(edge.source, edge.target): getattr(edge, side).trace for edge in found.edges}
        calls = {pair: own.calls for pair, own in evidence.items() if own is not UNSET}
        assert calls == calls_of(rows, begin, end)


def test_an_edge_that_comes_between_two_queries_is_read(store: Store) -> None:
    """Its evidence may be seen by one query, and its lifetime not by another that began earlier."""
    row = {"time": [T0], "layer": "trace", "protocol": "grpc", "calls": [3], "source": "old"}
    store.insert("observations", observation_table({**row, "target": "a"}))
    lifetimes = read_lifetimes(store)
    store.insert("observations", observation_table({**row, "target": "b"}))
    question = Question(start_ms=T0 * 1000, end_ms=(T0 + 10) * 1000)
    plan = plan_window(question.start_ms, question.end_ms, KEEP_ALL, question.end_ms)
    counts = store.query(*counts_query([plan], question))
    columns = put_together(store, [plan], question, counts, lifetimes, None).columns[0]
    assert [columns.names[target] for target in columns.target.tolist()] == ["a", "b"]
    assert columns.layers["trace"].measures["calls"].tolist() == [3, 3]
