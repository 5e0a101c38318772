"""Routes that read: each parses its parameters, asks, and answers."""

from __future__ import annotations

import msgspec
from flask import Blueprint, Response

from chronotope.schema.storage.store import Store
from chronotope.server.answers.answer import Answer
from chronotope.server.answers.graph import (
    answer_edge,
    answer_graph,
    answer_nodegraph,
    answer_service,
    answer_services,
    answer_timeline,
)
from chronotope.server.answers.parameters import (
    FilterParameters,
    GraphParameters,
    NoParameters,
    SeriesParameters,
    ServiceParameters,
    ServicesParameters,
    TimelineParameters,
)
from chronotope.server.api.transfer import query, respond
from chronotope.server.evidence.settings import Settings
from chronotope.server.export.nodegraph import plugin_fields


def reading_routes(store: Store, settings: Settings) -> Blueprint:
    """Return `/api/v1/graph` and the other reading routes."""
    routes = Blueprint("reading", __name__, url_prefix="/api/v1")

    @routes.get("/graph")
    def graph() -> Response:
        return respond(answer_graph(store, settings, query(GraphParameters), settings.clock()))

    @routes.get("/timeline")
    def timeline() -> Response:
        return respond(answer_timeline(store, settings, query(TimelineParameters), settings.clock()))

    @routes.get("/services")
    def services() -> Response:
        return respond(answer_services(store, settings, query(ServicesParameters), settings.clock()))

    @routes.get("/services/<path:service>")
    def service(service: str) -> Response:
        return respond(answer_service(store, settings, query(ServiceParameters), settings.clock(), service))

    @routes.get("/edges/<path:edge>")
    def edge(edge: str) -> Response:
        return respond(answer_edge(store, settings, query(SeriesParameters), settings.clock(), edge))

    return routes


def grafana_routes(store: Store, settings: Settings) -> Blueprint:
    """Return the routes that Grafana's Node Graph API data source asks: stock Grafana draws the graph too."""
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
