"""The reference of the HTTP API as Markdown, made from the OpenAPI document that a server gives of itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from chronotope.server.api.problems import PROBLEMS, TYPE_PREFIX

Json = Mapping[str, Any]

_METHODS = ("get", "post")


def http_reference(document: Json) -> str:
    """Return all routes: what each answers, its parameters, the body it takes, and how it refuses."""
    routes = [
        (method.upper(), path, item[method])
        for path, item in document["paths"].items()
        for method in _METHODS
        if method in item
    ]
    parts = ["| route | what it is |", "| --- | --- |"]
    parts += [
        f"| [`{method} {path}`](#{_anchor(method, path)}) | {route['summary']} |" for method, path, route in routes
    ]
    for method, path, route in routes:
        parts += ["", f"## {method} {path}", "", route["summary"], *_route(route)]
    return "\n".join([*parts, "", *_problems()]) + "\n"


def _anchor(method: str, path: str) -> str:
    kept = "".join(letter for letter in f"{method} {path}".lower() if letter.isalnum() or letter in "-_ ")
    return kept.replace(" ", "-")


def _route(route: Json) -> Iterator[str]:
    if parameters := route.get("parameters"):
        yield from ("", "| parameter | default | meaning |", "| --- | --- | --- |", *map(_parameter, parameters))
    if body := route.get("requestBody"):
        yield from ("", f"Body: {', '.join(f'`{kind}`' for kind in body['content'])}. {body['description']}")
        fields = next(iter(body["content"].values()))["schema"]
        if "properties" in fields:
            yield from ("", "| field | type | meaning |", "| --- | --- | --- |", *_fields(fields))
    answer = route["responses"]["200"]
    yield from ("", f"Answer: {', '.join(f'`{kind}`' for kind in answer.get('content', {}))}. {answer['description']}")
    refusals = [f"`{status}`" for status in route["responses"] if status != "200"]
    if refusals:
        yield from ("", f"Refusals: {', '.join(refusals)}.")


def _parameter(parameter: Json) -> str:
    schema = parameter["schema"]
    where = "" if parameter["in"] == "query" else f" ({parameter['in']})"
    default = (
        "required" if parameter["required"] else f"`{_text(schema['default'])}`" if "default" in schema else "none"
    )
    return f"| `{parameter['name']}`{where} | {default} | {_cell(parameter['description'])}{_accepted(schema)} |"


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _accepted(schema: Json) -> str:
    values = schema.get("enum") or schema.get("items", {}).get("enum") or ()
    accepted = " Accepted: " + ", ".join(f"`{_text(value)}`" for value in values) + "." if values else ""
    low, high = schema.get("minimum"), schema.get("maximum")
    return accepted + (f" From {low} to {high}." if low is not None and high is not None else "")


def _fields(schema: Json) -> Iterator[str]:
    for name, field in schema["properties"].items():
        needed = "; required" if name in schema.get("required", ()) else ""
        yield f"| `{name}` | {_type(field)}{needed} | {_cell(field.get('description', ''))} |"


def _type(schema: Json) -> str:
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(_type(each) for each in schema["anyOf"])
    kind = str(schema.get("type", "any"))
    return f"{kind} of {_type(schema['items'])}" if "items" in schema else kind


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _problems() -> Iterator[str]:
    yield from ("## Refusals", "", "Every refusal is `application/problem+json` (RFC 9457). These are the types:", "")
    yield from ("| type | status |", "| --- | --- |")
    yield from (f"| `{TYPE_PREFIX}{name}` | {status} |" for status, name in PROBLEMS.values())
