"""What the store knows of edges' directions: the best of all flows, whatever the order they come in."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chronotope.ingest.flows.directions import Directions
from chronotope.ingest.flows.edges import EDGE
from chronotope.ingest.flows.rows import FlowVocabulary
from chronotope.schema.config.config import Config
from chronotope.schema.observations import BY_ORDER, BY_PORT, BY_SYN, DIRECTIONS
from chronotope.schema.storage.store import Store
from tests.ingest.flows.building import empty, flow, open_writer, sent

Known = dict[tuple[str, str, str], int]
ADDRESSES = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "192.0.2.9"]
CONFIG = Config.model_validate({"identities": [{"address": "10.0.0.1", "service": "one"}]})


class Crash(Exception):
    pass


def known(store: Store) -> Known:
    rows = store.rows(
        "SELECT toString(e.source), toString(e.target), toString(e.protocol), max(e.direction) "
        "FROM edge_directions AS e GROUP BY e.source, e.target, e.protocol"
    )
    return {(source, target, protocol): direction for source, target, protocol, direction in rows}


@st.composite
def records(draw: st.DrawFn, *, plain: bool) -> dict[str, Any]:
    """A flow of either end; unless plain, also what may bring two addresses together, or name an end."""
    client, server = draw(st.permutations(ADDRESSES))[:2]
    more: dict[str, Any] = {"direction": draw(st.sampled_from(DIRECTIONS))}
    if not plain and draw(st.booleans()):
        more["client_port"] = 40000
    if not plain and draw(st.booleans()):
        more["service"] = draw(st.sampled_from(["one", "two"]))
    return flow(client, server, draw(st.sampled_from([80, 5432])), draw(st.sampled_from(["client", "server"])),
                draw(st.integers(0, 30)), **more)  # fmt: skip


def crash(store: Store, batch: list[dict[str, Any]], number: int, at: str) -> None:
    """Die at the insert into a table."""

    def insert(table: str, columns: Any, token: str) -> None:
        if table == at:
            raise Crash
        store.insert(table, columns, token)

    writer, vocabulary = open_writer(store, CONFIG)
    writer._insert = insert
    with contextlib.suppress(Crash):
        writer.accept([sent(vocabulary, *batch, request=number + 1)])


def take(store: Store, batches: list[list[dict[str, Any]]], data: st.DataObject) -> Known:
    """What is known after batches came in any order, one of them twice, with restarts and crashes."""
    empty(store)
    writer, vocabulary = open_writer(store, CONFIG)
    for number in data.draw(st.permutations([*range(len(batches)), data.draw(st.integers(0, len(batches) - 1))])):
        what = data.draw(st.sampled_from(["go on", "go on", "restart", "flows", "edge_directions", "observations"]))
        if what in ("flows", "edge_directions", "observations"):
            crash(store, batches[number], number, what)
        if what != "go on":
            writer, vocabulary = open_writer(store, CONFIG)
        writer.accept([sent(vocabulary, *batches[number], request=number + 1)])
    return known(store)


def at_once(store: Store, batches: list[list[dict[str, Any]]]) -> Known:
    empty(store)
    writer, vocabulary = open_writer(store, CONFIG)
    writer.accept([sent(vocabulary, *(line for batch in batches for line in batch))])
    return known(store)


@pytest.mark.slow
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.lists(records(plain=True), min_size=1, max_size=4), min_size=1, max_size=5), data=st.data())
def test_order_repetition_crashes_and_restarts_do_not_change_what_is_known(store: Store, batches, data) -> None:
    assert take(store, batches, data) == at_once(store, batches)


@pytest.mark.slow
@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.lists(records(plain=False), min_size=1, max_size=4), min_size=1, max_size=5), data=st.data())
def test_no_order_loses_what_all_flows_at_once_show(store: Store, batches, data) -> None:
    """What an address turns out to be later may leave more behind, never less."""
    found = take(store, batches, data)
    for edge, direction in at_once(store, batches).items():
        assert found[edge] >= direction, edge


def test_what_is_told_is_not_told_again_until_it_is_known_better(store: Store) -> None:
    writer, vocabulary = open_writer(store)
    inserts: list[str] = []

    def insert(table: str, columns: Any, token: str) -> None:
        inserts.append(table)
        store.insert(table, columns, token)

    writer._insert = insert
    for at_s, direction in ((0, "port"), (10, "port"), (20, "unknown"), (30, "syn"), (40, "port"), (50, "syn")):
        writer.accept([sent(vocabulary, flow("10.0.0.1", "10.0.0.2", 80, at_s=at_s, direction=direction))])
    assert inserts.count("edge_directions") == 2
    assert known(store) == {("10.0.0.1", "10.0.0.2", "http"): BY_SYN}


def test_an_insert_that_failed_is_made_again_with_the_next_flows() -> None:
    vocabulary = FlowVocabulary()
    edges = edges_between(vocabulary, 3)
    directions, told = Directions(vocabulary), []

    def fails(*_: object) -> None:
        raise Crash

    with pytest.raises(Crash):
        directions.write(edges, fails)
    directions.write(edges[:1], lambda table, columns, _: told.append(columns))
    assert [columns.num_rows for columns in told] == [1]


def test_many_edges_are_remembered_each() -> None:
    """More than the table holds at first, in batches that overlap; a better direction is told of those that have it."""
    vocabulary = FlowVocabulary()
    edges = edges_between(vocabulary, 30_000)
    directions, told = Directions(vocabulary), []
    for start in range(0, 30_000, 5_000):
        directions.write(edges[max(start - 2_000, 0) : start + 5_000], lambda *said: told.append(said[1]))
    assert [columns.num_rows for columns in told] == [5_000] * 6
    edges["direction"][::3] = BY_SYN
    directions.write(edges, lambda *said: told.append(said[1]))
    assert told[-1].num_rows == 10_000
    assert set(told[-1].column("direction").to_pylist()) == {BY_SYN}
    assert len(set(told[-1].column("target").to_pylist())) == 10_000


def edges_between(vocabulary: FlowVocabulary, count: int) -> np.ndarray:
    """EDGE[N] from one service to so many others, by port or order alone."""
    source, protocol = vocabulary.node("a", "service"), vocabulary.protocols.code("http")
    edges = np.zeros(count, EDGE)
    edges["source"], edges["protocol"] = source, protocol
    edges["target"] = [vocabulary.node(f"s{n}", "service") for n in range(count)]
    edges["direction"] = np.where(np.arange(count) % 2, BY_PORT, BY_ORDER)
    return edges


def test_left_out_flows_say_nothing_of_directions(store: Store) -> None:
    ends = [{"address": f"10.0.0.{n}", "service": "a"} for n in (1, 2)]
    writer, vocabulary = open_writer(store, Config.model_validate({"identities": ends}))
    inside, telemetry = flow("10.0.0.1", "10.0.0.2", 80), flow("10.0.0.1", "10.0.0.3", 4317)
    writer.accept([sent(vocabulary, inside, telemetry, flow("10.0.0.1", "10.0.0.3", 80))])
    assert known(store) == {("a", "10.0.0.3", "http"): BY_SYN}
