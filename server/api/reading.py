"""Routes that read: each parses its parameters, asks for an answer, and sends it.

Invariant: a route and the command of the same name give the same bytes, from `server/answers`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flask import Blueprint, Response, request

from chronotope.schema.storage.store import Store
from chronotope.server.answers import culprits, diff, events, findings, graph, parameters, questions
from chronotope.server.answers.answer import Answer
from chronotope.server.api.openapi import SERVICE_IN_PATH, described
from chronotope.server.api.transfer import query, respond
from chronotope.server.culprits.records import CulpritsAnswer
from chronotope.server.events.event import Events
from chronotope.server.evidence.settings import Settings
from chronotope.server.findings.findings import Findings
from chronotope.server.layout.positions import Places, Positions
from chronotope.server.questions import records

Answers = Callable[..., Answer]  # store, settings, parameters, now, and what the path names

# `openapi.py` describes the first ones, whose records are components of the document.
_ROUTES: Mapping[str, tuple[type[parameters.Parameters], Answers]] = {
    "/api/v1/graph": (parameters.GraphParameters, graph.answer_graph),
    "/api/v1/timeline": (parameters.TimelineParameters, graph.answer_timeline),
    "/api/v1/services": (parameters.ServicesParameters, graph.answer_services),
    "/api/v1/services/<path:service>": (parameters.ServiceParameters, graph.answer_service),
    "/api/v1/edges/<path:edge>": (parameters.SeriesParameters, graph.answer_edge),
    diff.PATH: (diff.DiffParameters, diff.answer_diff),
    culprits.PATH: (culprits.CulpritsParameters, culprits.answer_culprits),
    events.PATH: (events.EventsParameters, events.answer_events),
    findings.PATH: (findings.FindingsParameters, findings.answer_findings),
    questions.PATHS: (questions.PathsParameters, questions.answer_paths),
    questions.CYCLES: (questions.CyclesParameters, questions.answer_cycles),
    questions.SINGLE_POINTS: (questions.SinglePointsParameters, questions.answer_single_points),
}
_DESCRIBED: Mapping[str, tuple[str, type]] = {
    culprits.PATH: ("Services that a degradation likely comes from.", CulpritsAnswer),
    events.PATH: ("Dependencies that appeared, vanished or returned, violated rules, and reported changes.", Events),
    findings.PATH: ("Edges that a layer should have seen and did not, each with the reason in plain words.", Findings),
    questions.PATHS: ("The simple paths between two services, shortest first.", records.PathsAnswer),
    questions.CYCLES: ("Services that call each other in circles.", records.CyclesAnswer),
    questions.SINGLE_POINTS: (
        "Services whose loss cuts others off from all their callers.",
        records.SinglePointsAnswer,
    ),
}
_POSITIONS = "/api/v1/positions"
_BLAST_RADIUS = "Who depends on a service: all transitive callers, with hops and the share of their calls."


def reading_routes(store: Store, settings: Settings) -> Blueprint:
    """Return all routes that answer questions about the graph."""
    routes = Blueprint("reading", __name__)

    def answering(model: type[parameters.Parameters], answer: Answers) -> Callable[..., Response]:
        return lambda **named: respond(answer(store, settings, query(model), settings.clock(), **named))

    for path, (model, answer) in _ROUTES.items():
        routes.add_url_rule(path, path, answering(model, answer))
    blast_radius = answering(questions.BlastRadiusParameters, questions.answer_blast_radius)
    service_detail = answering(parameters.ServiceParameters, graph.answer_service)

    @routes.get(questions.BLAST_RADIUS.replace("{", "<path:").replace("}", ">"))
    def about(service: str) -> Response:
        if _names_a_service():
            return service_detail(service=f"{service}/{questions.BLAST_RADIUS.rpartition('/')[2]}")
        return blast_radius(service=service)

    places = Places(store)

    @routes.get(_POSITIONS)
    def positions() -> Response:
        return respond(graph.answer_positions(places, query(parameters.PositionsParameters), settings.clock()))

    openapi: dict[str, Any] = {
        path: described(summary, _ROUTES[path][0], record) for path, (summary, record) in _DESCRIBED.items()
    }
    openapi[questions.BLAST_RADIUS] = described(
        _BLAST_RADIUS, questions.BlastRadiusParameters, records.BlastRadiusAnswer, SERVICE_IN_PATH
    )
    openapi[_POSITIONS] = described(
        "Where each node of the drawing is, of all services ever seen.",
        parameters.PositionsParameters,
        Positions,
        refusals=("400", "503"),
    )
    routes.openapi = openapi  # type: ignore[attr-defined]
    return routes


def _names_a_service() -> bool:
    """Whether the path ends in a service's id that only looks like the question: `shop%2Fblast-radius`.

    Servers decode the path before they pass it on. REQUEST_URI, of waitress and Werkzeug's client, has it as sent.
    """
    sent = str(request.environ.get("REQUEST_URI", "")).partition("?")[0]
    return sent.lower().endswith("%2f" + questions.BLAST_RADIUS.rpartition("/")[2])
