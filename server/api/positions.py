"""`GET /api/v1/positions`: where each node of the drawing is."""

from __future__ import annotations

from typing import Any

import msgspec
from flask import Blueprint, Response
from pydantic import Field

from chronotope.server.answers.graph import Answer
from chronotope.server.answers.parameters import Parameters
from chronotope.server.api.openapi import query_parameters
from chronotope.server.api.transfer import query, respond
from chronotope.server.evidence.settings import Settings
from chronotope.server.layout.places import Places, Positions

PATH = "/api/v1/positions"


class PositionsParameters(Parameters):
    """Whose positions are wanted."""

    group_by: str = Field("", max_length=300, description="As of the graph: positions of groups instead of services.")


def positions_routes(places: Places, settings: Settings) -> Blueprint:
    """Return the route, described in `openapi`."""
    routes = Blueprint("positions", __name__)

    @routes.get(PATH)
    def positions() -> Response:
        found = places.positions(query(PositionsParameters).group_by, settings.clock())
        return respond(Answer(msgspec.json.encode(found)))

    routes.openapi = {PATH: _described()}  # type: ignore[attr-defined]
    return routes


def _described() -> dict[str, Any]:
    (_,), components = msgspec.json.schema_components((Positions,), ref_template="#/{name}")
    responses: dict[str, Any] = {
        "200": {
            "description": "Columns, one value a node; a place once given stays.",
            "content": {"application/json": {"schema": components["Positions"]}},
        }
    }
    responses |= {status: {"$ref": f"#/components/responses/{status}"} for status in ("400", "503")}
    summary = "Where each node of the drawing is, of all services ever seen."
    return {"get": {"summary": summary, "parameters": query_parameters(PositionsParameters), "responses": responses}}
