"""The manual at `/docs/`: Markdown files of the package, sent as complete HTML pages.

Invariant: only files of `server/manual/` are sent; a name is looked up in the list of these files, and is never made a
path. A page has no script and loads nothing from elsewhere.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from flask import Blueprint, Response

from chronotope.schema.errors import NotFound
from chronotope.server.api.markdown import contents, html_page, read_page

ROOT = "/docs/"
INDEX, STYLE = "index.md", "manual.css"
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self' data:; base-uri 'none'; "
    "frame-ancestors 'self'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}
# A picture holds its own style, and opened by itself it must run nothing either.
_PICTURE = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox"}


def manual_routes() -> Blueprint:
    """Return `/docs/` and what is below it, described in `openapi`."""
    routes = Blueprint("manual", __name__)

    @routes.get(ROOT)
    def index() -> Response:
        return _answer("")

    @routes.get(f"{ROOT}<path:name>")
    def page(name: str) -> Response:
        return _answer(name)

    openapi: dict[str, Any] = {
        ROOT: _described("The manual's table of contents."),
        f"{ROOT}{{name}}": _described("A page of the manual, or an image or example of it.", named=True),
    }
    routes.openapi = openapi  # type: ignore[attr-defined]
    return routes


def _answer(name: str) -> Response:
    answer = _answers().get(name)
    if answer is None:
        raise NotFound(f"the manual has nothing at {name[:200]!r}; {ROOT} lists its pages")
    return answer()


@cache
def _answers() -> dict[str, Callable[[], Response]]:
    """Return what answers each name below `/docs/`."""
    folder = files("chronotope.server").joinpath("manual")
    found: dict[str, Callable[[], Response]] = {STYLE: _sender(folder.joinpath(STYLE))}
    for path in folder.iterdir():
        if path.is_dir():  # images, examples
            found |= {f"{path.name}/{each.name}": _sender(each) for each in path.iterdir()}
        elif path.name.endswith(".md"):
            answer = _page_sender(path, folder.joinpath(INDEX))
            found |= {path.name: answer, path.name.removesuffix(".md"): answer}
    return found | {"": found[INDEX]}


def _page_sender(path: Traversable, index: Traversable) -> Callable[[], Response]:
    @cache
    def body() -> bytes:
        page, listed = read_page(path.read_text("utf-8")), contents(index.read_text("utf-8"))
        return html_page(page, listed, path.name.removesuffix(".md"), STYLE).encode()

    return lambda: Response(body(), mimetype="text/html", headers=_HEADERS)


def _sender(path: Traversable) -> Callable[[], Response]:
    kind = mimetypes.guess_type(path.name)[0] or "text/plain"
    headers = _HEADERS | (_PICTURE if kind.startswith("image/") else {})
    return lambda: Response(path.read_bytes(), mimetype=kind, headers=headers)


def _described(summary: str, *, named: bool = False) -> dict[str, Any]:
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    parameter = {
        "name": "name",
        "in": "path",
        "required": True,
        "description": "A page such as `start-here`, or a file such as `images/flow.svg`.",
        "schema": {"type": "string", "pattern": r"^([a-z]+/)?[A-Za-z0-9_-]+(\.[a-z]+)?$"},
    }
    answer: dict[str, Any] = {"description": "The page.", "content": {"text/html": {"schema": {"type": "string"}}}}
    if not named:
        return {"get": {"summary": summary, "parameters": [], "responses": {"200": answer}}}
    answer["content"] = {"*/*": {"schema": {"type": "string"}}}
    refused = {"404": {"description": "The manual has nothing of that name.", "content": problem}}
    return {"get": {"summary": summary, "parameters": [parameter], "responses": {"200": answer, **refused}}}
