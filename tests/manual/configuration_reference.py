"""The reference of the configuration, made from the models: it describes exactly what is accepted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from chronotope.schema.config.config import Config, Kept
from chronotope.schema.config.section import Duration
from chronotope.schema.times import format_duration


def config_reference() -> str:
    """Return all keys of the configuration file as Markdown: one table a section, with defaults.

    A section within another has its path as heading; `[]` is an entry of a list, `NAME` a name of one's own.
    """
    parts = ["| section | meaning |", "| --- | --- |"]
    parts += [f"| `{_name(key, field)}` | {_meaning(field)} |" for key, field in Config.model_fields.items()]
    shown: dict[type[BaseModel], str] = {}
    for key, field in Config.model_fields.items():
        parts += _sections(_name(key, field), field, shown)
    return "\n".join(parts) + "\n"


def _sections(path: str, field: FieldInfo, shown: dict[type[BaseModel], str]) -> Iterator[str]:
    section = _section(field)
    if section is None:
        return
    container = get_origin(field.annotation)
    path += "[]" if container is list else ".NAME" if container is dict else ""
    yield from ("", f"## `{path}`", "", (section.__doc__ or "").strip())
    if section in shown:
        yield from ("", f"Its keys are those of `{shown[section]}`.")
        return
    shown[section] = path
    yield from ("", "| key | default | meaning |", "| --- | --- | --- |", *_rows(section))
    for key, inner in section.model_fields.items():
        yield from _sections(f"{path}.{_name(key, inner)}", inner, shown)


def _rows(section: type[BaseModel]) -> Iterator[str]:
    for key, field in section.model_fields.items():
        accepted = _accepted(field)
        meaning = f"{field.description}{f' ({accepted})' if accepted else ''}"
        yield f"| `{_name(key, field)}` | {_default(field)} | {meaning} |"


def _accepted(field: FieldInfo) -> str:
    values = [value for value in get_args(field.annotation) if isinstance(value, str) and value]
    return " or ".join(f"`{value}`" for value in values)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value: Any = field.get_default(call_default_factory=True)
    if value is None:
        return "`null`"
    if isinstance(value, BaseModel):
        return "its own"
    if isinstance(value, int) and _is_duration(field):
        return f"`{format_duration(value)}`"
    return "none" if value in ("", {}) else f"`{_as_yaml(value)}`"


def _as_yaml(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_as_yaml, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _is_duration(field: FieldInfo) -> bool:
    checks = {id(mark) for kind in (Duration, Kept) for mark in get_args(kind)[1:]}
    return any(id(mark) in checks for mark in field.metadata)


def _section(field: FieldInfo) -> type[BaseModel] | None:
    """Return the section that a field holds, alone or as entries of a list or mapping."""
    candidates = [field.annotation, *get_args(field.annotation)]
    return next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), None)


def _name(key: str, field: FieldInfo) -> str:
    return field.alias or key


def _meaning(field: FieldInfo) -> str:
    section = _section(field)
    return field.description or (section.__doc__ or "").strip() if section else field.description or ""
