"""The OpenAPI 3.1 document, made from the models that routes parse and the records that they answer with.

Invariant: the document says what the code checks and encodes. A route that does not exist is not described. A blueprint
describes its own routes by an attribute `openapi`: path → path item.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from inspect import cleandoc
from typing import Any

import msgspec
from flask import Blueprint, Flask

from chronotope.server.answers.diff import PATH as DIFF_PATH
from chronotope.server.answers.diff import DiffParameters
from chronotope.server.answers.parameters import (
    FilterParameters,
    GraphParameters,
    NoParameters,
    Parameters,
    SeriesParameters,
    ServiceParameters,
    ServicesParameters,
    TimelineParameters,
)
from chronotope.server.api.health import Health
from chronotope.server.api.problems import MEDIA_TYPE, Problem
from chronotope.server.api.writing import WRITING
from chronotope.server.diff.difference import Diff
from chronotope.server.export.formats import MEDIA_TYPES
from chronotope.server.export.nodegraph import FRAMES_SCHEMA, PLUGIN_DATA_SCHEMA, PLUGIN_FIELDS_SCHEMA
from chronotope.server.graph.answer import Graph
from chronotope.server.graph.series import EdgeSeries
from chronotope.server.graph.services import ServiceDetail, Services
from chronotope.server.graph.timeline import Timeline

Json = dict[str, Any]

_REFUSALS = {
    "400": "A parameter is not known, or malformed.",
    "404": "No such service or edge.",
    "413": "The body is too large.",
    "422": "Well-formed, but nothing can answer it: an empty window, an unknown layer.",
    "503": "The store cannot be reached; try again after `Retry-After` seconds.",
}
_SHARED = "Window"  # a component that every description may refer to
_RECORDS = (Graph, Diff, Timeline, Services, ServiceDetail, EdgeSeries, Problem, Health)


def openapi_document(app: Flask, blueprints: Iterable[Blueprint] = ()) -> Json:
    """Return the document of an application's routes."""
    refs, components = msgspec.json.schema_components(_RECORDS, ref_template="#/components/schemas/{name}")
    answers: dict[Any, Json] = dict(zip(_RECORDS, refs, strict=True))
    paths = _reading_paths(answers)
    posts = {_template(rule.rule) for rule in app.url_map.iter_rules() if "POST" in (rule.methods or ())}
    paths |= {path: item for path, item in WRITING.items() if path in posts}
    for blueprint in blueprints:
        described: Mapping[str, Json] = getattr(blueprint, "openapi", {})
        paths |= {path: paths.get(path, {}) | item for path, item in described.items()}
    document = {
        "openapi": "3.1.0",
        "info": {
            "title": "chronotope",
            "version": _version(),
            "summary": "Who called whom at any moment.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": components, "responses": _refusals(answers[Problem])},
    }
    alike: Json = _alike_in_all_versions(document)
    return alike


def _alike_in_all_versions(node: Any) -> Any:
    """Write the same under every version of msgspec: no indentation of the source, and `null` as the last choice."""
    if isinstance(node, list | tuple):
        return [_alike_in_all_versions(part) for part in node]
    if not isinstance(node, dict):
        return node
    alike = {key: _alike_in_all_versions(value) for key, value in node.items()}
    if isinstance(alike.get("description"), str):
        alike["description"] = cleandoc(alike["description"])
    if isinstance(alike.get("anyOf"), list):
        alike["anyOf"].sort(key=lambda choice: choice == {"type": "null"})
    return alike


def _reading_paths(answers: Mapping[Any, Json]) -> dict[str, Json]:
    window, common = ("400", "422", "503"), ("400", "404", "422", "503")
    graph_content = {"application/json": {"schema": {"anyOf": [answers[Graph], FRAMES_SCHEMA]}}}
    graph_content |= {kind: _TEXT for kind in MEDIA_TYPES if kind != "application/json"}
    prefix = "/grafana/nodegraph/api"
    return {
        "/api/v1/graph": _get("The topology of a window.", GraphParameters, graph_content, window),
        DIFF_PATH: _get("What changed between two times.", DiffParameters, _json(answers[Diff]), window),
        "/api/v1/timeline": _get("How it changed over time.", TimelineParameters, _json(answers[Timeline]), window),
        "/api/v1/services": _get("Services of a window.", ServicesParameters, _json(answers[Services]), window),
        "/api/v1/services/{service}": _get(
            "One service: callers, callees, evidence.", ServiceParameters, _json(answers[ServiceDetail]), common,
            SERVICE_IN_PATH,
        ),
        "/api/v1/edges/{edge}": _get(
            "One edge and its measures over time.", SeriesParameters, _json(answers[EdgeSeries]), common,
            _path("edge", "An edge id.", {"pattern": "^[0-9a-f]{16}$"}),
        ),
        "/api/v1/openapi.json": _get("This document.", NoParameters, _json({"type": "object"}), ("400",)),
        "/healthz": _get("Whether the process lives.", NoParameters, _json(answers[Health]), ("400",)),
        "/readyz": _get("Whether it can answer.", NoParameters, _json(answers[Health]), ("400", "503")),
        "/metrics": _get("This server's own metrics.", NoParameters, {"text/plain": _TEXT}, ("400",)),
        f"{prefix}/health": _get("Whether the process lives.", NoParameters, _json({"type": "object"}), ("400",)),
        f"{prefix}/graph/fields": _get(
            "Fields of Grafana's node graph.", FilterParameters, _json(PLUGIN_FIELDS_SCHEMA), ("400", "422")
        ),
        f"{prefix}/graph/data": _get(
            "Rows of Grafana's node graph.", FilterParameters, _json(PLUGIN_DATA_SCHEMA), window
        ),
        "/": _get("The built-in page.", None, {"text/html": _TEXT}, ()),
    }  # fmt: skip


_TEXT: Json = {"schema": {"type": "string"}}


def _json(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}


def _path(name: str, description: str, schema: Json) -> Json:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": description,
        "schema": {"type": "string", **schema},
    }


SERVICE_IN_PATH = _path("service", "A service id, percent-encoded: `shop%2Fcart`.", {"minLength": 1})


def described(
    summary: str, model: type[Parameters], record: type, *path: Json, refusals: Iterable[str] | None = None
) -> Json:
    """Return the path item of a route that answers with one record; the record is spelled out where it stands.

    Args:
        summary: one sentence.
        model: the route's parameters.
        record: what it answers.
        path: parameters that are part of the path.
        refusals: statuses; by default 400, 422, 503, and 404 where a parameter must be given.
    """
    (schema,), components = msgspec.json.schema_components([record], ref_template="#/components/schemas/{name}")
    content = {"application/json": {"schema": _spelled_out(schema, components)}}
    required = path or any(field.is_required() for field in model.model_fields.values())
    return _get(summary, model, content, refusals or ("400", *(["404"] if required else []), "422", "503"), *path)


def _spelled_out(schema: Any, components: Json) -> Any:
    if isinstance(schema, list):
        return [_spelled_out(part, components) for part in schema]
    if not isinstance(schema, dict):
        return schema
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    if name and name != _SHARED:
        return _spelled_out(components[name], components)
    return {key: _spelled_out(value, components) for key, value in schema.items()}


def _get(summary: str, model: type[Parameters] | None, content: Json, refusals: Iterable[str], *path: Json) -> Json:
    responses: Json = {"200": {"description": "The answer.", "content": content}}
    responses |= {status: {"$ref": f"#/components/responses/{status}"} for status in refusals}
    return {
        "get": {
            "summary": summary,
            "parameters": [*path, *(_query_parameters(model) if model else [])],
            "responses": responses,
        }
    }


def _query_parameters(model: type[Parameters]) -> list[Json]:
    """Return a model's parameters as OpenAPI has them; a list is one text with commas."""
    schema = model.model_json_schema(by_alias=True, ref_template="#/components/schemas/{model}")
    needed = schema.get("required", ())
    return [_query(name, own, required=name in needed) for name, own in schema.get("properties", {}).items()]


def _query(name: str, schema: Json, *, required: bool) -> Json:
    schema = {key: value for key, value in schema.items() if key not in ("title", "description")} | (
        {"description": schema["description"]} if "description" in schema else {}
    )
    if "anyOf" in schema:  # optional: leaving it out means the same as null
        schema = next(kind for kind in schema.pop("anyOf") if kind.get("type") != "null") | schema
    if schema.get("default", "") in (None, "", ()):
        schema.pop("default", None)
    parameter: Json = {"name": name, "in": "query", "required": required, "description": schema.pop("description", "")}
    if schema.get("type") == "array":
        parameter |= {"style": "form", "explode": False}
        schema.pop("default", None)
    return parameter | {"schema": schema}


def _refusals(problem: Json) -> Json:
    found: Json = {}
    for status, description in _REFUSALS.items():
        found[status] = {"description": description, "content": {MEDIA_TYPE: {"schema": problem}}}
    found["503"]["headers"] = {"Retry-After": {"schema": {"type": "string"}}}
    return found


def _template(rule: str) -> str:
    return rule.replace("<path:", "{").replace("<", "{").replace(">", "}")


def _version() -> str:
    try:
        return version("chronotope")
    except PackageNotFoundError:
        return "0"
