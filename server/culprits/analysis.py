"""Analyse two windows: read them, find what changed, and rank the services that explain it.

Invariant: the baseline is a window of the same length before the present one. If no baseline is given, and the window
just before has too little traffic to compare with (a collector was off, a night without load), the baseline reaches
back until it has enough, and the answer says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from chronotope.schema.storage.store import Store
from chronotope.server.context.changes import changes_between
from chronotope.server.culprits.effects import Effects, effects_of
from chronotope.server.culprits.ranking import Culprit, rank_services
from chronotope.server.culprits.reading import read_layers
from chronotope.server.culprits.symptoms import LayerSums, Symptoms, symptoms_of
from chronotope.server.events.event import Event
from chronotope.server.evidence.levels import Plan, plan_window
from chronotope.server.evidence.settings import Settings
from chronotope.server.evidence.statement import during
from chronotope.server.evidence.sub_windows import plan_sub_windows

CHANGES_S = 3600  # before the window: changes so recent make their service more likely a cause
CHANGE_FACTOR = 2.0
_LOOK_BACK_S = 86_400
_ENOUGH = 0.1  # of the present window's traffic
_STEPS = 6  # of a window's length: how finely a longer baseline is cut


@dataclass(frozen=True, slots=True)
class Analysis:
    """What two windows show: symptoms among services `names`, what changed, and who explains it."""

    plans: tuple[Plan, Plan]
    longer: bool  # the baseline reaches back further than one window
    names: list[str]
    layers: list[str]
    symptoms: Symptoms
    effects: Effects
    culprits: list[Culprit]
    callees: dict[int, set[int]]
    changes: list[Event]


def find_culprits(
    store: Store,
    settings: Settings,
    windows: tuple[tuple[int, int] | None, tuple[int, int]],
    layers: Sequence[str],
    now_ms: int,
) -> Analysis:
    """Return who explains what changed between two windows.

    Args:
        store: open and migrated.
        settings: how long each level is kept.
        windows: baseline (None: the one just before the present) and present, [start, end) in Unix milliseconds.
        layers: whose evidence counts; none: all.
        now_ms: Unix milliseconds.

    Raises:
        InvalidWindow: a window is empty.
        StoreError: the store cannot answer.
    """
    present = plan_window(*windows[1], settings.retention, now_ms)
    asked = windows[0] or _just_before(store, settings, present, now_ms)
    baseline = plan_window(*asked, settings.retention, now_ms)
    longer = windows[0] is None and baseline.seconds > present.seconds
    sub_windows = (
        plan_sub_windows(baseline, settings.retention, now_ms),
        plan_sub_windows(present, settings.retention, now_ms),
    )
    if (
        longer and baseline.resolution_s <= sub_windows[1].length_s
    ):  # most of it is empty: in sub-windows as fine as the present
        count = baseline.seconds // sub_windows[1].length_s
        sub_windows = (
            replace(sub_windows[1], start_s=baseline.end_s - count * sub_windows[1].length_s, count=count),
            sub_windows[1],
        )
    names, found = read_layers(store, sub_windows, layers)
    symptoms = symptoms_of(found)
    effects = effects_of(symptoms)
    changes = changes_between(store, (present.start_s - CHANGES_S) * 1000, present.end_s * 1000)
    place = {name: at for at, name in enumerate(names)}
    prior = np.ones(len(names))
    prior[[place[one.service] for one in changes if one.service in place]] = CHANGE_FACTOR
    return Analysis(
        (baseline, present),
        longer,
        names,
        [layer.layer for layer in found],
        symptoms,
        effects,
        rank_services(symptoms, effects, _unseen(found), prior) if len(symptoms) else [],
        _callees(found),
        changes,
    )


def _unseen(layers: list[LayerSums]) -> set[tuple[int, int, int]]:
    """(layer, caller, callee) of calls that other layers saw."""
    pairs = [set(zip(layer.source.tolist(), layer.target.tolist(), strict=True)) for layer in layers]
    every = set().union(*pairs)
    return {(at, *pair) for at, own in enumerate(pairs) for pair in every - own if pair[0] != pair[1]}


def _callees(layers: list[LayerSums]) -> dict[int, set[int]]:
    found: dict[int, set[int]] = {}
    for layer in layers:
        for source, target in zip(layer.source.tolist(), layer.target.tolist(), strict=True):
            if source != target:
                found.setdefault(source, set()).add(target)
    return found


def _just_before(store: Store, settings: Settings, present: Plan, now_ms: int) -> tuple[int, int]:
    """The window just before the present one, longer where that has too little traffic; Unix milliseconds."""
    step = max(present.seconds // _STEPS // 10 * 10, 10)
    count, width = -(-_LOOK_BACK_S // step), -(-present.seconds // step)
    start = max(present.start_s - count * step, 0)
    plan = plan_window(start * 1000, present.end_s * 1000, settings.retention, now_ms)
    level = "10s" if plan.resolution_s == 10 and step < 60 else "1m"
    parameters: dict[str, Any] = {"base": present.start_s, "step": step}
    sql = (
        "SELECT toInt64(floor((toInt64(toUnixTimestamp(time)) - {base:Int64}) / {step:Int64})) AS at, "
        f"sum(calls + connections) AS n FROM edges_{level} "
        f"WHERE {during(0, start, present.end_s, parameters)} AND view < 2 GROUP BY at"
    )
    rows = {int(at): int(n) for at, n in store.rows(sql, parameters)}
    wanted = max(_ENOUGH * sum(n for at, n in rows.items() if at >= 0), 1)
    sums = np.cumsum([max(rows.get(-at, 0), 0) for at in range(1, count + 1)])
    enough = int(np.searchsorted(sums, wanted))  # steps but one
    back = max((enough + 1) * step, present.seconds) if width <= enough < count else present.seconds
    return max(present.start_s - back, 0) * 1000, present.start_s * 1000
