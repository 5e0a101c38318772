"""`GET /api/v1/diff`: what changed between two times.

Invariant: an answer about past windows has a tag made from the data, and is the same for the route and the command.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

import msgspec
from flask import Blueprint, Response
from pydantic import BeforeValidator, Field

from chronotope.schema.errors import InvalidWindow
from chronotope.schema.storage.store import Store
from chronotope.schema.times import parse_duration, parse_time, shortened
from chronotope.server.answers.graph import JSON, SETTLED_AFTER_MS, Answer
from chronotope.server.answers.parameters import DURATION_PATTERN, MAX_LIMIT, TIME_PATTERN, Duration, Filters, Time
from chronotope.server.api.transfer import query, respond
from chronotope.server.diff.reading import read_diff
from chronotope.server.diff.significance import DEFAULT_SIGNIFICANCE
from chronotope.server.evidence.question import DEFAULT_LIMIT, Question
from chronotope.server.evidence.settings import Settings

PATH = "/api/v1/diff"
BACK = re.compile(r"-[0-9]")
BEFORE_PATTERN = rf"^(-{DURATION_PATTERN[1:-1]}|{TIME_PATTERN[1:-1]})$"


def _split(value: object) -> object:
    return value.split(",") if isinstance(value, str) else value


Before = Annotated[
    str,
    Field(
        description="The end of the window before: a time, or how long before `after` (`-1h`, `-1d`, `-7d`).",
        examples=["-1d"],
        json_schema_extra={"pattern": BEFORE_PATTERN},
        max_length=64,
    ),
]
Include = Annotated[tuple[Literal["unchanged"], ...], Field(min_length=1), BeforeValidator(_split)]


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
        if BACK.match(self.before.strip()):
            before = after - parse_duration(self.before.strip()[1:], name="before") * 1000
        else:
            before = parse_time(self.before, now_ms, name="before")
        if before <= 0:
            raise InvalidWindow(f"before {shortened(self.before)} is not later than 1970-01-01, where time begins here")
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
    past = max(question.end_ms for question in questions) <= now_ms - SETTLED_AFTER_MS
    asked = f"{parameters.significance:g}{''.join(parameters.include)[:1]}"
    return Answer(msgspec.json.encode(found), JSON, f"diff-{asked}-{tag}" if past else "")


def diff_routes(store: Store, settings: Settings) -> Blueprint:
    """Return the route; `openapi` describes it with the other reading routes."""
    routes = Blueprint("diff", __name__)

    @routes.get(PATH)
    def diff() -> Response:
        return respond(answer_diff(store, settings, query(DiffParameters), settings.clock()))

    return routes
