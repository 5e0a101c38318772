"""Routes that answer questions about the whole graph of a window, and how OpenAPI has them.

Invariant: a description is made from the parameters and records that the route uses, and needs no component but Window:
the records of these answers are spelled out where they stand.
"""

from __future__ import annotations

from typing import Any

import msgspec
from flask import Blueprint, Response, request

from chronotope.schema.storage.store import Store
from chronotope.server.answers.graph import answer_service
from chronotope.server.answers.parameters import Parameters, ServiceParameters
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
from chronotope.server.api.openapi import Json, query_parameters
from chronotope.server.api.transfer import query, respond
from chronotope.server.evidence.settings import Settings
from chronotope.server.questions import records

_SHARED = "Window"
_SERVICE: Json = {
    "name": "service",
    "in": "path",
    "required": True,
    "description": "A service id, percent-encoded: `shop%2Fcart`.",
    "schema": {"type": "string", "minLength": 1},
}


def question_routes(store: Store, settings: Settings) -> Blueprint:
    """Return the routes, described in `openapi`."""
    routes = Blueprint("questions", __name__)

    @routes.get(BLAST_RADIUS.replace("{", "<path:").replace("}", ">"))
    def blast_radius(service: str) -> Response:
        if _names_a_service():
            asked = f"{service}/{BLAST_RADIUS.rpartition('/')[2]}"
            return respond(answer_service(store, settings, asked, query(ServiceParameters), settings.clock()))
        return respond(answer_blast_radius(store, settings, service, query(BlastRadiusParameters), settings.clock()))

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
            service=True,
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


def described(summary: str, model: type[Parameters], record: type, *, service: bool = False) -> Json:
    """Return the path item of a route; `service`: its path holds one."""
    (schema,), components = msgspec.json.schema_components([record], ref_template="#/components/schemas/{name}")
    parameters = query_parameters(model)
    for parameter in parameters:
        field = model.model_fields.get(parameter["name"])
        parameter["required"] = field is not None and field.is_required()
    names_services = service or any(parameter["required"] for parameter in parameters)
    statuses = ["400", *(["404"] if names_services else []), "422", "503"]
    refusals = {status: {"$ref": f"#/components/responses/{status}"} for status in statuses}
    content = {"application/json": {"schema": _spelled_out(schema, components)}}
    return {
        "get": {
            "summary": summary,
            "parameters": [*([_SERVICE] if service else []), *parameters],
            "responses": {"200": {"description": "The answer.", "content": content}, **refusals},
        }
    }


def _spelled_out(schema: Any, components: dict[str, Any]) -> Any:
    if isinstance(schema, list):
        return [_spelled_out(part, components) for part in schema]
    if not isinstance(schema, dict):
        return schema
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    if name and name != _SHARED:
        return _spelled_out(components[name], components)
    return {key: _spelled_out(value, components) for key, value in schema.items()}
