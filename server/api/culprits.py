"""`GET /api/v1/culprits`."""

from __future__ import annotations

from flask import Blueprint, Response

from chronotope.schema.storage.store import Store
from chronotope.server.answers.culprits import PATH, CulpritsParameters, answer_culprits
from chronotope.server.api.openapi import described
from chronotope.server.api.transfer import query, respond
from chronotope.server.culprits.records import CulpritsAnswer
from chronotope.server.evidence.settings import Settings


def culprits_routes(store: Store, settings: Settings) -> Blueprint:
    """Return the route, described in `openapi`."""
    routes = Blueprint("culprits", __name__)

    @routes.get(PATH)
    def culprits() -> Response:
        return respond(answer_culprits(store, settings, query(CulpritsParameters), settings.clock()))

    summary = "Services that a degradation likely comes from."
    routes.openapi = {PATH: described(summary, CulpritsParameters, CulpritsAnswer)}  # type: ignore[attr-defined]
    return routes
