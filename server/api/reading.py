"""Routes that read: each parses its parameters, asks, and answers."""

from __future__ import annotations

from flask import Blueprint, Response, request

from chronotope.schema.store import Store
from chronotope.server.api.answers import answer_graph
from chronotope.server.api.parameters import GraphParameters, T, parse_parameters
from chronotope.server.api.transfer import respond
from chronotope.server.settings import Settings


def query(model: type[T]) -> T:
    """Return the current request's parameters."""
    return parse_parameters(model, request.args.lists())


def reading_routes(store: Store, settings: Settings) -> Blueprint:
    """Return `/api/v1/graph` and the other reading routes."""
    routes = Blueprint("reading", __name__, url_prefix="/api/v1")

    @routes.get("/graph")
    def graph() -> Response:
        return respond(answer_graph(store, settings, query(GraphParameters), settings.clock()))

    return routes
