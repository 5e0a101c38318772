"""Events of a store as evidence arrives: each once, whatever the order, the restarts and the number of servers."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import pytest

from chronotope.schema.config.events import EventsSection
from chronotope.schema.errors import StoreError
from chronotope.schema.observations import observation_table
from chronotope.schema.storage.retention import apply_retention
from chronotope.schema.storage.store import Store
from chronotope.server.detection.watcher import Outcome, Watcher
from chronotope.server.events.event import NEW, RETURNED, VANISHED, Event
from chronotope.server.events.table import read_events, write_events
from chronotope.server.evidence.settings import now_ms

T0 = 1_700_006_400
FAR = (T0 + 100 * 86_400) * 1000

Row = tuple[int, str, str, int]  # second after T0, source, target, calls


def steady(source: str, target: str, start: int, end: int, calls: int = 5) -> list[Row]:
    return [(at, source, target, calls) for at in range(start, end, 10)]


def write(store: Store, rows: list[Row], layer: str = "trace") -> None:
    columns = {
        "time": [T0 + row[0] for row in rows],
        "layer": [layer] * len(rows),
        "source": [row[1] for row in rows],
        "target": [row[2] for row in rows],
        "protocol": ["http"] * len(rows),
        "calls": [row[3] for row in rows],
    }
    store.insert("observations", observation_table(columns))


def watcher(store: Store, **more: object) -> Watcher:
    found = Watcher(store, EventsSection(**more), clock=lambda: FAR)
    found.start()
    return found


def told(store: Store) -> list[tuple[str, str, int]]:
    """(type, target, second after T0) of the events."""
    return sorted(told_of(event) for event in read_events(store, 0, 2 * FAR))


def told_of(event: Event) -> tuple[str, str, int]:
    assert event.edge is not None
    return event.type, event.edge.target, event.time_ms // 1000 - T0


BACKGROUND = [row for name in "abc" for row in steady("front", name, 0, 3600)]
LIFE = [*steady("front", "new", 600, 1200), *steady("front", "new", 2400, 3600)]
STORY = [(NEW, "new", 600), (RETURNED, "new", 2400), (VANISHED, "new", 1200)]


def test_an_edge_is_new_vanishes_and_returns_in_the_datas_time(store: Store) -> None:
    write(store, BACKGROUND + LIFE)
    watcher(store).look(complete=True)
    assert told(store) == STORY
    vanished = next(event for event in read_events(store, 0, FAR) if event.type == VANISHED)
    assert vanished.probability is not None
    assert vanished.probability < 1e-7
    assert 1200 + 30 <= vanished.evident_ms / 1000 - T0 <= 1200 + 120
    assert vanished.layers == ("trace",)


def batches(rows: list[Row], seed: int, how: str) -> Iterator[list[Row]]:
    rng = np.random.default_rng(seed)
    if how == "in order":
        rows = sorted(rows)
    elif how == "backwards":
        rows = sorted(rows, reverse=True)
    else:
        rows = [rows[at] for at in rng.permutation(len(rows))]
    cuts = np.sort(rng.integers(0, len(rows), 12))
    yield from ([*map(tuple, part)] for part in np.split(np.array(rows, object), cuts) if len(part))


@pytest.mark.slow
@pytest.mark.parametrize("how", ["in order", "backwards", "shuffled"])
@pytest.mark.parametrize("restarts", [False, True])
def test_order_and_restarts_do_not_change_the_events(store: Store, how: str, restarts: bool) -> None:
    own = watcher(store)
    for batch in batches(BACKGROUND + LIFE, 7, how):
        write(store, [(int(row[0]), str(row[1]), str(row[2]), int(row[3])) for row in batch])
        own.look()
        if restarts:
            own.save()
            own = watcher(store)
    own.look(complete=True)
    assert told(store) == STORY


def test_two_servers_on_one_store_tell_each_event_once(store: Store) -> None:
    servers = [watcher(store), watcher(store)]
    written = []
    for number, batch in enumerate(batches(BACKGROUND + LIFE, 3, "in order")):
        write(store, [(int(row[0]), str(row[1]), str(row[2]), int(row[3])) for row in batch])
        written += [*servers[number % 2].look().written, *servers[(number + 1) % 2].look().written]
    for own in servers:
        written += own.look(complete=True).written
    assert told(store) == STORY
    assert sorted(map(told_of, written)) == STORY


def test_late_evidence_withdraws_a_silence_that_was_none(store: Store) -> None:
    own = watcher(store)
    write(store, BACKGROUND + steady("front", "new", 600, 1200))
    assert sorted(map(told_of, own.look(complete=True).written)) == [STORY[0], STORY[2]]
    write(store, steady("front", "new", 1200, 3600))
    outcome = own.look(complete=True)
    assert [told_of(event) for event in outcome.withdrawn] == [(VANISHED, "new", 1200)]
    assert told(store) == [(NEW, "new", 600)]
    every = read_events(store, 0, FAR, withdrawn=True)
    assert [told_of(event) for event in every if event.withdrawn] == [(VANISHED, "new", 1200)]


def test_evidence_from_before_a_new_edge_moves_its_beginning(store: Store) -> None:
    own = watcher(store)
    write(store, BACKGROUND + steady("front", "new", 1200, 3600))
    own.look(complete=True)
    write(store, steady("front", "new", 600, 1200))
    own.look(complete=True)
    assert told(store) == [(NEW, "new", 600)]


def test_a_correction_takes_back_an_edge_that_was_none(store: Store) -> None:
    own = watcher(store)
    write(store, [*BACKGROUND, (3590, "front", "guess", 3)])
    assert [told_of(event) for event in own.look().written] == [(NEW, "guess", 3590)]
    write(store, [(3590, "front", "guess", -3), (3600, "front", "a", 5)])
    own.look(complete=True)
    assert told(store) == []


def test_a_clock_that_is_a_day_ahead_holds_nothing_up(store: Store) -> None:
    own = watcher(store)
    write(store, [(FAR // 1000 - T0 + 86_400, "front", "odd", 1)])
    own.look()
    write(store, BACKGROUND + LIFE)
    own.look(complete=True)
    assert told(store) == STORY


@pytest.mark.parametrize("first", [True, False])
def test_a_clock_that_is_weeks_behind_makes_nothing_new(store: Store, first: bool) -> None:
    """Some rows from long ago, before or after all others came, are no history in which the others were not there."""
    odd = [(at - 20 * 86_400, "front", name, 1) for at, name in ((0, "odd"), (20, "a"), (90_000, "odd"))]
    own = watcher(store)
    for rows in (odd, BACKGROUND + LIFE) if first else (BACKGROUND + LIFE, odd):
        write(store, rows)
        own.look(complete=True)
    assert [event for event in told(store) if event[1] != "odd"] == STORY


def test_a_store_that_fails_loses_no_event(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    own = watcher(store)
    write(store, BACKGROUND[: len(BACKGROUND) // 2])
    own.look()
    write(store, BACKGROUND + LIFE)
    with monkeypatch.context() as broken:
        broken.setattr("chronotope.server.detection.watcher.write_events", _fail)
        with pytest.raises(StoreError):
            own.look(complete=True)
    own.look(complete=True)
    assert told(store) == STORY


def _fail(*_: object) -> None:
    raise StoreError("out of order")


def keep_from(store: Store, start: int) -> None:
    """Let the ten seconds of the store expire up to a second after T0."""
    apply_retention(store, {"10s": int(time.time()) - T0 - start})
    store.command("OPTIMIZE TABLE edges_10s FINAL")


LONG_LIFE = [*steady("front", "new", 600, 1200), *steady("front", "new", 2400, 7200)]
LONG = [row for name in "abc" for row in steady("front", name, 0, 7200)] + LONG_LIFE


def test_what_expired_while_no_server_ran_is_told_by_the_minute(store: Store) -> None:
    """The saved state is of a time whose ten seconds are gone: in what is left the edge seems to be new later."""
    write(store, [row for row in LONG if row[0] < 300])
    own = Watcher(store, EventsSection(), now_ms)
    own.start()
    own.look()
    own.save()
    write(store, [row for row in LONG if row[0] >= 300])
    keep_from(store, 4000)
    again = Watcher(store, EventsSection(), now_ms)
    again.start()
    again.look(complete=True)
    assert told(store) == STORY


def test_what_came_late_withdraws_no_event_whose_evidence_expired(store: Store) -> None:
    """It leads back to a state of before; with the ten seconds that are left the events would not be found again."""
    ahead_ms = 0
    keep_from(store, -3600)
    own = Watcher(store, EventsSection(), clock=lambda: now_ms() + ahead_ms)
    own.start()
    for begin in range(0, 7200, 600):
        write(store, [row for row in LONG if begin <= row[0] < begin + 600])
        own.look()
    assert told(store) == STORY
    keep_from(store, 5000)
    ahead_ms = 8_600_000
    write(store, [(1500, "front", "a", 5)])
    assert own.look() == Outcome(), "a time that is not looked at any more"
    assert own.look(complete=True) == Outcome()
    assert told(store) == STORY


def test_an_event_follows_the_change_of_one_of_its_ends(store: Store) -> None:
    write(store, BACKGROUND + LIFE)
    watcher(store).look(complete=True)
    changes = [("new", 100), ("new", 550), ("other", 590), ("front", 2395)]
    write_events(store, [change(service, at) for service, at in changes])
    found = {
        told_of(event): event.change_event for event in read_events(store, 0, FAR, types=[NEW, VANISHED, RETURNED])
    }
    assert found == {STORY[0]: "new-550", STORY[1]: "front-2395", STORY[2]: "new-550"}


def change(service: str, at: int) -> Event:
    time_ms = (T0 + at) * 1000
    name = f"{service}-{at}"
    return Event(
        id=name,
        type="deployment",
        time_ms=time_ms,
        evident_ms=time_ms,
        detected_ms=time_ms,
        service=service,
        title=name,
    )


def test_an_old_history_is_begun_coarsely(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store of very many rows: hours and minutes say what was there, and the last hours are taken finely."""
    monkeypatch.setattr("chronotope.server.detection.watcher._FINE_ROWS", 10)
    days = 4 * 86_400
    rows = [(at, "front", name, 5) for name in "abc" for at in range(0, days, 60)]
    write(store, [*rows, *steady("front", "new", days - 7200, days)])
    own = watcher(store)
    own.look(complete=True)
    assert told(store) == [(NEW, "new", days - 7200)]
    assert own.detector is not None
    assert own.detector.position * 10 == T0 + days
