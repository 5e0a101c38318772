"""`GET /api/v1/alerts`: what fires now; `POST /api/v1/rules/check`: what rules would have said about a past.

Invariant: checking writes nothing; the command over a store answers with the same bytes.
"""

from __future__ import annotations

from typing import Any

import msgspec
from flask import Blueprint, Response, request
from msgspec import Struct
from pydantic import Field

from chronotope.schema.config.rules import RuleEntry, parse_rules
from chronotope.schema.errors import InvalidPayload, TooLarge
from chronotope.schema.storage.store import Store
from chronotope.schema.times import format_time, parse_time
from chronotope.server.answers.graph import Answer
from chronotope.server.answers.parameters import NoParameters, Parameters, Time
from chronotope.server.api.openapi import query_parameters
from chronotope.server.api.transfer import query, respond
from chronotope.server.evidence.settings import Settings
from chronotope.server.rules.backtest import Checks, check_rules
from chronotope.server.rules.table import Standing, read_alerts

ALERTS_PATH, CHECK_PATH = "/api/v1/alerts", "/api/v1/rules/check"
MOST_BYTES = 1024 * 1024


class AlertRecord(Struct):
    """An alert; `state` is `pending` while its condition holds for less than the rule's `for`."""

    fingerprint: str
    rule: str
    state: str
    labels: dict[str, str]
    annotations: dict[str, str]
    since: str
    fired_at: str | None


class Alerts(Struct):
    """What holds now, in order of time."""

    alerts: list[AlertRecord]


class CheckParameters(Parameters):
    """The past over which rules are checked."""

    from_: Time = Field("now-7d", alias="from", description="Start of the history.")
    to: Time = Field("now", description="Its end.")


def answer_check(
    store: Store, settings: Settings, rules: list[RuleEntry], parameters: CheckParameters, now_ms: int
) -> Answer:
    """Return what rules would have done."""
    window = (parse_time(parameters.from_, now_ms, name="from"), parse_time(parameters.to, now_ms, name="to"))
    return Answer(msgspec.json.encode(check_rules(store, rules, *window, settings.retention, now_ms, settings.events)))


def answer_alerts(store: Store, settings: Settings, _: NoParameters, now_ms: int) -> Answer:
    """Return the alerts that hold or fire."""
    return Answer(msgspec.json.encode(Alerts([_record(own) for own in read_alerts(store, now_ms + 1)])))


def rules_routes(store: Store, settings: Settings) -> Blueprint:
    """Return both routes, described by `openapi`."""
    routes = Blueprint("rules", __name__)

    @routes.get(ALERTS_PATH)
    def alerts() -> Response:
        return respond(answer_alerts(store, settings, query(NoParameters), settings.clock()))

    @routes.post(CHECK_PATH)
    def check() -> Response:
        parameters = query(CheckParameters)
        body = request.get_data(cache=False)
        if len(body) > MOST_BYTES:
            raise TooLarge(f"{len(body)} bytes of rules; accepted: at most {MOST_BYTES}")
        try:
            rules = parse_rules(body.decode("utf-8"), "rules")
        except UnicodeDecodeError as error:
            raise InvalidPayload("the body is not UTF-8 text; accepted: rules as YAML") from error
        return respond(answer_check(store, settings, rules, parameters, settings.clock()))

    routes.openapi = openapi()  # type: ignore[attr-defined]
    return routes


def openapi() -> dict[str, Any]:
    """Return what OpenAPI says of both routes."""
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}

    def answers(record: type[Struct], *statuses: str) -> dict[str, Any]:
        schema = msgspec.json.schema(record)
        found = {"200": {"description": (record.__doc__ or "").strip(), "content": _inline(schema)}}
        return found | {status: {"description": "Refused.", "content": problem} for status in statuses}

    return {
        ALERTS_PATH: {
            "get": {
                "summary": "Alerts that hold or fire now.",
                "parameters": [],
                "responses": answers(Alerts, "400", "503"),
            }
        },
        CHECK_PATH: {
            "post": {
                "summary": "What rules would have said about a past: a back-test, which writes nothing.",
                "parameters": query_parameters(CheckParameters),
                "requestBody": {
                    "required": True,
                    "description": "Rules as YAML, as in the configuration's section `rules`.",
                    "content": {"application/yaml": {"schema": {"type": "string"}}},
                },
                "responses": answers(Checks, "400", "413", "422", "503"),
            }
        },
    }


def _inline(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema whose parts stand in itself: it needs no component of the document."""
    parts = schema.pop("$defs", {})

    def whole(node: Any) -> Any:
        if isinstance(node, dict):
            if "$ref" in node:
                return whole(parts[node["$ref"].rsplit("/", 1)[1]])
            return {key: whole(value) for key, value in node.items()}
        return [whole(value) for value in node] if isinstance(node, list) else node

    return {"application/json": {"schema": whole(schema)}}


def _record(own: Standing) -> AlertRecord:
    alert, state = own.alert, own.state
    return AlertRecord(
        alert.fingerprint,
        alert.rule,
        "firing" if state.firing else "pending",
        dict(alert.labels),
        dict(alert.annotations),
        format_time(state.since_ms),
        format_time(state.fired_ms) if state.fired_ms else None,
    )
