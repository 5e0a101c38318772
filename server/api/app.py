"""The WSGI application: wires routes, problems, compression and metrics around one store."""

from __future__ import annotations

from collections.abc import Iterable

from flask import Blueprint, Flask
from prometheus_client import CollectorRegistry

from chronotope.schema.store import Store
from chronotope.server.api.health import health_routes, register_metrics
from chronotope.server.api.problems import register_problems
from chronotope.server.api.reading import grafana_routes, reading_routes
from chronotope.server.api.transfer import register_compression
from chronotope.server.settings import Settings


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
        blueprints: more routes, such as those that receive spans; their errors become problems too.
        registry: metrics that `/metrics` shows beside its own; default: one of this application's own.
    """
    registry = registry or CollectorRegistry()
    app = Flask(__name__, static_folder=None)
    app.url_map.strict_slashes = True
    app.url_map.merge_slashes = False
    register_compression(app, settings.compress_from_bytes)
    register_metrics(app, registry)  # after_request runs in reverse: timed before compression
    register_problems(app)
    app.register_blueprint(reading_routes(store, settings))
    app.register_blueprint(grafana_routes(store, settings))
    app.register_blueprint(health_routes(store, registry))
    for blueprint in blueprints:
        app.register_blueprint(blueprint)
    return app
