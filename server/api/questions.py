"""Routes of the questions about the whole graph of a window."""

from __future__ import annotations

from flask import Blueprint, Response, request

from chronotope.schema.storage.store import Store
from chronotope.server.answers.graph import answer_service
from chronotope.server.answers.parameters import ServiceParameters
from chronotope.server.answers.questions import (
    BLAST_RADIUS,
    CYCLES,
    PATHS,
    SINGLE_POINTS,
    BlastRadiusParameters,
    CyclesParameters,
    PathsParameters,
    SinglePointsParameters,
    answer_blast_radius,
    answer_cycles,
    answer_paths,
    answer_single_points,
)
from chronotope.server.api.openapi import SERVICE_IN_PATH, described
from chronotope.server.api.transfer import query, respond
from chronotope.server.evidence.settings import Settings
from chronotope.server.questions import records


def question_routes(store: Store, settings: Settings) -> Blueprint:
    """Return the routes, described in `openapi`."""
    routes = Blueprint("questions", __name__)

    @routes.get(BLAST_RADIUS.replace("{", "<path:").replace("}", ">"))
    def blast_radius(service: str) -> Response:
        if _names_a_service():
            whole = f"{service}/{BLAST_RADIUS.rpartition('/')[2]}"
            return respond(answer_service(store, settings, query(ServiceParameters), settings.clock(), whole))
        return respond(answer_blast_radius(store, settings, query(BlastRadiusParameters), settings.clock(), service))

    @routes.get(PATHS)
    def paths() -> Response:
        return respond(answer_paths(store, settings, query(PathsParameters), settings.clock()))

    @routes.get(CYCLES)
    def cycles() -> Response:
        return respond(answer_cycles(store, settings, query(CyclesParameters), settings.clock()))

    @routes.get(SINGLE_POINTS)
    def single_points() -> Response:
        return respond(answer_single_points(store, settings, query(SinglePointsParameters), settings.clock()))

    routes.openapi = {  # type: ignore[attr-defined]
        BLAST_RADIUS: described(
            "Who depends on a service: all transitive callers, with hops and the share of their calls.",
            BlastRadiusParameters,
            records.BlastRadiusAnswer,
            SERVICE_IN_PATH,
        ),
        PATHS: described(
            "The simple paths between two services, shortest first.", PathsParameters, records.PathsAnswer
        ),
        CYCLES: described("Services that call each other in circles.", CyclesParameters, records.CyclesAnswer),
        SINGLE_POINTS: described(
            "Services whose loss cuts others off from all their callers.",
            SinglePointsParameters,
            records.SinglePointsAnswer,
        ),
    }
    return routes


def _names_a_service() -> bool:
    """Whether the path ends in a service's id that only looks like a question of it: `shop%2Fblast-radius`.

    Servers hand on the path decoded; how it was sent stands in REQUEST_URI, by waitress and by Werkzeug's client.
    """
    sent = str(request.environ.get("REQUEST_URI", "")).partition("?")[0]
    return sent.lower().endswith("%2f" + BLAST_RADIUS.rpartition("/")[2])
