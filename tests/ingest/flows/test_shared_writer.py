"""Several servers on one store: whichever flows and claims reach, and however they take turns, it is one graph."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chronotope.ingest.flows import batch_order, shared_writer
from chronotope.ingest.flows.rows import FlowVocabulary
from chronotope.ingest.flows.shared_writer import SharedFlowWriter
from chronotope.ingest.identity.owners import Ownership
from chronotope.ingest.records.identities import claims_table
from chronotope.schema.config.config import Config
from chronotope.schema.errors import StoreError
from chronotope.schema.storage.store import Store
from chronotope.server.running.flows import open_shared_writer
from chronotope.server.running.owners import known_identities
from tests.ingest.flows.building import T0_S, empty, flow, open_writer, sent, stored
from tests.ingest.flows.test_writer import Crash, arrivals, take
from tests.ingest.flows.turns import Turns, WatchedStore

T0_MS = T0_S * 1000
CALL = flow("10.0.0.1", "10.0.0.2", 80, client_port=40000, service="a")
ANSWER = flow("10.0.0.1", "10.0.0.2", 80, "server", client_port=40000, bytes_sent=99)
ONCE = {"connections": 1, "bytes_sent": 100, "bytes_received": 1000}


@pytest.fixture(scope="module")
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(3) as executor:
        yield executor


def open_shared(store, name: str) -> tuple[SharedFlowWriter, FlowVocabulary]:
    config, vocabulary = Config(), FlowVocabulary()
    return open_shared_writer(store, config, vocabulary, known_identities(store, config), writer=name), vocabulary


def expected_of(store: Store, arrived) -> dict:
    """What one writer makes of all claims and then all flows."""
    empty(store)
    writer, vocabulary = open_writer(store)
    for number, arrival in enumerate(arrived):
        if isinstance(arrival, Ownership):
            writer.claim(claims_table([arrival]), f"known-{number}-{writer._batch}")
    lines = [line for arrival in arrived if not isinstance(arrival, Ownership) for line in arrival]
    if lines:
        writer.accept([sent(vocabulary, *lines)])
    return stored(store)


class Server:
    """What one server is given, and what befalls it: at each operation of the store it may die or be refused."""

    def __init__(self, store: Store, name: str, turns: Turns, fate: random.Random, mishaps: float) -> None:
        self._store = WatchedStore(store, self._before, self._after)
        self._name = name
        self._turns = turns
        self._fate = fate
        self._mishaps = mishaps
        self._lives = 0

    def run(self, work: list) -> None:
        """Take everything, again whenever that fails, as senders do."""
        writer = None
        for number, arrival in work:
            while True:
                try:
                    writer = writer or self._start()
                    take(*writer, arrival, number)
                    writer[0].follow_others()
                    break
                except Crash:
                    writer = None
                except StoreError:
                    continue

    def _start(self):
        self._lives += 1
        return open_shared(self._store, f"{self._name}-{self._lives}")

    def _before(self) -> None:
        self._turns.pause()
        self._befall()

    def _after(self) -> None:
        self._befall()

    def _befall(self) -> None:
        if self._fate.random() < self._mishaps:
            raise Crash if self._fate.random() < 0.5 else StoreError("refused")


@pytest.mark.slow
@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arrived=arrivals, seed=st.integers(0, 2**32), servers=st.integers(2, 3), mishaps=st.sampled_from([0, 0.02]))
def test_no_interleaving_crash_or_refusal_changes_the_graph(
    store: Store, threads: ThreadPoolExecutor, arrived, seed: int, servers: int, mishaps: float
) -> None:
    """Between two operations of one server the others do anything; each may die or be refused at any operation."""
    expected = expected_of(store, arrived)
    empty(store)
    store.command("TRUNCATE TABLE flow_batches")
    fate = random.Random(seed)
    work = [[] for _ in range(servers)]
    for number, arrival in enumerate(arrived):
        for server in fate.sample(range(servers), fate.choice([1, 1, 1, 2])):  # a retry may reach another server
            work[server].append((number, arrival))
    turns = Turns(threads, fate.randrange)
    running = [Server(store, f"{seed}-{number}", turns, fate, mishaps) for number in range(servers)]
    turns.run([lambda server=server, its=its: server.run(its) for server, its in zip(running, work, strict=True)])
    open_shared(store, "last")  # mends what died last
    assert stored(store) == expected


def owned(address: str, service: str) -> Ownership:
    return Ownership(address, service, 0, "service", T0_MS - 10_000, T0_MS + 60_000)


def test_ends_that_reach_two_servers_count_once_and_as_the_client_saw_it(store: Store) -> None:
    (one, names), (other, other_names) = open_shared(store, "one"), open_shared(store, "other")
    other.accept([sent(other_names, ANSWER)])
    one.accept([sent(names, CALL)])
    assert stored(store) == {(0, "a", "10.0.0.2", "http"): ONCE}


def test_virtual_address_is_settled_by_what_another_server_was_told(store: Store) -> None:
    (one, names), (other, other_names) = open_shared(store, "one"), open_shared(store, "other")
    one.accept([sent(names, {**CALL, "server_address": "10.96.0.1"})])
    other.accept([sent(other_names, {**ANSWER, "server_port": 5432, "service": "pg"})])
    assert stored(store) == {(0, "a", "pg", "postgresql"): ONCE}


def test_owner_that_another_server_was_told_of_reaches_flows_once_and_every_server(store: Store) -> None:
    owners = known_identities(store, Config())
    one, names = open_shared(store, "one")
    other = open_shared_writer(store, Config(), FlowVocabulary(), owners, writer="other")
    one.accept([sent(names, CALL)])
    one.claim(claims_table([owned("10.0.0.2", "b")]), "told")
    assert stored(store) == {(0, "a", "b", "http"): ONCE}
    other.follow_others()
    assert [service.id for service in owners.snapshot().services] == ["b"]
    open_shared(store, "third")
    assert stored(store) == {(0, "a", "b", "http"): ONCE}


def test_request_that_reaches_two_servers_counts_once(store: Store) -> None:
    writers = [open_shared(store, name) for name in ("one", "other")]
    taken = [writer.accept([sent(names, CALL, request=7)]) for writer, names in writers]
    assert [(outcome.rows, outcome.duplicates) for outcome in taken] == [(1, 0), (0, 1)]
    assert stored(store) == {(0, "a", "10.0.0.2", "http"): ONCE}


def test_running_server_writes_what_another_that_died_did_not(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    (running, _), (dying, names) = open_shared(store, "running"), open_shared(store, "dying")

    def die(*_: object) -> None:
        raise Crash

    monkeypatch.setattr(dying, "_write_difference", die)
    with pytest.raises(Crash):
        dying.accept([sent(names, CALL)])
    running.follow_others()
    assert stored(store) == {}
    monkeypatch.setattr(shared_writer, "LONGEST_WRITE_S", 0)
    running.follow_others()
    running.follow_others()
    assert stored(store) == {(0, "a", "10.0.0.2", "http"): ONCE}
    assert store.rows("SELECT position FROM flow_batches WHERE kind = 3") == [(2,)]


def test_rows_without_a_position_never_count(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that died between the two was not answered for them: its sender sends them again."""
    dying, names = open_shared(store, "dying")

    def die(*_: object) -> None:
        raise Crash

    monkeypatch.setattr(dying._order, "ask", die)
    with pytest.raises(Crash):
        dying.accept([sent(names, CALL, request=7)])
    one, names = open_shared(store, "one")
    one.accept([sent(names, CALL, request=7), sent(names, ANSWER)])
    assert stored(store) == {(0, "a", "10.0.0.2", "http"): ONCE}


def test_server_that_is_far_behind_begins_anew(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    (one, names), (other, other_names) = open_shared(store, "one"), open_shared(store, "other")
    for at_s in (0, 10, 20):
        one.accept([sent(names, {**CALL, "start": T0_S + at_s, "end": T0_S + at_s + 1})])
    monkeypatch.setattr(shared_writer, "_MOST_FOLLOWED", 2)
    other.accept([sent(other_names, ANSWER)])
    assert stored(store) == {(at_s, "a", "10.0.0.2", "http"): ONCE for at_s in (0, 10, 20)}
    assert other.remembered


def test_positions_of_expired_flows_are_forgotten_and_the_order_goes_on(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (batch_order, shared_writer):
        monkeypatch.setattr(module, "KEPT", 3)
    one, names = open_shared(store, "one")
    for at_s in range(0, 40, 10):  # positions 2 to 5
        one.accept([sent(names, {**CALL, "start": T0_S + at_s, "end": T0_S + at_s + 1})])
    store.command("DELETE FROM flows WHERE time < toDateTime({until:UInt32}, 'UTC')", {"until": T0_S + 20})
    one.accept([sent(names, {**CALL, "start": T0_S + 40, "end": T0_S + 41})])
    kept = store.rows("SELECT position, kind FROM flow_batches ORDER BY ALL")
    assert kept == [(1, 0), (4, 1), (4, 3), (5, 1), (5, 3), (6, 1), (6, 3)]
    other, names = open_shared(store, "other")
    other.accept([sent(names, ANSWER), sent(names, {**ANSWER, "start": T0_S + 40, "end": T0_S + 41})])
    assert stored(store)[40, "a", "10.0.0.2", "http"] == ONCE
