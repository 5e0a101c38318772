from __future__ import annotations

import contextlib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chronotope.ingest.flows.writer import FlowWriter
from chronotope.ingest.identity.owners import Ownership
from chronotope.ingest.records.identities import claims_table
from chronotope.schema.config.config import Config
from chronotope.schema.storage.store import Store
from tests.ingest.flows.building import T0_S, edges, empty, flow, open_writer, sent, stored
from tests.repetitions import repetitions

T0_MS = T0_S * 1000
ADDRESSES = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "::ffff:10.0.0.3", "192.0.2.9"]


class Crash(Exception):
    pass


@st.composite
def flow_records(draw):
    client, server = draw(st.permutations(ADDRESSES))[:2]
    observer = draw(st.sampled_from(["client", "server"]))
    more = {"client_port": draw(st.sampled_from([40000, 40001]))} if draw(st.booleans()) else {}
    if draw(st.integers(0, 3)) == 0:
        more["service"] = draw(st.sampled_from(["one", "two"]))
    at_s = draw(st.integers(0, 60))
    return flow(client, server, draw(st.sampled_from([80, 5432])), observer, at_s, end=T0_S + at_s + 12, **more)


claims = st.builds(
    lambda address, service, at_s, length_s, heartbeat: Ownership(
        address, service, 0, "service", T0_MS + at_s * 1000, T0_MS + (at_s + length_s) * 1000, heartbeat=heartbeat
    ),
    st.sampled_from([*ADDRESSES, "10.0.0.0/30"]),
    st.sampled_from(["one", "two", "three"]),
    st.integers(-10, 60),
    st.just(30),
    st.booleans(),
)
# What comes: flows or claims, in the order of its arrival.
arrivals = st.lists(st.one_of(st.lists(flow_records(), min_size=1, max_size=4), claims), min_size=1, max_size=9)


def take(writer: FlowWriter, vocabulary, arrival, number: int) -> None:
    if isinstance(arrival, Ownership):
        writer.claim(claims_table([arrival]), f"claim-{number}-{writer._batch}")
    else:
        writer.accept([sent(vocabulary, *arrival, request=number + 1)])


@pytest.mark.slow
@settings(max_examples=repetitions(6, 12), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arrivals=arrivals, data=st.data())
def test_order_repetition_crashes_and_restarts_do_not_change_the_graph(store: Store, arrivals, data) -> None:
    """All owners first and then all flows at once give what any order gives."""
    empty(store)
    writer, vocabulary = open_writer(store)
    for arrival in (one for one in arrivals if isinstance(one, Ownership)):
        writer.claim(claims_table([arrival]), f"known-{id(arrival)}-{writer._batch}")
    lines = [line for one in arrivals if not isinstance(one, Ownership) for line in one]
    if lines:
        writer.accept([sent(vocabulary, *lines)])
    expected = stored(store)
    empty(store)
    writer, vocabulary = open_writer(store)
    for number in data.draw(st.permutations([*range(len(arrivals)), data.draw(st.integers(0, len(arrivals) - 1))])):
        what = data.draw(st.sampled_from(["take", "take", "crash before", "crash between", "restart"]))
        if what.startswith("crash"):
            crash(writer, vocabulary, arrivals[number], number, store, what)
        if what != "take":
            writer, vocabulary = open_writer(store)
        take(writer, vocabulary, arrivals[number], number)
    assert stored(store) == expected


def crash(writer: FlowWriter, vocabulary, arrival, number: int, store: Store, what: str) -> None:
    """Die at the first or the second insert of what comes."""

    def insert(table, columns, token):
        if what == "crash before" or table == "observations":
            raise Crash
        store.insert(table, columns, token)

    writer._insert = insert
    with contextlib.suppress(Crash):
        take(writer, vocabulary, arrival, number)


def test_connection_seen_from_both_ends_counts_once_and_as_the_client_saw_it(store: Store) -> None:
    writer, vocabulary = open_writer(store)
    ports = {"client_port": 40000}
    writer.accept([sent(vocabulary, flow("10.0.0.1", "10.0.0.2", 80, "server", service="b", bytes_sent=99, **ports))])
    assert stored(store)[0, "10.0.0.1", "b", "http"]["bytes_sent"] == 99
    writer.accept([sent(vocabulary, flow("10.0.0.1", "10.0.0.2", 80, service="a", **ports))])
    assert stored(store) == {(0, "a", "b", "http"): {"connections": 1, "bytes_sent": 100, "bytes_received": 1000}}


@pytest.mark.parametrize("late_s", [0, 9, 13])
def test_ends_whose_intervals_differ_are_one_connection(store: Store, late_s: int) -> None:
    writer, vocabulary = open_writer(store)
    told = {"connections": 0, "client_port": 40000}
    writer.accept(
        [
            sent(
                vocabulary,
                flow("10.0.0.1", "10.0.0.2", 80, service="a", end=T0_S + 10, **told),
                flow("10.0.0.1", "10.0.0.2", 80, "server", late_s, service="b", end=T0_S + late_s + 6, **told),
            )
        ]
    )
    assert sum(measures["bytes_sent"] for measures in stored(store).values()) == 100


def test_virtual_address_is_resolved_by_the_clients_own_port(store: Store) -> None:
    """The client sees 10.96.0.1:80, the server's host sees 10.0.0.2:8080, both see 10.0.0.1:40000."""
    writer, vocabulary = open_writer(store)
    writer.accept([sent(vocabulary, flow("10.0.0.1", "10.96.0.1", 80, service="a", client_port=40000))])
    assert edges(store) == {("a", "10.96.0.1")}
    writer.accept([sent(vocabulary, flow("10.0.0.1", "10.0.0.2", 5432, "server", service="pg", client_port=40000))])
    assert list(stored(store)) == [(0, "a", "pg", "postgresql")]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (0, 2, 1)])
def test_what_is_certain_behind_a_virtual_address_does_not_depend_on_the_order(store: Store, order) -> None:
    """Two buckets away the server's row gets a partner of its own: then nobody knows what is behind the virtual one."""
    writer, vocabulary = open_writer(store)
    rows = [
        flow("10.0.0.1", "10.96.0.1", 80, at_s=20, service="a", client_port=40000),
        flow("10.0.0.1", "10.0.0.2", 5432, "server", at_s=10, service="pg", client_port=40000),
        flow("10.0.0.1", "10.0.0.2", 5432, at_s=0, service="a", client_port=40000),
    ]
    for number in order:
        writer.accept([sent(vocabulary, rows[number])])
    assert edges(store) == {("a", "10.96.0.1"), ("a", "pg")}


def test_two_connections_of_one_client_port_are_not_taken_for_each_other(store: Store) -> None:
    """Linux gives one port to connections with different targets; which virtual one goes where is not certain."""
    writer, vocabulary = open_writer(store)
    port = {"client_port": 40000}
    writer.accept(
        [
            sent(
                vocabulary,
                flow("10.0.0.1", "10.96.0.1", 80, service="a", **port),
                flow("10.0.0.1", "10.96.0.2", 80, service="a", **port),
                flow("10.0.0.1", "10.0.0.2", 80, "server", service="b", **port),
                flow("10.0.0.1", "10.0.0.4", 443, service="a", **port),
                flow("10.0.0.1", "10.0.0.4", 443, "server", service="d", **port),
            )
        ]
    )
    assert edges(store) == {("a", "10.96.0.1"), ("a", "10.96.0.2"), ("a", "d")}


def test_translated_address_and_declared_virtual_address_lead_to_the_real_service(store: Store) -> None:
    config = Config.model_validate({"identities": [{"address": "10.96.0.2", "service": "cache"}]})
    writer, vocabulary = open_writer(store, config)
    real = {"translated_server_address": "10.0.0.2", "translated_server_port": 6379}
    writer.accept(
        [
            sent(
                vocabulary,
                flow("10.0.0.1", "10.96.0.1", 80, service="a", **real),
                flow("10.0.0.1", "10.0.0.2", 6379, "server", service="redis"),
                flow("10.0.0.1", "10.96.0.2", 80, service="a"),
                flow("10.0.0.1", "10.0.0.3", 8080, "server", service="cache"),
            )
        ]
    )
    assert list(stored(store)) == [(0, "a", "cache", "http"), (0, "a", "redis", "redis")]


def test_failed_connects_are_counted_and_make_no_edge(store: Store) -> None:
    writer, vocabulary = open_writer(store)
    failed = {"connections": 0, "failed_connections": 3, "bytes_sent": 0, "bytes_received": 0}
    writer.accept([sent(vocabulary, flow("10.0.0.1", "10.0.0.2", 80, service="a", **failed))])
    assert stored(store) == {(0, "a", "10.0.0.2", "http"): {"failed_connections": 3}}
    assert edges(store) == set()


def test_telemetry_and_traffic_within_a_service_make_no_edge_and_are_counted(store: Store) -> None:
    config = Config.model_validate({"telemetry": {"services": ["prometheus"], "addresses": ["10.9.0.0/16"]}})
    writer, vocabulary = open_writer(store, config)
    outcome = writer.accept(
        [
            sent(
                vocabulary,
                flow("10.0.0.1", "10.0.0.2", 4317, service="a"),
                flow("10.0.0.9", "10.0.0.2", 9100, service="prometheus"),
                flow("10.9.1.1", "10.0.0.2", 9100),
                flow("127.0.0.1", "127.0.0.1", 80, service="a", host="h"),
                flow("127.0.0.1", "127.0.0.1", 80, "server", service="a", host="h"),
                flow("10.0.0.1", "10.0.0.2", 9100, service="a"),
            )
        ]
    )
    assert edges(store) == {("a", "10.0.0.2")}
    assert outcome.left_out == {"telemetry": 3, "same_service": 1, "other_end": 1}


def test_loopback_addresses_of_two_hosts_are_two_places(store: Store) -> None:
    writer, vocabulary = open_writer(store)
    for host, server in (("h1", "redis"), ("h2", "pg")):
        local = {"host": host, "client_port": 40000}
        writer.accept(
            [
                sent(
                    vocabulary,
                    flow("127.0.0.1", "127.0.0.1", 6379, service="app", **local),
                    flow("127.0.0.1", "127.0.0.1", 6379, "server", service=server, **local),
                )
            ]
        )
    assert edges(store) == {("app", "redis"), ("app", "pg")}


def test_long_lived_connection_counts_in_every_bucket_and_is_opened_in_its_first(store: Store) -> None:
    writer, vocabulary = open_writer(store)
    writer.accept([sent(vocabulary, flow("10.0.0.1", "10.0.0.2", 80, end=T0_S + 100, bytes_sent=1000))])
    found = {at: measures for (at, *_), measures in stored(store).items()}
    assert [measures["bytes_sent"] for measures in found.values()] == [100] * 10
    assert [measures.get("connections") for _, measures in sorted(found.items())] == [1] + [None] * 9


def test_old_buckets_are_read_back_when_memory_let_them_go(store: Store) -> None:
    writer, vocabulary = open_writer(store)
    writer._memory._capacity = 1
    for at_s in (0, 1000, 2000):
        writer.accept([sent(vocabulary, flow("10.0.0.1", "10.0.0.2", 80, "server", at_s))])
    writer.accept([sent(vocabulary, flow("10.0.0.1", "10.0.0.2", 80, "client", 0, bytes_sent=7))])
    assert stored(store)[0, "10.0.0.1", "10.0.0.2", "http"]["bytes_sent"] == 7
