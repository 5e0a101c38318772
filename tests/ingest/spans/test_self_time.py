"""Own time of services and time between caller and callee, from spans."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronotope.ingest.spans.columns import CONSUMER, INTERNAL, UNSPECIFIED, SpanBatch
from chronotope.ingest.spans.pairer import Pairer
from chronotope.ingest.spans.pairing import calls_of
from chronotope.schema.observations import INSIDE
from tests.ingest.spans.building import MS, Scene, client


def self_times(scene, *rows):
    """{service: [own ms…], (caller, callee): [ms between…]}"""
    found: dict[object, list[float]] = {}
    nodes = scene.vocabulary.nodes
    for row in calls_of(np.concatenate(rows), scene.rules).self_times:
        ends = nodes[row["source"]].id, nodes[row["target"]].id
        assert row["view"] == INSIDE
        found.setdefault(ends[0] if ends[0] == ends[1] else ends, []).append(int(row["latency_ns"]) / MS)
    return {key: sorted(values) for key, values in found.items()}


def test_own_time_is_without_the_time_of_callees():
    s = Scene()
    rows = [s.span("a", 1, took_ms=100), client(s, "a", 2, 1, at_ms=10, took_ms=60)]
    rows.append(s.span("b", 3, 2, at_ms=20, took_ms=45))
    assert self_times(s, *rows) == {"a": [40.0], "b": [45.0], ("a", "b"): [15.0]}


def test_calls_at_the_same_time_are_waited_for_once():
    s = Scene()
    rows = [s.span("a", 1, took_ms=100), client(s, "a", 2, 1, at_ms=10, took_ms=50)]
    rows.append(client(s, "a", 3, 1, at_ms=20, took_ms=60))
    assert self_times(s, *rows) == {"a": [30.0]}, "10 to 80 ms, though the two took 110"


def test_a_call_inside_another_is_not_waited_for_twice():
    s = Scene()
    rows = [s.span("a", 1, took_ms=100), client(s, "a", 2, 1, took_ms=90), client(s, "a", 3, 2, at_ms=5, took_ms=10)]
    assert self_times(s, *rows)["a"] == [10.0]


def test_spans_without_kinds_have_both_when_the_caller_says_when_it_waited():
    s = Scene()
    kinds = {"kind": UNSPECIFIED}
    rows = [s.span("a", 1, took_ms=100, **kinds), s.span("a", 2, 1, took_ms=60, **kinds)]
    rows.append(s.span("b", 3, 2, took_ms=45, **kinds))
    assert self_times(s, *rows) == {"a": [40.0], "b": [45.0], ("a", "b"): [15.0]}
    rows.append(s.span("a", 4, 2, took_ms=1, **kinds))
    assert self_times(s, *rows) == {"a": [55.0], "b": [45.0]}, "a span that does more than wait is no client span"


def test_internal_spans_belong_to_the_request_they_are_in():
    s = Scene()
    rows = [s.span("a", 1, took_ms=100), s.span("a", 2, 1, kind=INTERNAL, took_ms=80)]
    rows.append(client(s, "a", 3, 2, at_ms=10, took_ms=60))
    assert self_times(s, *rows) == {"a": [40.0]}


def test_what_a_service_sends_and_does_not_wait_for_is_its_own_time():
    s = Scene()
    rows = [s.span("a", 1, took_ms=100), s.span("b", 2, 1, kind=CONSUMER, took_ms=500)]
    assert self_times(s, *rows) == {"a": [100.0], "b": [500.0]}


def test_a_span_whose_parent_has_not_come_may_be_anywhere_in_its_service():
    s = Scene()
    assert self_times(s, s.span("a", 2, 1, kind=INTERNAL)) == {}
    assert self_times(s, s.span("a", 2, 1)) == {"a": [10.0]}, "a server span is where a request comes in"


def test_a_callee_whose_clock_is_ahead_was_still_waited_for():
    s = Scene()
    rows = [s.span("a", 1, took_ms=100), s.span("b", 2, 1, at_ms=5_000, took_ms=30)]
    assert self_times(s, *rows) == {"a": [70.0], "b": [30.0]}


@given(st.data())
def test_own_time_is_what_is_left_of_a_request(data):
    """Against a set of milliseconds; calls may overlap and outlive the request."""
    s = Scene()
    took = data.draw(st.integers(1, 40))
    waits = data.draw(st.lists(st.tuples(st.integers(-5, 50), st.integers(1, 30)), max_size=5))
    rows = [s.span("a", 1, took_ms=took)]
    for number, (at, length) in enumerate(waits):
        rows.append(client(s, "a", 10 + number, 1, at_ms=at, took_ms=length))
    free = set(range(took)) - {ms for at, length in waits for ms in range(at, at + length)}
    order = data.draw(st.permutations(rows))
    assert self_times(s, *order) == {"a": [float(len(free))]}


@pytest.mark.parametrize("size", [1, 2, 5])
def test_the_sums_in_the_store_do_not_depend_on_batches(store, size):
    s = Scene()
    rows = [s.span("a", 1, took_ms=100), client(s, "a", 2, 1, at_ms=10, took_ms=60)]
    rows += [s.span("b", 3, 2, at_ms=20, took_ms=45), client(s, "b", 4, 3, at_ms=20, took_ms=5)]
    rows.append(s.span("c", 5, 4, at_ms=21, took_ms=2))
    pairer = Pairer(store, s.vocabulary)
    spans = np.concatenate(rows[::-1])
    for start in range(0, len(spans), size):
        pairer.accept(SpanBatch(spans[start : start + size].copy()))
    sums = "sum(latency_us_sum), sum(latency_count) AS n, sum(calls)"
    found = store.rows(f"SELECT source, target, {sums} FROM edges_1h WHERE view = 3 GROUP BY 1, 2 HAVING n != 0")
    assert {(a, b): (us, n, calls) for a, b, us, n, calls in found} == {
        ("a", "a"): (40_000, 1, 0), ("b", "b"): (40_000, 1, 0), ("c", "c"): (2_000, 1, 0),
        ("a", "b"): (15_000, 1, 0), ("b", "c"): (3_000, 1, 0),
    }  # fmt: skip
    assert store.rows("SELECT count() FROM edge_lifetimes FINAL WHERE source = target") == [(0,)]
