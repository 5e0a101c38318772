"""Changes of services: reported ones, and new versions that spans show.

Invariant: a new version that a report covers within ten minutes is not listed a second time. The first version of a
service is no change.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec import Struct

from chronotope.schema.storage.store import Store
from chronotope.schema.times import format_time
from chronotope.server.events.event import Event, event_id
from chronotope.server.events.table import read_changes

DEPLOYMENT = "deployment"
VERSION = "service.version"
_SAME_MS = 600_000
# Each version with when it was first seen, and the one before it.
_VERSIONS = """
SELECT service, value, before, began
FROM
(
    SELECT service, value, began,
           lagInFrame(value) OVER (PARTITION BY service ORDER BY began, value
                                   ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS before
    FROM
    (
        SELECT service, value, toUnixTimestamp64Milli(min(first_seen)) AS began
        FROM service_attributes
        WHERE key = {key:String}
        GROUP BY service, value
    )
)
WHERE before != '' AND began >= {from:Int64} AND began < {to:Int64}
ORDER BY began, service
"""


def changes_between(store: Store, from_ms: int, to_ms: int) -> list[Event]:
    """Return the changes of [from, to), Unix milliseconds, in order of time."""
    reported = read_changes(store, max(from_ms - _SAME_MS, 0), to_ms + _SAME_MS)
    parameters: dict[str, Any] = {"key": VERSION, "from": from_ms, "to": to_ms}
    seen = [
        version_event(str(service), str(value), str(before), int(began))
        for service, value, before, began in store.rows(_VERSIONS, parameters)
    ]
    unreported = [event for event in seen if not any(_covers(one, event) for one in reported)]
    within = [one for one in reported if from_ms <= one.time_ms < to_ms]
    return sorted([*within, *unreported], key=lambda one: (one.time_ms, one.id))


def version_event(service: str, version: str, before: str, at_ms: int) -> Event:
    """Return a new version as a deployment."""
    return Event(
        id=event_id(DEPLOYMENT, service, at_ms, version),
        type=DEPLOYMENT,
        time_ms=at_ms,
        evident_ms=at_ms,
        detected_ms=at_ms,
        service=service,
        title=f"{service.rpartition('/')[2]} {version}",
        attributes={VERSION: version, "before": before},
    )


def _covers(reported: Event, seen: Event) -> bool:
    """Whether a report is about the deployment of a version that spans began to show."""
    version = seen.attributes[VERSION]
    near = abs(reported.time_ms - seen.time_ms) <= _SAME_MS
    return (
        near
        and reported.service == seen.service
        and (reported.type == DEPLOYMENT or version in reported.title or version in reported.attributes.values())
    )


class ServiceChange(Struct, gc=False):
    """A change of a service: reported, or a new version in spans. `text` says how long before the end it was."""

    id: str
    type: str
    time: str
    service: str
    title: str
    text: str
    attributes: dict[str, str]
    url: str


def change_records(changes: Iterable[Event], at_ms: int, service: str | None = None) -> list[ServiceChange]:
    """Return the changes, of one service if it is given, the latest first."""
    return [
        ServiceChange(
            one.id, one.type, format_time(one.time_ms), one.service, one.title,
            f"{ago(at_ms - one.time_ms)}: {one.title or f'{one.type} of {one.service}'}", one.attributes, one.url,
        )
        for one in sorted(changes, key=lambda one: (-one.time_ms, one.id))
        if service is None or one.service == service
    ]  # fmt: skip


def ago(ms: int) -> str:
    """Return in words how long before an instant something was."""
    minutes = ms // 60_000
    if minutes < 1:
        return "less than a minute before"
    if minutes < 120:
        return f"{minutes} minute{'s' * (minutes != 1)} before"
    return f"{minutes // 60} hours before" if minutes < 48 * 60 else f"{minutes // 1440} days before"
