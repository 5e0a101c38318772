"""`POST /api/v1/flows`: flow records of agents.

Invariant: a record that the answer counts as accepted is durable and in the graph. A request that is repeated with the
same `Idempotency-Key` and body counts once.
"""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, Response, request

from chronotope.ingest.flows.buckets import flow_rows
from chronotope.ingest.flows.record import LINE_SCHEMA, FlowLine, parse_flows
from chronotope.ingest.flows.rows import FlowVocabulary
from chronotope.ingest.flows.writer import Sent
from chronotope.ingest.requests.body import read_body
from chronotope.ingest.requests.outcome import insert_token
from chronotope.ingest.requests.records import Clock, check_content_type, read_records, time_parser


def flows_blueprint(
    vocabulary: FlowVocabulary, put: Callable[[Sent], None], *, clock: Clock, max_body_bytes: int
) -> Blueprint:
    """Return the route.

    Args:
        put: takes the rows of a request, and returns when they are durable.
        clock: returns Unix milliseconds, for relative times.
        max_body_bytes: the largest body, packed and unpacked.
    """
    blueprint = Blueprint("flows", __name__)

    @blueprint.post("/api/v1/flows")
    def post_flows() -> Response:
        check_content_type(request)
        body, now_ms = read_body(request, max_body_bytes), clock()
        token = insert_token(request, body) if request.headers.get("Idempotency-Key") else ""
        records = read_records(request, body, FlowLine, LINE_SCHEMA, now_ms, max_body_bytes)
        seen = parse_flows(records, time_parser(now_ms))
        accepted = int(records.alive.sum())
        if accepted:
            put(Sent(flow_rows(seen, records.alive, vocabulary), int(token[:16], 16) if token else 0))
        return records.answer(accepted)

    return blueprint
