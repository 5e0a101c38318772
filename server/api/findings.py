"""`GET /api/v1/findings`: what the layers of a window disagree on.

Invariant: an answer about a past window has a tag made from the data, and is the same for the route and the command.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
from flask import Blueprint, Response

from chronotope.schema.storage.store import Store
from chronotope.server.answers.graph import JSON, SETTLED_AFTER_MS, Answer
from chronotope.server.answers.parameters import WindowParameters
from chronotope.server.api.openapi import query_parameters
from chronotope.server.api.transfer import query, respond
from chronotope.server.evidence.directory import read_kinds
from chronotope.server.evidence.levels import plan_window
from chronotope.server.evidence.question import Question
from chronotope.server.evidence.settings import Settings
from chronotope.server.findings.findings import find
from chronotope.server.findings.proposals import propose
from chronotope.server.graph.assemble import window_of
from chronotope.server.graph.reading import read_edges

PATH = "/api/v1/findings"


class FindingsParameters(WindowParameters):
    """Parameters of `/api/v1/findings`."""


def answer_findings(store: Store, settings: Settings, parameters: FindingsParameters, now_ms: int) -> Answer:
    """Return the findings of a window."""
    start_ms, end_ms = parameters.interval(now_ms)
    plan = plan_window(start_ms, end_ms, settings.retention, now_ms)
    columns = read_edges(store, plan, Question(start_ms=start_ms, end_ms=end_ms))
    kinds = read_kinds(store)
    found = find(columns, kinds, window_of(plan))
    found.proposals = propose(store, plan, columns, kinds)
    body = msgspec.json.encode(found)
    past = end_ms <= now_ms - SETTLED_AFTER_MS
    return Answer(body, JSON, hashlib.blake2b(body, digest_size=12).hexdigest() if past else "")


def findings_routes(store: Store, settings: Settings) -> Blueprint:
    """Return the route, described in `openapi`."""
    routes = Blueprint("findings", __name__)

    @routes.get(PATH)
    def findings() -> Response:
        return respond(answer_findings(store, settings, query(FindingsParameters), settings.clock()))

    routes.openapi = {PATH: _described()}  # type: ignore[attr-defined]
    return routes


def _described() -> dict[str, Any]:
    text = {"type": "string"}
    layer = {"type": "string", "enum": ["network", "ipc", "trace"]}
    edge = {name: text for name in ("id", "source", "target", "protocol")}
    types = ["never_traced", "never_in_metrics", "never_in_network", "unknown_caller"]
    finding = {
        "type": {"type": "string", "enum": types},
        "edge": {"type": "object", "properties": edge, "required": list(edge)},
        "layers": {"type": "array", "items": layer},
        "missing": layer,
        "calls": {"type": "integer"},
        "reason": text,
    }
    count = {"type": "integer"}
    proposal = {"service": text, "callers": count, "targets": count, "correlation": {"type": "number"}, "reason": text}
    answer = {
        "window": {"$ref": "#/components/schemas/Window"},
        "findings": {
            "type": "array",
            "items": {"type": "object", "properties": finding, "required": list(finding)},
        },
        "proposals": {
            "type": "array",
            "description": "Services that look like proxies or balancers which nobody declared.",
            "items": {"type": "object", "properties": proposal, "required": list(proposal)},
        },
    }
    schema = {"type": "object", "properties": answer, "required": list(answer)}
    refused = {status: {"$ref": f"#/components/responses/{status}"} for status in ("400", "422", "503")}
    return {
        "get": {
            "summary": "Edges that a layer should have seen and did not, each with the reason in plain words.",
            "parameters": query_parameters(FindingsParameters),
            "responses": {
                "200": {"description": "The answer.", "content": {"application/json": {"schema": schema}}},
                **refused,
            },
        }
    }
