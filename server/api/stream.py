"""`GET /api/v1/stream`: server-sent events.

Invariant: a stream holds one thread of the web server while it lasts. There are as many threads for streams as streams
are allowed, besides those for requests; one more stream is refused with 503.
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, request

from chronotope.server.answers.parameters import NoParameters
from chronotope.server.api.transfer import query
from chronotope.server.delivery.stream import Hub, parse_position

PATH = "/api/v1/stream"


def stream_routes(hub: Hub) -> Blueprint:
    """Return the route, described in `openapi`."""
    routes = Blueprint("stream", __name__)

    @routes.get(PATH)
    def stream() -> Response:
        query(NoParameters)
        known = parse_position(request.headers.get("Last-Event-ID", ""))
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return Response(hub.join(known), mimetype="text/event-stream", headers=headers, direct_passthrough=True)

    routes.openapi = {PATH: _described()}  # type: ignore[attr-defined]
    return routes


def _described() -> dict[str, Any]:
    text = (
        "Server-sent events. `graph`, after each closed bucket of ten seconds: `time`, `window` (the last minute), "
        "`added` edges, ids of `removed` ones, `active` columns by layer (`id`, `calls`, `errors`; of the network "
        "`connections` and bytes); `reset` says that `added` is all there is. `dependency`: an event as "
        "`/api/v1/events` has it; `change`: a reported change. A comment comes every ten seconds without a message."
    )
    header = {
        "name": "Last-Event-ID",
        "in": "header",
        "required": False,
        "description": "The id that came last: the stream goes on from there, if that is no longer than a day ago.",
        "schema": {"type": "string"},
    }
    refused = {status: {"$ref": f"#/components/responses/{status}"} for status in ("400", "503")}
    answer = {"description": text, "content": {"text/event-stream": {"schema": {"type": "string"}}}}
    return {
        "get": {"summary": "What changes, as it does.", "parameters": [header], "responses": {"200": answer, **refused}}
    }
