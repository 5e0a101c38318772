"""What happened to dependencies, and the changes that were reported: parameters and answer of `/api/v1/events`.

Invariant: each event is in an answer once, and events are in order of time.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from pydantic import BeforeValidator, Field

from chronotope.schema.errors import InvalidWindow
from chronotope.schema.storage.store import Store
from chronotope.schema.times import format_time, parse_time
from chronotope.server.answers.answer import Answer, tagged
from chronotope.server.answers.parameters import Parameters, Texts, Time, split_list
from chronotope.server.events.event import Events, record_of
from chronotope.server.events.table import read_events
from chronotope.server.evidence.settings import Settings

PATH = "/api/v1/events"


Include = Annotated[tuple[Literal["withdrawn"], ...], Field(min_length=1), BeforeValidator(split_list)]


class EventsParameters(Parameters):
    """Parameters of the events."""

    from_: Time = Field("now-1d", alias="from", description="The first time an event may have, in the data's time.")
    to: Time = Field("now", description="The time before which events must be.")
    type: Texts = Field((), description="Only these: `new_dependency`, `vanished_dependency`, `deployment`, ….")
    service: Texts = Field((), description="Only events of a dependency from or to these services, or their changes.")
    include: Include = Field((), description="`withdrawn`: what later data took back too.")
    limit: int = Field(1000, ge=1, le=100_000, description="Most events returned: the latest.")


def answer_events(store: Store, settings: Settings, parameters: EventsParameters, now_ms: int) -> Answer:
    """Return the events of a window.

    Raises:
        InvalidTime, InvalidWindow: a time that cannot be understood, or an empty window.
    """
    start = parse_time(parameters.from_, now_ms, name="from")
    end = parse_time(parameters.to, now_ms, name="to")
    if end <= start:
        raise InvalidWindow(
            f"the window from {format_time(start)} to {format_time(end)} is empty; from must be before to"
        )
    found = read_events(
        store,
        start,
        end,
        types=parameters.type,
        services=parameters.service,
        withdrawn="withdrawn" in parameters.include,
        limit=parameters.limit + 1,
        change_window_s=settings.change_window_s,
    )
    records = [record_of(event) for event in found[-parameters.limit :]]
    body = msgspec.json.encode(Events(records, len(found) > parameters.limit))
    return tagged(body, end, now_ms)
