"""The built-in page: static files, served as they are. The page uses the HTTP API and nothing else."""

from __future__ import annotations

from importlib.resources import files

from flask import Blueprint, Response

# The page loads its own files only; a name in the data can never become a script.
_POLICY = "default-src 'self'; img-src 'self' data:; base-uri 'none'; frame-ancestors 'self'; form-action 'self'"


def page_routes() -> Blueprint:
    """Return `/` and `/page.js`."""
    routes = Blueprint("page", __name__)

    @routes.get("/")
    def index() -> Response:
        return _file("index.html", "text/html")

    @routes.get("/page.js")
    def script() -> Response:
        return _file("page.js", "text/javascript")

    @routes.get("/page.css")
    def style() -> Response:
        return _file("page.css", "text/css")

    return routes


def _file(name: str, media_type: str) -> Response:
    body = files("chronotope.server").joinpath("page", name).read_bytes()
    headers = {
        "Content-Security-Policy": _POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }
    return Response(body, mimetype=media_type, headers=headers)
