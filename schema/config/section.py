"""What every section of the configuration is made of: the strict base, durations, and errors at a key below a section.

Invariant: a section is frozen, and a key that it does not know is an error.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict
from pydantic_core import PydanticCustomError

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


def at_key(*key: str | int, text: str) -> PydanticCustomError:
    """Return the error of a key below the section that is being checked."""
    return PydanticCustomError("config", "{text}", {"key": key, "text": text})


Duration = Annotated[int, BeforeValidator(parse_seconds)]
