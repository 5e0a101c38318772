"""The WSGI application: joins routes, problems, compression and metrics over one store."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

import msgspec
from flask import Blueprint, Flask, Response
from prometheus_client import CollectorRegistry

from chronotope.schema.storage.store import Store
from chronotope.server.answers.parameters import NoParameters
from chronotope.server.api.grafana import grafana_routes
from chronotope.server.api.health import health_routes, register_metrics
from chronotope.server.api.manual import manual_routes
from chronotope.server.api.openapi import openapi_document
from chronotope.server.api.page import page_routes
from chronotope.server.api.problems import register_problems
from chronotope.server.api.reading import reading_routes
from chronotope.server.api.rules import rules_routes
from chronotope.server.api.transfer import query, register_compression
from chronotope.server.evidence.settings import Settings


def create_app(
    store: Store,
    settings: Settings,
    *,
    blueprints: Iterable[Blueprint] = (),
    registry: CollectorRegistry | None = None,
) -> Flask:
    """Return the application.

    Args:
        store: open and migrated; `/readyz` says when it is not.
        settings: what reading needs to know.
        blueprints: more routes, such as those that receive spans; their errors become problems too. One that has an
            attribute `openapi` (path → OpenAPI path item) is described by it.
        registry: metrics that `/metrics` shows beside its own; default: one of this application's own.
    """
    registry = registry or CollectorRegistry()
    app = Flask(__name__, static_folder=None)
    app.url_map.strict_slashes = True
    app.url_map.merge_slashes = False
    register_compression(app, settings.compress_from_bytes)
    register_metrics(app, registry)  # after_request runs in reverse: timed before compression
    register_problems(app)
    app.register_blueprint(grafana_routes(store, settings))
    app.register_blueprint(health_routes(store, registry))
    app.register_blueprint(page_routes())
    described = [reading_routes(store, settings), rules_routes(store, settings), manual_routes(), *blueprints]
    for blueprint in described:
        app.register_blueprint(blueprint)
    app.register_blueprint(_document_route(app, described))
    return app


def _document_route(app: Flask, blueprints: list[Blueprint]) -> Blueprint:
    routes = Blueprint("openapi", __name__)

    @cache
    def document() -> bytes:
        return msgspec.json.encode(openapi_document(app, blueprints))

    @routes.get("/api/v1/openapi.json")
    def openapi() -> Response:
        query(NoParameters)
        return Response(document(), mimetype="application/json")

    return routes
