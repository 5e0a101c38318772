"""`GET /api/v1/positions`."""

from __future__ import annotations

from flask import Blueprint, Response

from chronotope.server.answers.graph import answer_positions
from chronotope.server.answers.parameters import PositionsParameters
from chronotope.server.api.openapi import described
from chronotope.server.api.transfer import query, respond
from chronotope.server.evidence.settings import Settings
from chronotope.server.layout.positions import Places, Positions

PATH = "/api/v1/positions"


def positions_routes(places: Places, settings: Settings) -> Blueprint:
    """Return the route, described in `openapi`."""
    routes = Blueprint("positions", __name__)

    @routes.get(PATH)
    def positions() -> Response:
        return respond(answer_positions(places, query(PositionsParameters), settings.clock()))

    summary = "Where each node of the drawing is, of all services ever seen."
    routes.openapi = {  # type: ignore[attr-defined]
        PATH: described(summary, PositionsParameters, Positions, refusals=("400", "503"))
    }
    return routes
