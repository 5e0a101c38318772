"""`GET /api/v1/findings`."""

from __future__ import annotations

from flask import Blueprint, Response

from chronotope.schema.storage.store import Store
from chronotope.server.answers.findings import PATH, FindingsParameters, answer_findings
from chronotope.server.api.openapi import described
from chronotope.server.api.transfer import query, respond
from chronotope.server.evidence.settings import Settings
from chronotope.server.findings.findings import Findings


def findings_routes(store: Store, settings: Settings) -> Blueprint:
    """Return the route, described in `openapi`."""
    routes = Blueprint("findings", __name__)

    @routes.get(PATH)
    def findings() -> Response:
        return respond(answer_findings(store, settings, query(FindingsParameters), settings.clock()))

    summary = "Edges that a layer should have seen and did not, each with the reason in plain words."
    routes.openapi = {PATH: described(summary, FindingsParameters, Findings)}  # type: ignore[attr-defined]
    return routes
