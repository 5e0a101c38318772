"""A back-test of rules about events needs none in the store: they are found as a server would have found them."""

from __future__ import annotations

import numpy as np
from tests.server.rules.history import KEEP_ALL, T0, rules_of

from chronotope.schema.config.events import EventsSection
from chronotope.schema.observations import observation_table
from chronotope.schema.storage.migrate import migrate
from chronotope.schema.storage.store import Store
from chronotope.server.detection.watcher import find_events
from chronotope.server.events.event import VANISHED, Event, edge_of, event_id
from chronotope.server.events.table import read_events, write_events
from chronotope.server.rules.backtest import check_rules

END = T0 + 3 * 3600
NOW_MS = (END + 3600) * 1000


def life_of_an_edge(store: Store) -> None:
    """Three hours of two edges, and of one that begins, pauses and ends."""
    migrate(store)
    second = T0 + 10 * np.arange(1080)
    spoken = {"a": np.ones(1080, bool), "b": np.ones(1080, bool), "late": (second % 7200 < 3600) & (second > T0 + 600)}
    for name, own in spoken.items():
        columns = {"time": second[own].tolist(), "layer": "trace", "source": "front", "target": name, "calls": 9}
        store.insert("observations", observation_table(columns))


def test_events_that_nobody_has_looked_for_are_found_and_wrong_ones_left_out() -> None:
    """A back-test of rules about events over a store without any is that over the store in which they were found."""
    rules = rules_of(
        "\n".join(f"  - {{name: {name}, when: {{{name}: true}}}}" for name in ("new", "vanished", "returned"))
    )
    answers = []
    for found in (False, True):
        with Store.open("chdb://memory") as store:
            life_of_an_edge(store)
            edge = edge_of("front", "a", "")
            times = {"time_ms": T0 * 1000, "evident_ms": (T0 + 60) * 1000, "detected_ms": NOW_MS}
            name = event_id(VANISHED, edge.id, T0 * 1000)
            wrong = Event(id=name, type=VANISHED, edge=edge, layers=("trace",), **times)
            write_events(store, [wrong])
            if found:
                find_events(store, EventsSection(), lambda: NOW_MS)
            before = read_events(store, 0, 2 * NOW_MS, withdrawn=True)
            window = T0 * 1000, END * 1000
            answers.append(check_rules(store, rules, *window, KEEP_ALL, NOW_MS))
            assert read_events(store, 0, 2 * NOW_MS, withdrawn=True) == before, "nothing is written"
    assert answers[0] == answers[1]
    assert [check.fired for check in answers[0].rules] == [1, 1, 1]
