"""What the layers of a window disagree on: parameters and answer of `/api/v1/findings`."""

from __future__ import annotations

import msgspec

from chronotope.schema.storage.store import Store
from chronotope.server.answers.answer import Answer, tagged
from chronotope.server.answers.parameters import WindowParameters
from chronotope.server.evidence.directory import read_kinds
from chronotope.server.evidence.question import Question
from chronotope.server.evidence.settings import Settings
from chronotope.server.evidence.windows import read_window
from chronotope.server.findings.findings import find
from chronotope.server.findings.proposals import propose
from chronotope.server.graph.assemble import window_of

PATH = "/api/v1/findings"


class FindingsParameters(WindowParameters):
    """Parameters of `/api/v1/findings`."""


def answer_findings(store: Store, settings: Settings, parameters: FindingsParameters, now_ms: int) -> Answer:
    """Return the findings of a window."""
    start_ms, end_ms = parameters.interval(now_ms)
    plan, columns = read_window(store, settings, Question(start_ms=start_ms, end_ms=end_ms), now_ms)
    kinds = read_kinds(store)
    found = find(columns, kinds, window_of(plan))
    found.proposals = propose(store, plan, columns, kinds)
    return tagged(msgspec.json.encode(found), end_ms, now_ms)
