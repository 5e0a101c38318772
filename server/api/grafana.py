"""Routes that Grafana's Node Graph API data source asks, so that Grafana without our plugin draws the graph too."""

from __future__ import annotations

import msgspec
from flask import Blueprint, Response

from chronotope.schema.storage.store import Store
from chronotope.server.answers.answer import Answer
from chronotope.server.answers.graph import answer_nodegraph
from chronotope.server.answers.parameters import FilterParameters, NoParameters
from chronotope.server.api.transfer import query, respond
from chronotope.server.evidence.settings import Settings
from chronotope.server.export.nodegraph import plugin_fields


def grafana_routes(store: Store, settings: Settings) -> Blueprint:
    """Return the routes under `/grafana/nodegraph/api`."""
    routes = Blueprint("grafana", __name__, url_prefix="/grafana/nodegraph/api")

    @routes.get("/health")
    def health() -> Response:
        query(NoParameters)
        return respond(Answer(b'{"status":"ok"}'))

    @routes.get("/graph/fields")
    def fields() -> Response:
        parameters = query(FilterParameters)
        parameters.question(settings.clock())
        return respond(Answer(msgspec.json.encode(plugin_fields(placed=parameters.positions))))

    @routes.get("/graph/data")
    def data() -> Response:
        return respond(answer_nodegraph(store, settings, query(FilterParameters), settings.clock()))

    return routes
