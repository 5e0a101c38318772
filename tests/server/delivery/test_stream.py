"""The stream of changes: what a client sees, when it comes back, and when there are too many."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from chronotope.schema.errors import Busy
from chronotope.schema.observations import observation_table
from chronotope.schema.storage.migrate import migrate
from chronotope.schema.storage.store import Store
from chronotope.server.api.app import create_app
from chronotope.server.api.stream import stream_routes
from chronotope.server.delivery.stream import MOST_CLIENTS, Hub, Position, parse_position
from chronotope.server.events.event import NEW, Event, edge_of, event_id
from chronotope.server.events.table import write_events
from chronotope.server.evidence.settings import Settings

T0 = 1_700_006_400


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    """a calls b from T0 on for a minute, c from a minute later on; the new dependency is an event."""
    with Store.open("chdb://memory") as opened:
        migrate(opened)
        rows = [(T0 + 10 * at, "b" if at < 6 else "c", at + 1) for at in range(20)]
        opened.insert(
            "observations",
            observation_table(
                {
                    "time": [row[0] for row in rows],
                    "layer": "trace",
                    "source": "a",
                    "target": [row[1] for row in rows],
                    "calls": [row[2] for row in rows],
                }
            ),
        )
        at = (T0 + 60) * 1000
        edge = edge_of("a", "c", "unknown")
        event = Event(id=event_id(NEW, edge.id, at), type=NEW, time_ms=at, evident_ms=at, detected_ms=at + 9, edge=edge)
        write_events(opened, [event])
        yield opened


def hub_at(store: Store, seconds: int) -> Hub:
    return Hub(store, Settings(clock=lambda: (T0 + seconds) * 1000 + 5000), CollectorRegistry())


def messages(text: str) -> list[tuple[str, str, Any]]:
    """(event, id, data) of each message."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        if "data" in fields:
            found.append((fields["event"], fields.get("id", ""), json.loads(fields["data"])))
    return found


def first(hub: Hub, known: Position | None) -> list[tuple[str, str, Any]]:
    joined = hub.join(known)
    text = next(joined).decode()
    joined.close()  # type: ignore[attr-defined]
    return messages(text)


def test_a_new_client_gets_the_whole_graph(store: Store) -> None:
    ((kind, id_, graph),) = first(hub_at(store, 60), None)
    assert (kind, graph["reset"], graph["removed"]) == ("graph", True, [])
    assert [(edge["source"], edge["target"]) for edge in graph["added"]] == [("a", "b")]
    assert graph["active"]["trace"]["calls"] == [21]
    assert parse_position(id_) == Position((T0 + 60) * 1000, (T0 + 65) * 1000)


def test_each_bucket_tells_what_is_new_and_gone(store: Store) -> None:
    hub = hub_at(store, 60)
    hub.tick((T0 + 60) * 1000)
    text = hub_at(store, 70)
    text._at = hub._at  # the same hub, ten seconds later
    (event, graph) = messages(text.tick((T0 + 70) * 1000))
    assert (event[0], event[2]["type"], event[2]["edge"]["target"]) == ("dependency", "new_dependency", "c")
    assert [edge["target"] for edge in graph[2]["added"]] == ["c"]
    assert graph[2]["removed"] == []
    assert graph[2]["active"]["trace"]["calls"] == [20, 7]


def test_a_client_that_comes_back_misses_nothing_whichever_server_it_asks(store: Store) -> None:
    away = Position((T0 + 50) * 1000, (T0 + 55) * 1000)
    event, graph = first(hub_at(store, 130), away)
    assert event[2]["edge"]["target"] == "c"
    assert (graph[2]["reset"], len(graph[2]["removed"])) == (False, 1)
    assert [edge["target"] for edge in graph[2]["added"]] == ["c"]


@pytest.mark.parametrize("text", ["", "1.", "x.y", "-1.2", "١.٢", "5"])
def test_what_is_no_id_of_ours_begins_anew(text: str) -> None:
    assert parse_position(text) is None


def test_a_client_that_was_away_for_days_begins_anew(store: Store) -> None:
    ((_, _, graph),) = first(hub_at(store, 100), Position((T0 - 200_000) * 1000, 0))
    assert graph["reset"]


def test_one_client_too_many_is_turned_away_and_a_place_is_free_again(store: Store) -> None:
    hub = hub_at(store, 60)
    joined = [hub.join(None) for _ in range(MOST_CLIENTS)]
    for own in joined:
        next(own)
    with pytest.raises(Busy, match="16 clients listen already"):
        hub.join(None)
    joined[0].close()  # type: ignore[attr-defined]
    joined[0] = hub.join(None)
    next(joined[0])
    hub.stop(1)
    assert [list(own) for own in joined] == [[]] * MOST_CLIENTS


def test_the_route_says_what_it_is(store: Store) -> None:
    hub = hub_at(store, 60)
    app = create_app(store, Settings(), blueprints=[stream_routes(hub)])
    answer = app.test_client().get("/api/v1/stream", headers={"Accept-Encoding": "gzip", "Last-Event-ID": "junk"})
    assert answer.content_type.startswith("text/event-stream")
    assert "Content-Encoding" not in answer.headers
    assert next(answer.iter_encoded()).startswith(b"retry: 3000\n\nevent: graph\nid: ")
    answer.close()
    assert app.test_client().get("/api/v1/stream?x=1").status_code == 400
    assert "/api/v1/stream" in app.test_client().get("/api/v1/openapi.json").json["paths"]
