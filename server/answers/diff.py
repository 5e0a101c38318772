"""What changed between two times: parameters and answer of `/api/v1/diff`."""

from __future__ import annotations

import re
from typing import Annotated, Literal

import msgspec
from pydantic import BeforeValidator, Field

from chronotope.schema.errors import InvalidWindow
from chronotope.schema.storage.store import Store
from chronotope.schema.times import parse_duration, parse_time, shortened
from chronotope.server.answers.answer import JSON, Answer, is_settled
from chronotope.server.answers.parameters import (
    DURATION_PATTERN,
    MAX_LIMIT,
    TIME_PATTERN,
    Duration,
    Filters,
    Time,
    split_list,
)
from chronotope.server.diff.reading import read_diff
from chronotope.server.diff.significance import DEFAULT_SIGNIFICANCE
from chronotope.server.evidence.question import DEFAULT_LIMIT, Question
from chronotope.server.evidence.settings import Settings

PATH = "/api/v1/diff"
_BACK = re.compile(r"-[0-9]")
BEFORE_PATTERN = rf"^(-{DURATION_PATTERN[1:-1]}|{TIME_PATTERN[1:-1]})$"


def parse_before(text: str, end_ms: int, now_ms: int, *, name: str) -> int:
    """Return a time, or how long before an instant (`-1h`), as Unix milliseconds.

    Raises:
        InvalidTime, InvalidWindow: it cannot be understood, or is before 1970.
    """
    if _BACK.match(text.strip()):
        found = end_ms - parse_duration(text.strip()[1:], name=name) * 1000
    else:
        found = parse_time(text, now_ms, name=name)
    if found <= 0:
        raise InvalidWindow(f"{name} {shortened(text)} is not later than 1970-01-01, where time begins here")
    return found


Before = Annotated[
    str,
    Field(
        description="The end of the window before: a time, or how long before `after` (`-1h`, `-1d`, `-7d`).",
        examples=["-1d"],
        json_schema_extra={"pattern": BEFORE_PATTERN},
        max_length=64,
    ),
]
Include = Annotated[tuple[Literal["unchanged"], ...], Field(min_length=1), BeforeValidator(split_list)]


class DiffParameters(Filters):
    """Two times, and what of their windows is wanted."""

    before: Before = Field("-1d")
    after: Time = Field("now", description="The end of the window after.")
    window: Duration = Field("5m", description="Length of both; under 20 s only added and removed can be told.")
    include: Include = Field((), description="`unchanged`: what did not change too.")
    significance: float = Field(
        DEFAULT_SIGNIFICANCE, ge=1e-12, le=0.5, description="False discovery rate over all tests of the answer."
    )
    limit: int = Field(DEFAULT_LIMIT, ge=1, le=MAX_LIMIT, description="Most edges returned, what changed first.")

    def questions(self, now_ms: int) -> tuple[Question, Question]:
        """Return what is asked of the window before and of the one after.

        Raises:
            InvalidTime, InvalidWindow: a time or duration that cannot be understood or used.
        """
        length_ms = parse_duration(self.window) * 1000
        after = parse_time(self.after, now_ms, name="after")
        before = parse_before(self.before, after, now_ms, name="before")
        return self.wanted(max(before - length_ms, 0), before), self.wanted(max(after - length_ms, 0), after)


def answer_diff(store: Store, settings: Settings, parameters: DiffParameters, now_ms: int) -> Answer:
    """Return what changed."""
    questions = parameters.questions(now_ms)
    found, tag = read_diff(
        store,
        settings,
        questions,
        now_ms,
        significance=parameters.significance,
        unchanged="unchanged" in parameters.include,
    )
    past = is_settled(max(question.end_ms for question in questions), now_ms)
    options = f"{parameters.significance:g}{''.join(parameters.include)[:1]}"
    return Answer(msgspec.json.encode(found), JSON, f"diff-{options}-{tag}" if past else "")
