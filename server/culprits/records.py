"""The answer about culprits, and its sentences. Pure.

Invariant: every number can be found in the store again. A service is named only with a symptom of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from msgspec import UNSET, Struct, UnsetType

from chronotope.server.context.changes import ServiceChange, change_records
from chronotope.server.culprits.analysis import Analysis
from chronotope.server.culprits.effects import confidence
from chronotope.server.culprits.ranking import Culprit, weigh
from chronotope.server.culprits.symptoms import KINDS, TIMES
from chronotope.server.diff.significance import DEFAULT_SIGNIFICANCE, MIN_FACTOR
from chronotope.server.graph.answer import Kind, Layer, Window
from chronotope.server.graph.assemble import window_of

MOST_REASONS = 5
_LEAST = 1 - 1 / MIN_FACTOR
Sort = Literal["own_time", "between_time", "own_errors", "calls"]


class Reason(Struct, gc=False):
    """A symptom: of a service (`source` is `target`) or of its calls. Times are milliseconds, errors a ratio, calls
    a request of the source."""

    symptom: Sort
    layer: Layer
    source: str
    target: str
    before: float
    after: float
    p_value: float | None
    text: str


class CulpritRecord(Struct):
    """A likely cause. `score`: its part of all that is explained; `probability`: the score, if it is a change."""

    rank: int
    service: str
    kind: Kind
    attributes: dict[str, str]
    score: float
    probability: float
    reasons: list[Reason]
    changes: list[ServiceChange]


class CulpritsAnswer(Struct):
    """Services by how likely a present degradation comes from them.

    `degradation`: whether there is one beyond chance, and how certain that is; without one, ranks are noise. `tests`:
    how many measures were compared.
    """

    window: Window
    baseline: Window
    degradation: bool
    probability: float
    tests: int
    culprits: list[CulpritRecord]
    truncated: bool
    note: str | UnsetType = UNSET


def answer_of(
    found: Analysis, kinds: Mapping[str, Any], attributes: Mapping[str, dict[str, str]], limit: int
) -> CulpritsAnswer:
    """Return the answer with at most `limit` culprits."""
    effects = found.effects
    sure = np.where(effects.effect >= _LEAST, confidence(effects.adjusted), 0.0)
    beyond_chance = bool(((effects.adjusted <= DEFAULT_SIGNIFICANCE) & (effects.effect >= _LEAST)).any())
    explained = [at for one in found.culprits for at in one.symptoms]
    words = _Words(found)
    total = sum(one.weight for one in found.culprits) + float(np.delete(words.weights, explained).sum())
    records = []
    for rank, one in enumerate(found.culprits[:limit], start=1):
        name = found.names[one.service]
        score = one.weight / total
        records.append(
            CulpritRecord(
                rank,
                name,
                kinds.get(name, "unknown"),
                dict(attributes.get(name, {})),
                round(score, 6),
                round(score * float(sure[one.symptoms].max()), 6),
                words.reasons(one),
                change_records(found.changes, found.plans[1].end_s * 1000, name),
            )
        )
    answer = CulpritsAnswer(
        window_of(found.plans[1]),
        window_of(found.plans[0]),
        beyond_chance,
        round(float(sure.max(initial=0.0)), 6),
        int((~np.isnan(effects.p)).sum()),
        records,
        len(found.culprits) > limit,
    )
    answer.note = _note(found, beyond_chance) or UNSET
    return answer


def _note(found: Analysis, beyond_chance: bool) -> str:
    notes = []
    if not found.layers:
        notes.append("No layer has evidence in both windows: there is nothing to compare; baseline chooses another.")
    elif not beyond_chance:
        notes.append("No degradation found: no change is beyond chance, what is listed may be noise.")
    if found.longer:
        notes.append("The window just before has too little traffic: the baseline reaches back until it has enough.")
    return " ".join(notes)


class _Words:
    """Puts symptoms into words."""

    def __init__(self, found: Analysis) -> None:
        self.found = found
        self.weights = weigh(found.symptoms, found.effects)
        slow = np.isin(found.symptoms.kind, TIMES) & (found.effects.effect >= _LEAST) & (self.weights > 0)
        self.slow = set(found.symptoms.target[slow].tolist())

    def reasons(self, culprit: Culprit) -> list[Reason]:
        """Return a culprit's reasons, the weightiest first."""
        return [self._reason(at) for at in culprit.symptoms[:MOST_REASONS]]

    def _reason(self, at: int) -> Reason:
        found = self.found
        kind: Any = KINDS[found.symptoms.kind[at]]
        layer: Any = found.layers[found.symptoms.layer[at]]
        unit = 1000.0 if found.symptoms.kind[at] in TIMES else 1.0
        source, target = int(found.symptoms.source[at]), int(found.symptoms.target[at])
        before, after = float(found.effects.before[at]) / unit, float(found.effects.after[at]) / unit
        p = float(found.effects.p[at])
        text = self._text(kind, source, target, before, after)
        names = found.names
        return Reason(
            kind,
            layer,
            names[source],
            names[target],
            round(before, 6),
            round(after, 6),
            None if np.isnan(p) else p,
            text,
        )

    def _text(self, kind: str, source: int, target: int, before: float, after: float) -> str:
        caller, callee = self.found.names[source], self.found.names[target]
        if kind == "own_time":
            callees = self.found.callees.get(source, set())
            alone = "; none of its callees got slower" if callees and not callees & self.slow else ""
            return f"own time of {callee} rose {_number(before)} → {_number(after)} ms a request{alone}"
        if kind == "between_time":
            return f"time between {caller} and {callee} rose {_number(before)} → {_number(after)} ms a call"
        if kind == "own_errors":
            return f"own errors of {callee} rose {before:.2%} → {after:.2%} of its requests"
        way = "fell" if after < before else "rose"
        gone = f"; {callee} is hardly called any more" if after <= before / 10 else ""
        return (
            f"calls {caller} → {callee} {way} {_number(before)} → {_number(after)} for each request of {caller}{gone}"
        )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
