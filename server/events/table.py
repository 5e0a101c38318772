"""The table `events`: write events, and read them with the change that each follows.

Invariant: an event is in an answer once, however often it was written, as it was written last. Which reported change it
follows is decided when it is read, as the change may be reported later: at most one, the latest of its source or target
within the window before it. An event's time is the bound of a bucket, so a change up to one bucket later still counts
as before it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa
from msgspec.structs import replace

from chronotope.schema.observations import BUCKET_S
from chronotope.schema.storage.store import Store
from chronotope.server.events.event import DEPENDENCY_TYPES, RULE_VIOLATION, Event, EventEdge

CHANGE_WINDOW_S = 900
_BUCKET_MS = BUCKET_S * 1000
_FOUND = (*DEPENDENCY_TYPES, RULE_VIOLATION)  # by the server; all other types are changes that were reported
_TEXTS = ("id", "type", "edge", "source", "target", "protocol", "rule", "service", "title", "url")
_TIMES = ("time", "evident_at", "detected_at")
_STAMP = pa.timestamp("ms", tz="UTC")
_SQL = """
SELECT id, type, edge, source, target, protocol, layers, probability, rule, service, title, attributes, url, withdrawn,
       toUnixTimestamp64Milli(time) AS time_ms, toUnixTimestamp64Milli(evident_at) AS evident_ms,
       toUnixTimestamp64Milli(detected_at) AS detected_ms
FROM events FINAL
WHERE %s
ORDER BY time DESC, id
LIMIT {limit:UInt64}
"""


def write_events(store: Store, events: Sequence[Event]) -> None:
    """Write events; one that is there already is not there twice.

    Raises:
        StoreError: not written; writing them again is safe.
    """
    columns: dict[str, Any] = {name: [] for name in (*_TEXTS, *_TIMES, "layers", "probability", "attributes")}
    for event in events:
        edge = event.edge or EventEdge("", "", "", "")
        named = (event.id, event.type, edge.id, edge.source, edge.target, edge.protocol)
        for name, text in zip(_TEXTS, (*named, event.rule or "", event.service, event.title, event.url), strict=True):
            columns[name].append(text)
        for name, at in zip(_TIMES, (event.time_ms, event.evident_ms, event.detected_ms), strict=True):
            columns[name].append(at)
        columns["layers"].append(list(event.layers))
        columns["probability"].append(event.probability)
        columns["attributes"].append(list(event.attributes.items()))
    table = {name: pa.array(columns[name], pa.string()) for name in _TEXTS}
    table |= {name: pa.array(columns[name], pa.int64()).cast(_STAMP) for name in _TIMES}
    table["layers"] = pa.array(columns["layers"], pa.list_(pa.string()))
    table["probability"] = pa.array(columns["probability"], pa.float64())
    table["attributes"] = pa.array(columns["attributes"], pa.map_(pa.string(), pa.string()))
    table["withdrawn"] = pa.array([event.withdrawn for event in events]).cast(pa.uint8())
    store.insert("events", pa.table(table))


def read_events(
    store: Store,
    from_ms: int,
    to_ms: int,
    *,
    types: Sequence[str] = (),
    services: Sequence[str] = (),
    withdrawn: bool = False,
    limit: int = 1_000_000,
    change_window_s: int = CHANGE_WINDOW_S,
) -> list[Event]:
    """Return events with `from <= time < to` in order of time, the latest `limit` of them.

    Args:
        types: only these; all by default.
        services: only events of a dependency from or to one of these, or changes of one.
        withdrawn: those too that later data took back.
        change_window_s: how long after a change of one of its ends an event still follows it.
    """
    conditions = ["time >= fromUnixTimestamp64Milli({from:Int64})", "time < fromUnixTimestamp64Milli({to:Int64})"]
    parameters: dict[str, Any] = {"from": from_ms, "to": to_ms, "limit": limit}
    if types:
        conditions.append("type IN {types:Array(String)}")
        parameters["types"] = list(types)
    if services:
        either = (f"{name} IN {{services:Array(String)}}" for name in ("source", "target", "service"))
        conditions.append(f"({' OR '.join(either)})")
        parameters["services"] = list(services)
    if not withdrawn:
        conditions.append("withdrawn = 0")
    found = [_event(row) for row in store.query(_SQL % " AND ".join(conditions), parameters).to_pylist()]
    if not any(event.edge for event in found):
        return found[::-1]
    changes = read_changes(store, from_ms - change_window_s * 1000, to_ms)
    return _follow_changes(found[::-1], changes, change_window_s * 1000)


def read_changes(store: Store, from_ms: int, to_ms: int) -> list[Event]:
    """Return the reported changes of [from, to) in order of time."""
    conditions = (
        "time >= fromUnixTimestamp64Milli({from:Int64}) AND time < fromUnixTimestamp64Milli({to:Int64}) "
        "AND type NOT IN {found:Array(String)}"
    )
    parameters = {"from": max(from_ms, 0), "to": to_ms, "found": list(_FOUND), "limit": 1_000_000}
    return [_event(row) for row in store.query(_SQL % conditions, parameters).to_pylist()][::-1]


def read_evident(store: Store, after_ms: int, until_ms: int) -> list[Event]:
    """Return dependency events, none withdrawn, that became evident in (after, until], in the data's time."""
    conditions = (
        "evident_at > fromUnixTimestamp64Milli({after:Int64}) "
        "AND evident_at <= fromUnixTimestamp64Milli({until:Int64}) AND type IN {found:Array(String)} AND withdrawn = 0"
    )
    parameters = {"after": after_ms, "until": until_ms, "found": list(DEPENDENCY_TYPES), "limit": 10_000_000}
    return [_event(row) for row in store.query(_SQL % conditions, parameters).to_pylist()][::-1]


def read_detected(store: Store, after_ms: int, until_ms: int, limit: int) -> list[Event]:
    """Return events of every type, none withdrawn, that were detected in (after, until], in order of time."""
    conditions = (
        "detected_at > fromUnixTimestamp64Milli({after:Int64}) "
        "AND detected_at <= fromUnixTimestamp64Milli({until:Int64}) AND withdrawn = 0"
    )
    parameters = {"after": after_ms, "until": until_ms, "limit": limit}
    return [_event(row) for row in store.query(_SQL % conditions, parameters).to_pylist()][::-1]


def known_ids(store: Store, ids: Iterable[str]) -> set[str]:
    """Return which of some events are in the store and hold."""
    asked = list(ids)
    if not asked:
        return set()
    sql = "SELECT id FROM events FINAL WHERE id IN {ids:Array(String)} AND withdrawn = 0"
    rows = store.rows(sql, {"ids": asked})
    return {str(row[0]) for row in rows}


def _event(row: dict[str, Any]) -> Event:
    edge = EventEdge(row["edge"], row["source"], row["target"], row["protocol"]) if row["edge"] else None
    return Event(
        id=row["id"],
        type=row["type"],
        time_ms=row["time_ms"],
        evident_ms=row["evident_ms"],
        detected_ms=row["detected_ms"],
        edge=edge,
        layers=tuple(row["layers"]),
        probability=row["probability"],
        rule=row["rule"] or None,
        service=row["service"],
        title=row["title"],
        attributes=dict(row["attributes"]),
        url=row["url"],
        withdrawn=bool(row["withdrawn"]),
    )


def _follow_changes(events: Iterable[Event], changes: Sequence[Event], window_ms: int) -> list[Event]:
    """Return the events, those about a dependency with the change that they follow.

    Args:
        changes: reported changes in order of time.
        window_ms: how long after a change an event still follows it.
    """
    by_service: dict[str, list[tuple[int, str]]] = {}
    for change in changes:
        by_service.setdefault(change.service, []).append((change.time_ms, change.id))
    return [event if event.edge is None else _linked(event, by_service, window_ms) for event in events]


def _linked(event: Event, by_service: dict[str, list[tuple[int, str]]], window_ms: int) -> Event:
    nearest: tuple[int, str] | None = None
    for service in event.services:
        own = by_service.get(service, [])
        at = bisect_right(own, (event.time_ms + _BUCKET_MS, "\uffff"))
        if at and own[at - 1][0] >= event.time_ms - window_ms:
            nearest = max(nearest or own[at - 1], own[at - 1])
    return event if nearest is None else replace(event, change_event=nearest[1])
