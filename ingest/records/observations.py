"""`POST /api/v1/observations`: edge observations that collectors counted themselves.

Invariant: a record that the answer counts as accepted is durable. A request repeated with its `Idempotency-Key` counts
once.
"""

from __future__ import annotations

from collections.abc import Mapping

from flask import Blueprint, Response, request

from chronotope.ingest.records.observation_fields import LINE_SCHEMA, ObservationLine, observed
from chronotope.ingest.records.rows import observation_rows
from chronotope.ingest.requests.body import read_body
from chronotope.ingest.requests.outcome import insert_token
from chronotope.ingest.requests.records import Clock, check_content_type, read_records, time_parser
from chronotope.schema.storage.store import Store


def observations_blueprint(
    store: Store, *, clock: Clock, max_body_bytes: int, aliases: Mapping[str, str] | None = None
) -> Blueprint:
    """Return the route.

    Args:
        clock: returns Unix milliseconds, for relative times.
        max_body_bytes: the largest body, packed and unpacked.
        aliases: service id → the id it is stored as.
    """
    blueprint = Blueprint("observations", __name__)

    @blueprint.post("/api/v1/observations")
    def post_observations() -> Response:
        check_content_type(request)
        body, now_ms = read_body(request, max_body_bytes), clock()
        token = insert_token(request, body)
        records = read_records(request, body, ObservationLine, LINE_SCHEMA, now_ms, max_body_bytes)
        seen = observed(records, time_parser(now_ms), aliases or {})
        accepted = int(records.alive.sum())
        if accepted:
            store.insert("observations", observation_rows(seen, records.alive), token)
        return records.answer(accepted)

    return blueprint
