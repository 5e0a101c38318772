"""`GET /api/v1/events`."""

from __future__ import annotations

from flask import Blueprint, Response

from chronotope.schema.storage.store import Store
from chronotope.server.answers.events import PATH, EventsParameters, answer_events
from chronotope.server.api.openapi import described
from chronotope.server.api.transfer import query, respond
from chronotope.server.events.event import Events
from chronotope.server.evidence.settings import Settings


def events_routes(store: Store, settings: Settings) -> Blueprint:
    """Return the route, described in `openapi`."""
    routes = Blueprint("events", __name__)

    @routes.get(PATH)
    def events() -> Response:
        return respond(answer_events(store, settings, query(EventsParameters), settings.clock()))

    summary = "Dependencies that appeared, vanished or returned, violated rules, and reported changes."
    routes.openapi = {PATH: described(summary, EventsParameters, Events)}  # type: ignore[attr-defined]
    return routes
