"""Liveness, readiness and this server's own metrics."""

from __future__ import annotations

from time import perf_counter

import msgspec
from flask import Blueprint, Flask, Response, g, request
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from chronotope.schema.errors import SchemaMismatch
from chronotope.schema.storage.migrate import pending
from chronotope.schema.storage.store import Store
from chronotope.server.answers.parameters import NoParameters, parse_parameters

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Health(msgspec.Struct):
    """`ok`, or `ready`."""

    status: str


def health_routes(store: Store, registry: CollectorRegistry) -> Blueprint:
    """Return `/healthz` (the process lives), `/readyz` (it can answer) and `/metrics`."""
    routes = Blueprint("health", __name__)

    @routes.get("/healthz")
    def healthz() -> Response:
        return _status("ok")

    @routes.get("/readyz")
    def readyz() -> Response:
        """The store answers, and its schema is this version's; else StoreError becomes 503."""
        if missing := pending(store):
            raise SchemaMismatch(
                f"{len(missing)} migrations are not applied, from {missing[0].version:04d}_{missing[0].name}; "
                "run `chronotope schema apply`"
            )
        return _status("ready")

    @routes.get("/metrics")
    def metrics() -> Response:
        parse_parameters(NoParameters, request.args.lists())
        return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)

    return routes


def _status(status: str) -> Response:
    parse_parameters(NoParameters, request.args.lists())
    body = msgspec.json.encode(Health(status))
    return Response(body, mimetype="application/json", headers={"Cache-Control": "no-store"})


def register_metrics(app: Flask, registry: CollectorRegistry) -> None:
    """Count and time every request by method, route and status."""
    labels = ("method", "route", "status")
    requests = Counter("chronotope_http_requests", "HTTP requests answered.", labels, registry=registry)
    durations = Histogram(
        "chronotope_http_request_duration_seconds",
        "Time from a request's arrival to its answer.",
        ("method", "route"),
        registry=registry,
        buckets=BUCKETS,
    )

    def begin() -> None:
        g.began_at = perf_counter()

    def end(response: Response) -> Response:
        route = request.url_rule.rule if request.url_rule else "none"
        method = request.method if request.method in ("GET", "HEAD", "POST", "OPTIONS") else "other"
        requests.labels(method, route, str(response.status_code)).inc()
        durations.labels(method, route).observe(perf_counter() - g.get("began_at", perf_counter()))
        return response

    app.before_request(begin)
    app.after_request(end)
