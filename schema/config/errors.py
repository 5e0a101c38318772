"""Errors of pydantic in a configuration, as sentences that name the file, the line, the key and the remedy.

Invariant: no sentence shows a Python type, a class or a web address.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from chronotope.schema.config.file import ConfigFile, Key
from chronotope.schema.errors import InvalidConfig
from chronotope.schema.times import shortened

_WANTED = {
    "int_parsing": "a whole number",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_parsing": "a number, or a share such as 5%",
    "bool_parsing": "true or false",
    "string_type": "text",
    "list_type": "a list (`- …` lines)",
    "dict_type": "a mapping (`key: value` lines)",
}
_BOUNDS = {
    "greater_than_equal": ("ge", "at least"),
    "less_than_equal": ("le", "at most"),
    "greater_than": ("gt", "more than"),
    "less_than": ("lt", "less than"),
}


def config_error(file: ConfigFile, error: ValidationError, model: type[BaseModel]) -> InvalidConfig:
    """Return the first thing that is wrong, in order of lines, and how many more there are."""
    found = [_described(file, details, model) for details in error.errors(include_url=False)]
    found.sort(key=lambda problem: file.line(problem[0]))
    key, text = found[0]
    more = f" (and {len(found) - 1} more errors below)" if len(found) > 1 else ""
    return file.error(key, text + more)


def _described(file: ConfigFile, details: ErrorDetails, model: type[BaseModel]) -> tuple[Key, str]:
    context: Mapping[str, Any] = details.get("ctx", {})
    key: Key = tuple(part for part in details["loc"] if part != "[key]") + tuple(context.get("key", ()))
    kind, value = details["type"], details["input"]
    if kind == "extra_forbidden":
        return key, _unknown(str(key[-1]), _names(_section_at(model, key[:-1])))
    if kind == "missing":
        return key, f"is missing; it is required beside {', '.join(value)}"
    return key, _wrong(kind, context, value, _names(_section_at(model, key)), details["msg"])


def _wrong(kind: str, context: Mapping[str, Any], value: object, keys: list[str], message: str) -> str:
    if kind in ("value_error", "config"):
        return message.removeprefix("Value error, ").removeprefix("this ")
    given = "nothing" if value is None else shortened(value) if isinstance(value, str) else _shape(value)
    if kind == "literal_error":
        return f"{given} is not known; accepted: {str(context['expected']).replace(chr(39), '')}"
    if kind in _BOUNDS:
        bound, words = _BOUNDS[kind]
        return f"{given} is out of range; accepted: {words} {context[bound]}"
    if kind == "model_type":
        return f"{given} stands here; accepted: a mapping with the keys {', '.join(keys)}"
    return f"{given} stands here; accepted: {_WANTED.get(kind, message)}"


def _shape(value: object) -> str:
    if isinstance(value, dict):
        return "a mapping"
    return "a list" if isinstance(value, list) else shortened(str(value))


def _unknown(name: str, names: list[str]) -> str:
    close = difflib.get_close_matches(name, names, 1)
    meant = f"did you mean {close[0]}? " if close else ""
    return f"is not a known key; {meant}accepted here: {', '.join(names)}"


def _names(section: type[BaseModel] | None) -> list[str]:
    return [field.alias or name for name, field in section.model_fields.items()] if section else []


def _section_at(model: type[BaseModel], key: Key) -> type[BaseModel] | None:
    """Return the model of the mapping at a key; None where there is none."""
    section: type[BaseModel] | None = model
    named = False
    for part in key:
        if isinstance(part, int) or named:
            named = False
            continue
        fields = (
            {field.alias or name: field.annotation for name, field in section.model_fields.items()} if section else {}
        )
        candidates = (fields.get(part), *get_args(fields.get(part)))
        named = get_origin(fields.get(part)) is dict  # whose keys are anyone's
        section = next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), None)
    return section
