"""Whatever the window, the counts are those of a dictionary that adds up the same observations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chronotope.schema.migrate import migrate
from chronotope.schema.observations import observation_table
from chronotope.schema.store import Store
from chronotope.server.graph.question import Question
from chronotope.server.graph.reading import read_graph
from chronotope.server.settings import Settings

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
    inside = rows[(rows[:, 0] >= begin) & (rows[:, 0] < end)]
    expected: Counter[tuple[str, str]] = Counter()
    for _, source, target, calls in inside.tolist():
        expected[f"s{source}", f"s{target}"] += calls
    question = Question(start_ms=begin * 1000, end_ms=end * 1000, full=full)
    graph = read_graph(store, Settings(), question, end * 1000).graph
    found = {(edge.source, edge.target): edge.evidence.trace.calls for edge in graph.edges}  # type: ignore[union-attr]
    assert found == {pair: calls for pair, calls in expected.items() if calls}
    for edge in graph.edges:
        latency = edge.evidence.trace.latency_ms  # type: ignore[union-attr]
        assert latency.mean == pytest.approx(1.0)
        assert isinstance(latency.p50, float) == full
