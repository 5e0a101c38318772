"""`GET /api/v1/diff`."""

from __future__ import annotations

from flask import Blueprint, Response

from chronotope.schema.storage.store import Store
from chronotope.server.answers.diff import PATH, DiffParameters, answer_diff
from chronotope.server.api.transfer import query, respond
from chronotope.server.evidence.settings import Settings


def diff_routes(store: Store, settings: Settings) -> Blueprint:
    """Return the route; `openapi` describes it with the other reading routes."""
    routes = Blueprint("diff", __name__)

    @routes.get(PATH)
    def diff() -> Response:
        return respond(answer_diff(store, settings, query(DiffParameters), settings.clock()))

    return routes
