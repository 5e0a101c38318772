"""The base of every section of the configuration: strict models, common types of values, and errors at a key below.

Invariant: a section is frozen. A key that it does not know is an error.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict
from pydantic_core import PydanticCustomError

from chronotope.schema.addresses import parse_address_range
from chronotope.schema.errors import ChronotopeError
from chronotope.schema.times import parse_duration

Kind = Literal["service", "database", "messaging", "external", "intermediary", "unknown"]


class Section(BaseModel):
    """A mapping of the file. Frozen; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def parse_seconds(value: object) -> int:
    """Return a duration in seconds, of the text that stands in a file."""
    if isinstance(value, int):
        return value
    try:
        return parse_duration(str(value), name="this")
    except ChronotopeError as error:
        raise ValueError(str(error)) from error


def _regex(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"{value!r} is no regular expression: {error}") from error
    return value


def _address_range(value: str) -> str:
    try:
        parse_address_range(value)
    except ChronotopeError as error:
        raise ValueError(str(error)) from error
    return value.strip()


def at_key(*key: str | int, text: str) -> PydanticCustomError:
    """Return the error of a key below the section that is being checked."""
    return PydanticCustomError("config", "{text}", {"key": key, "text": text})


Duration = Annotated[int, BeforeValidator(parse_seconds)]
Regex = Annotated[str, AfterValidator(_regex)]
Address = Annotated[str, AfterValidator(_address_range)]  # an IP address, a CIDR network or a host name
