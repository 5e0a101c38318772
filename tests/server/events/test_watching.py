"""Events of a store as evidence arrives: each once, whatever the order, the restarts and the number of servers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from chronotope.schema.config_events import EventsSection
from chronotope.schema.observations import observation_table
from chronotope.schema.store import Store
from chronotope.server.events.event import NEW, RETURNED, VANISHED, Event
from chronotope.server.events.table import read_events
from chronotope.server.events.watching import Watcher

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
