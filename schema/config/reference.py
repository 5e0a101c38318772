"""The reference of the configuration, made from the models: it describes exactly what is accepted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from chronotope.schema.config.config import Config, Kept
from chronotope.schema.config.section import Duration
from chronotope.schema.times import format_duration


def config_reference() -> str:
    """Return all keys of the configuration file as Markdown: one table a section, with defaults."""
    parts = ["| section | meaning |", "| --- | --- |"]
    parts += [f"| `{_name(key, field)}` | {_meaning(field)} |" for key, field in Config.model_fields.items()]
    for key, field in Config.model_fields.items():
        section = _section(field)
        if section is not None:
            each = ", for each entry of the list" if field.default_factory is list else ""
            parts += ["", f"### `{_name(key, field)}`", "", f"{(section.__doc__ or '').strip()}", ""]
            parts += [f"| key{each} | default | meaning |", "| --- | --- | --- |", *_rows(section)]
    return "\n".join(parts) + "\n"


def _rows(section: type[BaseModel]) -> Iterator[str]:
    for key, field in section.model_fields.items():
        accepted = _accepted(field)
        meaning = f"{field.description}{f' ({accepted})' if accepted else ''}"
        yield f"| `{_name(key, field)}` | {_default(field)} | {meaning} |"


def _accepted(field: FieldInfo) -> str:
    values = get_args(field.annotation)
    return " or ".join(f"`{value}`" for value in values) if values and isinstance(values[0], str) else ""


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value: Any = field.get_default(call_default_factory=True)
    if value is None:
        return "`null`"
    if isinstance(value, int) and _is_duration(field):
        return f"`{format_duration(value)}`"
    return "none" if value in ("", {}) else f"`{value}`"


def _is_duration(field: FieldInfo) -> bool:
    checks = {id(mark) for kind in (Duration, Kept) for mark in get_args(kind)[1:]}
    return any(id(mark) in checks for mark in field.metadata)


def _section(field: FieldInfo) -> type[BaseModel] | None:
    candidates = (field.annotation, *get_args(field.annotation))
    return next((c for c in candidates if isinstance(c, type) and issubclass(c, BaseModel)), None)


def _name(key: str, field: FieldInfo) -> str:
    return field.alias or key


def _meaning(field: FieldInfo) -> str:
    section = _section(field)
    return field.description or (section.__doc__ or "").strip() if section else field.description or ""
