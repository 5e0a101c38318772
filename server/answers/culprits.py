"""Which services a present degradation likely comes from: parameters and answer of `/api/v1/culprits`."""

from __future__ import annotations

import msgspec
from pydantic import Field

from chronotope.schema.errors import Impossible
from chronotope.schema.storage.store import Store
from chronotope.schema.times import shortened
from chronotope.server.answers.answer import Answer, tagged
from chronotope.server.answers.diff import BEFORE_PATTERN, parse_before
from chronotope.server.answers.parameters import Layers, WindowParameters
from chronotope.server.culprits.analysis import find_culprits
from chronotope.server.culprits.records import answer_of
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
        until = parse_before(self.baseline, end, now_ms, name="baseline")
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
    return tagged(body, windows[1][1], now_ms)
