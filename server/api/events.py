"""`GET /api/v1/events`: what happened to dependencies, and the changes that were reported.

Invariant: an answer is the same for the route and the command; each event is in it once, in order of time.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Literal

import msgspec
from flask import Blueprint, Response
from pydantic import BeforeValidator, Field

from chronotope.schema.errors import InvalidWindow
from chronotope.schema.storage.store import Store
from chronotope.schema.times import format_time, parse_time
from chronotope.server.answers.graph import JSON, SETTLED_AFTER_MS, Answer
from chronotope.server.answers.parameters import Parameters, Texts, Time
from chronotope.server.api.openapi import query_parameters
from chronotope.server.api.transfer import query, respond
from chronotope.server.events.event import Events, record_of
from chronotope.server.events.table import read_events
from chronotope.server.evidence.settings import Settings

PATH = "/api/v1/events"


def _split(value: object) -> object:
    return value.split(",") if isinstance(value, str) else value


Include = Annotated[tuple[Literal["withdrawn"], ...], Field(min_length=1), BeforeValidator(_split)]


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
    past = end <= now_ms - SETTLED_AFTER_MS
    return Answer(body, JSON, hashlib.blake2b(body, digest_size=12).hexdigest() if past else "")


def events_routes(store: Store, settings: Settings) -> Blueprint:
    """Return the route, described in `openapi`."""
    routes = Blueprint("events", __name__)

    @routes.get(PATH)
    def events() -> Response:
        return respond(answer_events(store, settings, query(EventsParameters), settings.clock()))

    routes.openapi = {PATH: _described()}  # type: ignore[attr-defined]
    return routes


def _described() -> dict[str, Any]:
    _, components = msgspec.json.schema_components([Events], ref_template="#/components/schemas/{name}")
    answer = components["Events"]
    record, edge = components["EventRecord"], components["EventEdge"]
    record["properties"]["edge"] = {"anyOf": [{"type": "null"}, edge]}
    answer["properties"]["events"] = {"type": "array", "items": record}
    refused = {status: {"$ref": f"#/components/responses/{status}"} for status in ("400", "422", "503")}
    return {
        "get": {
            "summary": "Dependencies that appeared, vanished or returned, violated rules, and reported changes.",
            "parameters": query_parameters(EventsParameters),
            "responses": {
                "200": {"description": "The answer.", "content": {"application/json": {"schema": answer}}},
                **refused,
            },
        }
    }
