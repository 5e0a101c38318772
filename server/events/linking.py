"""Which reported change an event follows. Pure.

Invariant: an event names at most one change: the latest one of its source or target that came before it, within the
window. An event's time is a bucket's bound, so a change counts as before it up to one bucket later.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from chronotope.schema.observations import BUCKET_S
from chronotope.server.events.event import Event

_BUCKET_MS = BUCKET_S * 1000


def follow_changes(events: Iterable[Event], changes: Sequence[Event], window_ms: int) -> list[Event]:
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
