"""Every refusal as RFC 9457 `application/problem+json`.

Invariant: one table maps errors to statuses. An answer never shows a stack trace or a statement of the store.
"""

from __future__ import annotations

import http
import logging
from collections.abc import Mapping
from urllib.parse import quote

import msgspec
from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from chronotope.schema.errors import (
    Busy,
    ChronotopeError,
    Impossible,
    InvalidConfig,
    InvalidPayload,
    InvalidTime,
    InvalidValue,
    InvalidWindow,
    NotFound,
    SchemaMismatch,
    StoreError,
    StoreInUse,
    TooLarge,
    UnsupportedMedia,
)

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:chronotope:problem:"
RETRY_AFTER_S = 5
_STORE_DETAIL = "the store cannot be reached or refused the question; try again soon (the server's log has the reason)"

PROBLEMS: Mapping[type[ChronotopeError], tuple[int, str]] = {
    InvalidTime: (400, "invalid-time"),
    InvalidPayload: (400, "invalid-payload"),
    InvalidConfig: (400, "invalid-config"),
    InvalidValue: (400, "invalid-value"),
    InvalidWindow: (422, "invalid-window"),
    Impossible: (422, "impossible"),
    NotFound: (404, "not-found"),
    TooLarge: (413, "too-large"),
    UnsupportedMedia: (415, "unsupported-media-type"),
    Busy: (503, "busy"),
    StoreInUse: (503, "store-in-use"),
    SchemaMismatch: (503, "schema-mismatch"),
    StoreError: (503, "store-error"),
    ChronotopeError: (500, "internal-error"),
}


class Problem(msgspec.Struct):
    """RFC 9457: what was wrong, and in `detail` what would be accepted."""

    type: str
    title: str
    status: int
    detail: str
    instance: str


def problem_of(error: ChronotopeError) -> tuple[int, str]:
    """Return the status and the name for an error: those of its nearest class in the table."""
    for kind in type(error).__mro__:
        if kind in PROBLEMS:
            return PROBLEMS[kind]
    return PROBLEMS[ChronotopeError]


def problem_response(status: int, name: str, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return the answer that refuses the current request."""
    title = http.HTTPStatus(status).phrase
    problem = Problem(TYPE_PREFIX + name, title, status, detail, quote(request.path))
    response = Response(msgspec.json.encode(problem), status, mimetype=MEDIA_TYPE)
    response.headers.update(dict(headers or {}))
    if status in (429, 503):
        response.headers.setdefault("Retry-After", str(RETRY_AFTER_S))
    return response


def register_problems(app: Flask) -> None:
    """Turn every error of every route into a problem."""
    app.register_error_handler(ChronotopeError, _refused)
    app.register_error_handler(HTTPException, _http_error)
    app.register_error_handler(Exception, _unexpected)


def _refused(error: ChronotopeError) -> Response:
    status, name = problem_of(error)
    if status >= 500:
        logger.warning("request failed", extra={"path": request.path, "problem": name, "detail": str(error)})
    headers = {"Retry-After": str(error.retry_after_s)} if isinstance(error, Busy) else {}
    # The engine's message may contain parts of a statement: it belongs into the log.
    detail = _STORE_DETAIL if type(error) is StoreError else str(error)
    return problem_response(status, name, detail, headers)


def _http_error(error: HTTPException) -> Response:
    if error.response is not None or error.code is None or error.code < 400:
        return Response(error.get_response().response, error.code, dict(error.get_headers()))
    phrase = http.HTTPStatus(error.code).phrase
    headers = {name: value for name, value in error.get_headers() if name not in ("Content-Type", "Content-Length")}
    return problem_response(error.code, phrase.lower().replace(" ", "-"), _http_detail(error), headers)


def _http_detail(error: HTTPException) -> str:
    if error.code == 404:
        return f"nothing is at {request.path[:200]!r}; /api/v1/openapi.json lists every route"
    if isinstance(error, MethodNotAllowed):
        allowed = ", ".join(sorted(error.valid_methods or ()))
        return f"{request.method} is not possible at {request.path[:200]!r}; accepted: {allowed}"
    return error.description or error.name


def _unexpected(error: Exception) -> Response:
    logger.error("unexpected error", exc_info=error, extra={"path": request.path})
    return problem_response(500, "internal-error", "the server failed to answer this request; its log has the reason")
