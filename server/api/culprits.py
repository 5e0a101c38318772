"""`GET /api/v1/culprits`: which services a present degradation likely comes from.

Invariant: an answer is the same for the route and the command; one about past windows has a tag made from the data.
"""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
from flask import Blueprint, Response
from pydantic import Field

from chronotope.schema.errors import Impossible, InvalidWindow
from chronotope.schema.storage.store import Store
from chronotope.schema.times import parse_duration, parse_time, shortened
from chronotope.server.answers.graph import JSON, SETTLED_AFTER_MS, Answer
from chronotope.server.answers.parameters import Layers, WindowParameters
from chronotope.server.api.diff import BACK, BEFORE_PATTERN
from chronotope.server.api.questions import described
from chronotope.server.api.transfer import query, respond
from chronotope.server.culprits.asking import find_culprits
from chronotope.server.culprits.records import CulpritsAnswer, answer_of
from chronotope.server.evidence.directory import read_attributes, read_kinds
from chronotope.server.evidence.settings import Settings

PATH = "/api/v1/culprits"


class CulpritsParameters(WindowParameters):
    """The window that is degraded, and what it is compared with."""

    baseline: str | None = Field(
        None,
        max_length=64,
        description="The end of a window when all was well: a time, or how long before `at` (`-1h`, `-1d`, `-7d`). "
        "Default: the window just before, longer where that has too little traffic.",
        examples=["-1d"],
        json_schema_extra={"pattern": BEFORE_PATTERN},
    )
    layers: Layers = Field((), description="Whose evidence counts; all by default.")
    limit: int = Field(10, ge=1, le=1000, description="Most culprits returned, the likeliest first.")

    def windows(self, now_ms: int) -> tuple[tuple[int, int] | None, tuple[int, int]]:
        """Return the baseline, None when it is not asked for, and the window, [start, end) in Unix milliseconds.

        Raises:
            InvalidTime, InvalidWindow: a time or duration that cannot be understood or used.
            Impossible: the two windows overlap.
        """
        start, end = self.interval(now_ms)
        if self.baseline is None or end <= start:
            return None, (start, end)
        if BACK.match(self.baseline.strip()):
            until = end - parse_duration(self.baseline.strip()[1:], name="baseline") * 1000
        else:
            until = parse_time(self.baseline, now_ms, name="baseline")
        if until <= 0:
            raise InvalidWindow(
                f"baseline {shortened(self.baseline)} is not later than 1970-01-01, where time begins here"
            )
        if start < until < 2 * end - start:
            raise Impossible(
                f"baseline {shortened(self.baseline)} overlaps the window; take one that ends before the window begins"
            )
        return (max(until - (end - start), 0), until), (start, end)


def answer_culprits(store: Store, settings: Settings, parameters: CulpritsParameters, now_ms: int) -> Answer:
    """Return the culprits."""
    windows = parameters.windows(now_ms)
    found = find_culprits(store, settings, windows, parameters.layers, now_ms)
    attributes = read_attributes(store, found.plans[1].end_s * 1000)
    body = msgspec.json.encode(answer_of(found, read_kinds(store), attributes, parameters.limit))
    past = windows[1][1] <= now_ms - SETTLED_AFTER_MS
    return Answer(body, JSON, hashlib.blake2b(body, digest_size=12).hexdigest() if past else "")


def culprits_routes(store: Store, settings: Settings) -> Blueprint:
    """Return the route, described in `openapi`."""
    routes = Blueprint("culprits", __name__)

    @routes.get(PATH)
    def culprits() -> Response:
        return respond(answer_culprits(store, settings, query(CulpritsParameters), settings.clock()))

    openapi: dict[str, Any] = {
        PATH: described("Services that a degradation likely comes from.", CulpritsParameters, CulpritsAnswer)
    }
    routes.openapi = openapi  # type: ignore[attr-defined]
    return routes
