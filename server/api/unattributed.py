"""`GET /api/v1/unattributed`: addresses with traffic that nobody owns, so that a person can fix the biggest first.

Invariant: an answer is the same for the route and the command, but for claims that only a server's configuration makes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import msgspec
from flask import Blueprint, Response
from pydantic import Field

from chronotope.schema.storage.store import Store
from chronotope.schema.times import EARLIEST_MS, LATEST_MS, format_time
from chronotope.server.answers.graph import JSON, Answer
from chronotope.server.answers.parameters import MAX_LIMIT, WindowParameters
from chronotope.server.api.openapi import query_parameters
from chronotope.server.api.transfer import query, respond
from chronotope.server.evidence.directory import read_kinds
from chronotope.server.evidence.levels import plan_window
from chronotope.server.evidence.question import Question
from chronotope.server.evidence.settings import Settings
from chronotope.server.findings.unowned import BareAddress, bare_addresses, read_ports
from chronotope.server.graph.answer import Window
from chronotope.server.graph.assemble import window_of
from chronotope.server.graph.reading import read_edges

PATH = "/api/v1/unattributed"
_MOST_CLAIMS = 10

Reason = Literal["unowned", "not_then", "ambiguous"]


class Claim(msgspec.Struct):
    """A service that claims the address; null: for ever."""

    service: str
    from_: str | None = msgspec.field(name="from")
    to: str | None


class Unattributed(msgspec.Struct):
    """One address. `reason`: nobody ever claimed it, not at the time of its flows, or two services did."""

    address: str
    kind: str
    reason: Reason
    bytes_sent: int
    bytes_received: int
    connections: int
    callers: Sequence[str]
    callees: Sequence[str]
    protocols: Sequence[str]
    ports: Sequence[int]
    first_seen: str | None
    last_seen: str | None
    claims: Sequence[Claim]


class UnattributedAnswer(msgspec.Struct):
    """The addresses of a window, the busiest first."""

    window: Window
    addresses: Sequence[Unattributed]
    total: int


# Addresses and a window → for each the reason and (service, from, to) of its claims, Unix milliseconds.
Explain = Callable[[Sequence[str], int, int], Sequence[tuple[Reason, Sequence[tuple[str, int, int]]]]]


class UnattributedParameters(WindowParameters):
    """Parameters of `/api/v1/unattributed`."""

    limit: int = Field(100, ge=1, le=MAX_LIMIT, description="Most addresses returned, busiest first.")


def answer_unattributed(
    store: Store, settings: Settings, parameters: UnattributedParameters, now_ms: int, explain: Explain
) -> Answer:
    """Return the addresses of a window that nobody owns."""
    start_ms, end_ms = parameters.interval(now_ms)
    plan = plan_window(start_ms, end_ms, settings.retention, now_ms)
    question = Question(start_ms=start_ms, end_ms=end_ms, layers=("network",), view="hops")
    found, total = bare_addresses(read_edges(store, plan, question), parameters.limit)
    names = [each.address for each in found]
    ports = read_ports(store, names, plan.start_s, plan.end_s) if names else {}
    kinds, reasons = read_kinds(store), explain(names, plan.start_s * 1000, plan.end_s * 1000)
    told = [
        _told(each, kinds.get(each.address, "unknown"), ports.get(each.address, []), *reason)
        for each, reason in zip(found, reasons, strict=True)
    ]
    return Answer(msgspec.json.encode(UnattributedAnswer(window_of(plan), told, total)), JSON, "")


def _told(
    found: BareAddress, kind: str, ports: Sequence[int], reason: Reason, claims: Sequence[tuple[str, int, int]]
) -> Unattributed:
    return Unattributed(
        found.address,
        kind,
        reason,
        found.bytes_sent,
        found.bytes_received,
        found.connections,
        found.callers,
        found.callees,
        found.protocols,
        ports,
        _time(found.first_seen),
        _time(found.last_seen),
        [Claim(service, _time(begin), _time(end)) for service, begin, end in claims[:_MOST_CLAIMS]],
    )


def _time(at_ms: int) -> str | None:
    return format_time(at_ms) if EARLIEST_MS <= at_ms < LATEST_MS else None


def unattributed_routes(store: Store, settings: Settings, explain: Explain) -> Blueprint:
    """Return the route, described in `openapi`."""
    routes = Blueprint("unattributed", __name__)

    @routes.get(PATH)
    def unattributed() -> Response:
        asked = query(UnattributedParameters)
        return respond(answer_unattributed(store, settings, asked, settings.clock(), explain))

    routes.openapi = {PATH: _described()}  # type: ignore[attr-defined]
    return routes


def _described() -> dict[str, Any]:
    text, count = {"type": "string"}, {"type": "integer", "minimum": 0}
    texts, time = {"type": "array", "items": text}, {"type": ["string", "null"]}
    claim = {"service": text, "from": time, "to": time}
    address = {
        "address": text,
        "kind": text,
        "reason": {"type": "string", "enum": ["unowned", "not_then", "ambiguous"]},
        **dict.fromkeys(("bytes_sent", "bytes_received", "connections"), count),
        **dict.fromkeys(("callers", "callees", "protocols"), texts),
        "ports": {"type": "array", "items": {"type": "integer"}},
        "first_seen": time,
        "last_seen": time,
        "claims": {"type": "array", "items": _all_of(claim)},
    }
    answer = {
        "window": {"$ref": "#/components/schemas/Window"},
        "addresses": {"type": "array", "items": _all_of(address)},
        "total": count,
    }
    refused = {status: {"$ref": f"#/components/responses/{status}"} for status in ("400", "422", "503")}
    return {
        "get": {
            "summary": "Addresses with traffic that nobody owns, the busiest first, with what is known of each.",
            "parameters": query_parameters(UnattributedParameters),
            "responses": {
                "200": {"description": "The answer.", "content": {"application/json": {"schema": _all_of(answer)}}},
                **refused,
            },
        }
    }


def _all_of(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties)}
