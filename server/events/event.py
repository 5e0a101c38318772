"""One event: a dependency that appeared, vanished or returned, a violated rule, or a reported change.

Invariant: an id is a digest of what the event says (its type, its subject, its time in the data), never of who found it
or when. So two servers, or one that starts again, give an event the same id.
"""

from __future__ import annotations

import hashlib
from typing import Any

from msgspec import UNSET, Struct, UnsetType

from chronotope.schema.names import edge_id
from chronotope.schema.times import format_time

NEW, VANISHED, RETURNED = "new_dependency", "vanished_dependency", "returned_dependency"
DEPENDENCY_TYPES = (NEW, VANISHED, RETURNED)
RULE_VIOLATION = "rule_violation"


class EventEdge(Struct, frozen=True):
    """The dependency an event is about."""

    id: str
    source: str
    target: str
    protocol: str


class Event(Struct, frozen=True, kw_only=True):
    """An event as the API has it; times are Unix milliseconds here and RFC 3339 there.

    `edge` is None for a reported change, which has `service`, `title`, `attributes` and `url` instead. `probability`
    is that of a silence as long as the one seen, had the edge lived on; None where that is no question.
    """

    id: str
    type: str
    time_ms: int
    evident_ms: int
    detected_ms: int
    edge: EventEdge | None = None
    layers: tuple[str, ...] = ()
    probability: float | None = None
    change_event: str | None = None
    rule: str | None = None
    service: str = ""
    title: str = ""
    attributes: dict[str, str] = {}
    url: str = ""
    withdrawn: bool = False

    @property
    def services(self) -> tuple[str, ...]:
        """What the event is about, service ids."""
        return (self.edge.source, self.edge.target) if self.edge is not None else (self.service,)


class EventRecord(Struct, kw_only=True):
    """An event in an answer; a field that a kind of event does not have is not there."""

    id: str
    type: str
    time: str
    detected_at: str
    evident_at: str
    edge: EventEdge | None
    layers: tuple[str, ...]
    probability: float | None
    change_event: str | None
    rule: str | None
    service: str | UnsetType = UNSET
    title: str | UnsetType = UNSET
    attributes: dict[str, str] | UnsetType = UNSET
    url: str | UnsetType = UNSET
    withdrawn: bool | UnsetType = UNSET


class Events(Struct):
    """Events in order of time; `truncated`: earlier ones were left out."""

    events: list[EventRecord]
    truncated: bool


def edge_of(source: str, target: str, protocol: str) -> EventEdge:
    """Return the dependency with its id."""
    return EventEdge(edge_id(source, target, protocol), source, target, protocol)


def event_id(type_: str, subject: str, time_ms: int, *more: Any) -> str:
    """Return the id of an event, 16 hex digits.

    Args:
        type_: the event's type.
        subject: what it is about: the edge's id; of a violation the rule's name and the subject belong to `more`.
        time_ms: the event's time in the data.
        more: what else tells it from another event of the same type, subject and time.
    """
    text = "\0".join([type_, subject, str(time_ms), *map(str, more)])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def record_of(event: Event) -> EventRecord:
    """Return an event as an answer has it."""
    change = event.edge is None
    return EventRecord(
        id=event.id,
        type=event.type,
        time=format_time(event.time_ms),
        detected_at=format_time(event.detected_ms),
        evident_at=format_time(event.evident_ms),
        edge=event.edge,
        layers=event.layers,
        probability=event.probability,
        change_event=event.change_event,
        rule=event.rule,
        service=event.service if change else UNSET,
        title=event.title if change or event.title else UNSET,
        attributes=event.attributes if change or event.attributes else UNSET,
        url=event.url if change or event.url else UNSET,
        withdrawn=event.withdrawn or UNSET,
    )
