"""Pairs of Prometheus servers that scrape the same targets count once."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from chronotope.ingest.metrics.counters.columns import Samples, SeriesTable
from chronotope.ingest.metrics.counters.increases import Counters
from chronotope.ingest.metrics.sources.replicas import Replicas

S = 1000


def samples_of(table: SeriesTable, *rows: tuple[str, int, float]) -> Samples:
    """Return samples of a counter as (replica or "", seconds, value)."""
    codes = [
        table.code("calls_total", (("replica", replica), ("to", "b")) if replica else (("to", "b"),))
        for replica, *_ in rows
    ]
    times = [second * S for _, second, _ in rows]
    return Samples(np.array(codes, np.int32), np.array(times, np.int64), np.array([row[2] for row in rows], np.float64))


def test_of_two_replicas_one_is_used() -> None:
    table = SeriesTable()
    replicas = Replicas(table, "replica")
    rows = [("a", 0, 1.0), ("a", 15, 2.0), ("b", 1, 1.0), ("b", 16, 3.0)]
    samples = replicas.deduplicate(samples_of(table, *rows))
    assert samples.value.tolist() == [1.0, 2.0]
    assert table.labels[int(samples.series[0])] == {"to": "b"}
    assert replicas.dropped == 2


def test_the_other_replica_takes_over_when_one_is_silent() -> None:
    table = SeriesTable()
    replicas, counters = Replicas(table, "replica", silence_ms=30 * S), Counters(table)
    rows = [("a", 0, 10.0), ("b", 5, 12.0), ("b", 20, 14.0), ("b", 35, 16.0), ("b", 50, 18.0), ("a", 55, 19.0)]
    increases = counters.add(replicas.deduplicate(samples_of(table, *rows)))
    assert increases.increase.tolist() == [6.0, 2.0]
    assert increases.end_ms.tolist() == [35 * S, 50 * S]


def test_a_series_without_the_label_is_a_replica_too() -> None:
    table = SeriesTable()
    samples = Replicas(table, "replica").deduplicate(samples_of(table, ("", 0, 1.0), ("a", 1, 1.0), ("", 15, 2.0)))
    assert samples.value.tolist() == [1.0, 2.0]


def test_a_series_that_nobody_repeats_passes() -> None:
    table = SeriesTable()
    samples = Replicas(table, "replica").deduplicate(samples_of(table, ("", 0, 1.0), ("", 15, 2.0)))
    assert samples.series.tolist() == [0, 0]


def test_without_room_for_the_common_series_nothing_counts_twice() -> None:
    table = SeriesTable(max_series=2)
    samples = Replicas(table, "replica").deduplicate(samples_of(table, ("a", 0, 1.0), ("b", 0, 1.0)))
    assert len(samples) == 0


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.integers(1, 50), st.integers(0, 5), st.booleans()), max_size=40),
    st.integers(0, 60),
)
def test_two_replicas_never_count_more_than_happened(steps: list[tuple[str, int, int, bool]], silence_s: int) -> None:
    table = SeriesTable()
    replicas, counters = Replicas(table, "replica", silence_ms=silence_s * S), Counters(table)
    second, value, counted, first = 0, 0, 0.0, None
    waiting: list[tuple[str, int, float]] = []
    for replica, wait, calls, together in steps:
        second += wait
        value += calls
        first = value if first is None else first
        waiting.append((replica, second, float(value)))
        if not together:
            counted += float(counters.add(replicas.deduplicate(samples_of(table, *waiting))).increase.sum())
            waiting.clear()
    assert counted <= value - (first or 0)
