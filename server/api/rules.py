"""`GET /api/v1/alerts` and `POST /api/v1/rules/check`."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request

from chronotope.schema.config.rules import parse_rules
from chronotope.schema.errors import InvalidPayload, TooLarge
from chronotope.schema.storage.store import Store
from chronotope.server.answers.parameters import NoParameters
from chronotope.server.answers.rules import (
    ALERTS_PATH,
    CHECK_PATH,
    Alerts,
    CheckParameters,
    answer_alerts,
    answer_check,
)
from chronotope.server.api.openapi import described
from chronotope.server.api.transfer import query, respond
from chronotope.server.evidence.settings import Settings
from chronotope.server.rules.backtest import Checks

MOST_BYTES = 1024 * 1024


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

    routes.openapi = _described()  # type: ignore[attr-defined]
    return routes


def _described() -> dict[str, Any]:
    alerts = described("Alerts that hold or fire now.", NoParameters, Alerts, refusals=("400", "503"))
    summary = "What rules would have said about a past: a back-test, which writes nothing."
    check = described(summary, CheckParameters, Checks, refusals=("400", "413", "422", "503"))["get"]
    check["requestBody"] = {
        "required": True,
        "description": "Rules as YAML, as in the configuration's section `rules`.",
        "content": {"application/yaml": {"schema": {"type": "string"}}},
    }
    return {ALERTS_PATH: alerts, CHECK_PATH: {"post": check}}
