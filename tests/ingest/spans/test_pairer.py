"""Any order, batching, duplicates, crashes, little memory: the store holds what pairing all spans at once gives."""

from __future__ import annotations

import contextlib
import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chronotope.ingest.spans.columns import CLIENT, CONSUMER, INTERNAL, PRODUCER, RELEASED, SERVER, Node, SpanBatch
from chronotope.ingest.spans.pairer import Pairer
from chronotope.ingest.spans.pairing import calls_of
from chronotope.ingest.spans.table import read_traces
from tests.ingest.spans.building import START_NS, Scene, client
from tests.repetitions import repetitions

pytestmark = pytest.mark.slow

ADDRESS = Node("10.0.0.7", "external")
TOPIC = Node("rabbitmq/orders", "messaging")
KEY = "source, target, via, protocol, toUInt8(view), toUInt8(reporter), toUInt32(time)"
_numbers = itertools.count(1000)


class Crash(Exception):
    """The process dies here."""


def stored(store, prefix):
    """Calls, errors and latency of every edge of services with a prefix, as the 10-second table has them."""
    rows = store.rows(
        f"SELECT {KEY}, sum(calls), sum(errors), sum(latency_us_sum) FROM edges_10s "
        "WHERE startsWith(source, {p:String}) OR startsWith(target, {p:String}) "
        f"GROUP BY {KEY} HAVING sum(calls) != 0",
        {"p": prefix},
    )
    return {tuple(row[:7]): tuple(row[7:]) for row in rows}


def expected(scene, rows):
    """The same, from pairing all spans at once."""
    answer = {}
    nodes = scene.vocabulary.nodes
    for call in calls_of(rows, scene.rules).calls:
        via = nodes[call["via"]].id if call["via"] >= 0 else ""
        ends = (nodes[call["source"]].id, nodes[call["target"]].id, via)
        said = (scene.vocabulary.protocols[call["protocol"]], int(call["view"]), int(call["reporter"]))
        key = (*ends, *said, int(call["time_ns"]) // 10**10 * 10)
        weight = int(call["weight"])
        more = (weight, weight * int(call["error"]), weight * (max(int(call["latency_ns"]), 0) // 1000))
        answer[key] = tuple(a + b for a, b in zip(answer.get(key, (0, 0, 0)), more, strict=True))
    return answer


@st.composite
def forests(draw):
    """Spans of a few traces with parents, kinds, peers and errors at random; ids unique but for shared halves."""
    spans = []
    for trace in range(draw(st.integers(1, 3))):
        for span in range(1, draw(st.integers(1, 7)) + 1):
            kind = draw(st.sampled_from([SERVER, CLIENT, INTERNAL, PRODUCER, CONSUMER]))
            peer = draw(st.sampled_from(["", "address", "topic", "service"]))
            parent = draw(st.integers(0, 8))
            spans.append((trace, span, parent, kind, draw(st.integers(0, 2)), peer, draw(st.booleans())))
            if kind == CLIENT and draw(st.booleans()):
                spans.append((trace, span, parent, SERVER, draw(st.integers(0, 2)), "", False))
    return spans


def rows_of(scene, prefix, forest, trace_base):
    peers = {"": None, "address": ADDRESS, "topic": TOPIC, "service": Node(f"{prefix}-s0")}
    rows = [
        scene.span(
            f"{prefix}-s{service}",
            span,
            parent,
            kind=kind,
            peer=peers[peer],
            error=error,
            trace=trace_base + trace,
            at_ms=span * 3000,
            released=False,
        )
        for trace, span, parent, kind, service, peer, error in forest
    ]
    return np.concatenate(rows)


@settings(max_examples=repetitions(12, 25), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), forest=forests())
def test_order_batching_duplicates_crashes_and_memory_do_not_change_the_sums(store, data, forest):
    scene, number = Scene(), next(_numbers)
    prefix = f"p{number}"
    rows = rows_of(scene, prefix, forest, number * 16)
    order = data.draw(st.permutations([*range(len(rows)), *data.draw(st.lists(st.sampled_from(range(len(rows)))))]))
    capacity = data.draw(st.sampled_from([2, 1000]))
    pairer = Pairer(store, scene.vocabulary, capacity=capacity, answer_wait_s=0)
    pairer.recover()
    at = 0
    while at < len(order):
        size = data.draw(st.integers(1, 6))
        batch = rows[list(order[at : at + size])]
        what = data.draw(st.sampled_from(["accept", "accept", "crash before", "crash between", "restart", "release"]))
        if what.startswith("crash"):
            pairer = crash(store, scene, batch, pairer, what, capacity)
        elif what == "restart":
            pairer = Pairer(store, scene.vocabulary, capacity=capacity, answer_wait_s=0)
            pairer.recover()
        elif what == "release":
            pairer.release(2e12)
        pairer.accept(SpanBatch(batch.copy()))
        at += size
    pairer.release(2e12)
    now = read_traces(store, scene.vocabulary, np.unique(rows["trace_lo"]))
    assert len(now) == len(rows)
    assert stored(store, prefix) == expected(scene, now)


def crash(store, scene, batch, pairer, what, capacity):
    """Die at an insert of this batch; return the pairer of the next start."""
    table = "spans" if what == "crash before" else "observations"

    def insert(name, columns, token):
        if name == table:
            raise Crash
        store.insert(name, columns, token)

    pairer._insert = insert
    with contextlib.suppress(Crash):
        pairer.accept(SpanBatch(batch.copy()))
    again = Pairer(store, scene.vocabulary, capacity=capacity, answer_wait_s=0)
    again.recover()
    return again


@pytest.fixture
def clock():
    """A clock that tests set."""

    class Clock:
        now = START_NS / 1e9

        def __call__(self):
            return self.now

    return Clock()


def test_a_client_whose_peer_answers_others_waits_for_its_answer(store, clock):
    scene, prefix = Scene(), "wait"
    pairer = Pairer(store, scene.vocabulary, answer_wait_s=60, clock=clock)
    peer = Node("10.9.9.9", "external")
    pairer.accept(
        SpanBatch(np.concatenate([client(scene, "wait-a", 1, peer=peer, released=False), scene.span("wait-b", 2, 1)]))
    )
    late = client(scene, "wait-a", 3, peer=peer, trace=2, released=False)
    pairer.accept(SpanBatch(late))
    assert pairer.waiting == 1
    assert {key[1] for key in stored(store, prefix)} == {"wait-b"}
    pairer.release(clock.now + 61)
    assert {key[1] for key in stored(store, prefix)} == {"wait-b", "10.9.9.9"}
    pairer.accept(SpanBatch(scene.span("wait-b", 4, 3, trace=2)))
    assert {key[1] for key in stored(store, prefix)} == {"wait-b"}
    assert sum(sums[0] for sums in stored(store, prefix).values()) == 2


def test_a_client_half_on_hold_survives_a_restart(store, clock):
    scene = Scene()
    peer = Node("10.9.9.8", "external")
    pairer = Pairer(store, scene.vocabulary, answer_wait_s=60, clock=clock)
    pairer.recover()
    pairer.accept(
        SpanBatch(
            np.concatenate([client(scene, "held-a", 1, peer=peer, trace=71), scene.span("held-b", 2, 1, trace=71)])
        )
    )
    pairer.accept(SpanBatch(client(scene, "held-a", 3, peer=peer, trace=72, released=False)))
    again = Pairer(store, scene.vocabulary, answer_wait_s=60, clock=clock)
    again.recover()
    assert again.waiting >= 1
    again.release(clock.now + 61)
    assert {key[1] for key in stored(store, "held-")} == {"held-b", "10.9.9.8"}


def test_a_database_call_does_not_wait(store):
    scene = Scene()
    pairer = Pairer(store, scene.vocabulary)
    rows = client(scene, "db-a", 1, peer=Node("orders@pg", "database"), trace=81, released=False)
    pairer.accept(SpanBatch(rows))
    assert {key[1] for key in stored(store, "db-a")} == {"orders@pg"}
    assert RELEASED & int(read_traces(store, scene.vocabulary, np.array([81], np.uint64))["flags"][0])
