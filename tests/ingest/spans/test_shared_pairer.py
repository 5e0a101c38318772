"""Two collectors on one store: halves reach either, at once or apart, repeated or not, and each call counts once."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chronotope.ingest.spans import table
from chronotope.ingest.spans.columns import SpanBatch
from chronotope.ingest.spans.shared_pairer import SharedPairer
from chronotope.ingest.spans.table import last_batches, read_traces
from tests.ingest.spans.building import Scene, client
from tests.ingest.spans.test_pairer import expected, forests, rows_of, stored
from tests.repetitions import repetitions

pytestmark = pytest.mark.slow

_numbers = itertools.count(1)
FAR = 1_000_000


@settings(max_examples=repetitions(8, 15), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), forest=forests())
def test_two_writers_count_each_call_once(store, data, forest):
    scene, number = Scene(), next(_numbers)
    rows = rows_of(scene, f"w{number}", forest, FAR + number * 16)
    order = data.draw(st.permutations([*range(len(rows)), *data.draw(st.lists(st.sampled_from(range(len(rows)))))]))
    writers = [SharedPairer(store, scene.vocabulary, writer=name, answer_wait_s=0) for name in "ab"]
    at = 0
    while at < len(order):
        size, writer = data.draw(st.integers(1, 5)), data.draw(st.sampled_from(writers))
        writer.accept(SpanBatch(rows[list(order[at : at + size])].copy()))
        at += size
    for writer in writers:
        writer.release(2e12)
    now = read_traces(store, scene.vocabulary, np.unique(rows["trace_lo"]))
    assert len(now) == len(rows)
    assert stored(store, f"w{number}") == expected(scene, now)


@pytest.mark.parametrize("late", ["spans", "observations"])
def test_halves_written_at_the_same_time_are_paired_at_the_second_look(store, late):
    """The other writer's whole batch falls between the number of ours and its becoming visible, or its pairing."""
    scene = Scene()
    ours = SharedPairer(store, scene.vocabulary, writer="ours")
    theirs = SharedPairer(store, scene.vocabulary, writer="theirs")
    half, other = client(scene, f"{late}-a", 1, trace=5), scene.span(f"{late}-b", 2, 1, trace=5)

    def insert(table, columns, token):
        if table == late:
            ours._insert = store.insert
            theirs.accept(SpanBatch(other.copy()))
        store.insert(table, columns, token)

    ours._insert = insert
    ours.accept(SpanBatch(half.copy()))
    if not stored(store, late):
        ours.release(2e12)
        theirs.release(2e12)
    assert [sums[0] for sums in stored(store, late).values()] == [1]


def die_half_way(store, scene, name):
    """Let a writer die after it wrote the second half of a call, before it wrote the call."""
    dying = SharedPairer(store, scene.vocabulary, writer=name)
    dying.accept(SpanBatch(client(scene, "died-a", 1, trace=6)))

    def insert(table, columns, token):
        if table == "observations":
            raise RuntimeError("dies")
        store.insert(table, columns, token)

    dying._insert = insert
    with pytest.raises(RuntimeError, match="dies"):
        dying.accept(SpanBatch(scene.span("died-b", 2, 1, trace=6)))
    assert stored(store, "died") == {}


def test_a_writer_that_died_half_way_is_finished_by_the_next_start_of_any(store):
    scene = Scene()
    die_half_way(store, scene, "dying")
    for name in ("one", "two"):
        SharedPairer(store, scene.vocabulary, writer=name).recover()
    assert [sums[0] for sums in stored(store, "died").values()] == [1]


def test_a_writer_that_died_half_way_is_finished_though_another_wrote_since(store):
    scene = Scene()
    die_half_way(store, scene, "dying")
    other = SharedPairer(store, scene.vocabulary, writer="other")
    other.accept(SpanBatch(client(scene, "later-a", 3, trace=8)))
    other.accept(SpanBatch(scene.span("later-b", 4, 3, trace=8)))
    for name in ("one", "two"):
        SharedPairer(store, scene.vocabulary, writer=name).recover()
    for service in ("died", "later"):
        assert [sums[0] for sums in stored(store, service).values()] == [1], service


def test_what_a_writer_wrote_long_ago_is_not_written_again(store, monkeypatch):
    """The store forgets tokens: a difference that is whole would count twice."""
    scene, finished = Scene(), []
    for number, name in enumerate(("old", "new", "new", "new")):
        SharedPairer(store, scene.vocabulary, writer=name).accept(SpanBatch(client(scene, "a", number, trace=number)))
    monkeypatch.setattr(table, "_MOST_SINCE", 2)
    starting = SharedPairer(store, scene.vocabulary, writer="starting")
    monkeypatch.setattr(starting, "_finish", finished.append)
    starting.recover()
    assert finished == [max(last_batches(store).values())]
    assert list(last_batches(store)) == ["new"]
