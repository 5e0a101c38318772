"""`GET /api/v1/unattributed`."""

from __future__ import annotations

from flask import Blueprint, Response

from chronotope.schema.storage.store import Store
from chronotope.server.answers.unattributed import (
    PATH,
    Explain,
    UnattributedAnswer,
    UnattributedParameters,
    answer_unattributed,
)
from chronotope.server.api.openapi import described
from chronotope.server.api.transfer import query, respond
from chronotope.server.evidence.settings import Settings


def unattributed_routes(store: Store, settings: Settings, explain: Explain) -> Blueprint:
    """Return the route, described in `openapi`."""
    routes = Blueprint("unattributed", __name__)

    @routes.get(PATH)
    def unattributed() -> Response:
        parameters = query(UnattributedParameters)
        return respond(answer_unattributed(store, settings, parameters, settings.clock(), explain))

    summary = "Addresses with traffic that nobody owns, the busiest first, with what is known of each."
    routes.openapi = {  # type: ignore[attr-defined]
        PATH: described(summary, UnattributedParameters, UnattributedAnswer)
    }
    return routes
