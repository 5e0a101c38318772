"""A change of a service as answers show it, with a text that says how long ago it was."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from chronotope.schema.times import format_time
from chronotope.server.events.event import Event


class Change(Struct, gc=False):
    """A change of a service: reported, or a new version that spans said. `text` says it beside the answer's end."""

    id: str
    type: str
    time: str
    service: str
    title: str
    text: str
    attributes: dict[str, str]
    url: str


def change_records(changes: Iterable[Event], at_ms: int, service: str | None = None) -> list[Change]:
    """Return the changes, of one service if it is given, the latest first."""
    return [
        Change(
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
