"""How an answer travels: caching and compression.

Invariant: an answer about a past window has a weak ETag made from the data, and is checked before each use. An answer
about a window that may still change is not stored.
"""

from __future__ import annotations

import gzip
from collections.abc import Callable

from flask import Flask, Response, request

from chronotope.server.answers.answer import Answer
from chronotope.server.answers.parameters import T, parse_parameters

_PLAIN = ("application/json", "application/problem+json", "application/graphml+xml", "application/javascript")
GZIP_LEVEL = 1  # 4 MB in 10 ms; level 6 takes five times that for a fifth less


def respond(answer: Answer) -> Response:
    """Return the response for an answer; 304 when the client has it already."""
    response = Response(answer.body, mimetype=answer.media_type)
    if not answer.tag:
        response.headers["Cache-Control"] = "no-store"
        return response
    response.headers["Cache-Control"] = "private, no-cache"
    response.set_etag(answer.tag, weak=True)
    if request.if_none_match.contains_weak(answer.tag):
        response.status_code = 304
        response.set_data(b"")
        del response.headers["Content-Type"]
    return response


def register_compression(app: Flask, from_bytes: int) -> None:
    """Compress answers of at least some size when the client accepts it."""
    encoders = _encoders()

    def compress(response: Response) -> Response:
        if response.direct_passthrough or response.is_streamed or "Content-Encoding" in response.headers:
            return response
        kind = response.mimetype or ""
        if kind not in _PLAIN and not kind.startswith("text/"):
            return response
        response.vary.add("Accept-Encoding")
        chosen = request.accept_encodings.best_match(list(encoders))
        body = response.get_data()
        if chosen is not None and len(body) >= from_bytes:
            response.set_data(encoders[chosen](body))
            response.headers["Content-Encoding"] = chosen
        return response

    app.after_request(compress)


def _gzip(body: bytes) -> bytes:
    return gzip.compress(body, GZIP_LEVEL, mtime=0)


def _encoders() -> dict[str, Callable[[bytes], bytes]]:
    """The encodings that this Python has, the preferred first; zstd came with 3.14."""
    try:
        from compression import zstd  # type: ignore[import-not-found,unused-ignore]
    except ImportError:
        return {"gzip": _gzip}
    return {"zstd": zstd.compress, "gzip": _gzip}


def query(model: type[T]) -> T:
    """Return the current request's parameters."""
    return parse_parameters(model, request.args.lists())
