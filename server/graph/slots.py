"""A window cut into equal parts, slots: how much an edge's evidence varies within it.

Invariant: slots are of one length, lie within the window, and come from one level; there are none when the window is
shorter than two buckets of the finest level that still has it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from chronotope.schema.observations import LAYERS
from chronotope.schema.store import Store
from chronotope.server.graph.columns import EdgeColumns
from chronotope.server.graph.evidence import during, where
from chronotope.server.graph.levels import LEVELS, SIZES, Plan
from chronotope.server.graph.question import Question
from chronotope.server.graph.sides import NUMBER, Numbers, numbered

FEWEST = 10  # slots, where the levels allow it
_CALLS, _LATENCIES = ("calls", "errors"), ("latency_us_sum", "latency_count")
_FLOWS = ("connections", "failed_connections", "bytes_sent", "bytes_received")
_FEW_BUCKETS = 6
_BY_TARGET = "layer = 'ipc' AND reporter = 2"

Track = tuple[str, bool]  # a layer, and whether the target reported

Slots = dict[str, dict[str, np.ndarray]]  # layer → measure → float64[E, K]


@dataclass(frozen=True, slots=True)
class SlotPlan:
    """`count` slots of `slot_s` seconds from `start_s` (Unix seconds), read from one level."""

    level: str
    start_s: int
    slot_s: int
    count: int


def plan_slots(plan: Plan, retention: Mapping[str, int | None], now_ms: int) -> SlotPlan:
    """Return how a window is cut: by the coarsest level that gives ten slots, else the finest that is still there."""
    chosen = SlotPlan(LEVELS[0][0], plan.start_s, LEVELS[0][1], 0)
    for level, size in reversed(LEVELS):
        age = retention.get(level)
        start, end = -(-plan.start_s // size) * size, plan.end_s // size * size
        buckets = (end - start) // size
        if buckets < 1 or (age is not None and start < now_ms // 1000 - age):
            continue
        joined = max(buckets // FEWEST, 1)
        chosen = SlotPlan(level, start, size * joined, buckets // joined)
        if buckets >= FEWEST:
            break
    return chosen


def read_slots(
    store: Store,
    plans: Sequence[SlotPlan],
    question: Question,
    sides: tuple[EdgeColumns, EdgeColumns],
    numbers: Numbers,
) -> tuple[Slots, Slots]:
    """Return the slots of both windows' E edges; of a question its layers, view and whether it wants latencies count.

    Where both ends reported, those of the end that counts: the one whose sums the columns have.

    Args:
        store: open and migrated.
        plans: how each window is cut.
        question: what is asked of both.
        sides: both windows over the same edges.
        numbers: of the edges, as `read_sides` gives them.
    """
    measures = _measures(sides, full=question.full)
    if not measures:
        return {}, {}
    tracks = _tracks(sides)
    parameters: dict[str, Any] = {}
    parts, first = [], 0
    for side, plan in enumerate(plans):
        if plan.count:
            parts.append(_rows(side, first, plan, question, tracks, measures, parameters))
        first += plan.count * len(tracks)
    if not parts:
        return {}, {}
    table = store.query(" UNION ALL ".join(parts), parameters)
    sums = _added_up(table, numbers, first, measures)
    half = plans[0].count * len(tracks)
    return (
        _of_side(sums[:, :, :half], sides[0], tracks, measures),
        _of_side(sums[:, :, half:], sides[1], tracks, measures),
    )


def _tracks(sides: tuple[EdgeColumns, EdgeColumns]) -> list[Track]:
    """What is kept apart: the layers that are there, and of those with reports of targets these."""
    layers = {name for columns in sides for name in columns.layers}
    found = [(name, False) for name in LAYERS if name in layers]
    return [*found, ("ipc", True)] if "ipc" in layers else found


def _rows(
    side: int,
    first: int,
    plan: SlotPlan,
    question: Question,
    tracks: Sequence[Track],
    measures: Sequence[str],
    parameters: dict[str, Any],
) -> str:
    """One window's rows: `edge`, `place` (that of side, track and slot) and measures.

    Few buckets a slot are added up here, many by the engine: below that, grouping costs more than it saves.
    """
    parameters |= {f"base_{side}": plan.start_s, f"step_{side}": plan.slot_s}
    interval = during(side, plan.start_s, plan.start_s + plan.slot_s * plan.count, parameters)
    track = ", ".join(
        f"layer = '{layer}' AND {'' if by_target else 'NOT '}({_BY_TARGET}), {at}"
        for at, (layer, by_target) in enumerate(tracks)
    )
    slot = f"intDiv(toUnixTimestamp(time) - {{base_{side}:UInt32}}, {{step_{side}:UInt32}})"
    grouped = plan.slot_s > _FEW_BUCKETS * SIZES[plan.level]
    sums = ", ".join(f"sum(r.{name}) AS {name}" if grouped else f"r.{name}" for name in measures)
    return (
        f"SELECT {NUMBER}, toUInt32({first} + multiIf({track}, 0) * {plan.count} + {slot}) AS place, {sums} "
        f"FROM edges_{plan.level} AS r WHERE {interval} AND {where(question, parameters)} "
        f"AND layer IN ({', '.join(repr(layer) for layer, _ in tracks)})"
        f"{' GROUP BY edge, place' if grouped else ''}"
    )


def _added_up(table: pa.Table, numbers: Numbers, places: int, measures: Sequence[str]) -> np.ndarray:
    """Sums by measure, edge and place, float64[M, E, P]."""
    edge = numbered(table, numbers)
    place = edge * places
    place += table.column("place").to_numpy()
    known = edge >= 0
    everyone = bool(known.all())
    place = place if everyone else place[known]
    sums = np.zeros((len(measures), len(numbers), places))
    for at, name in enumerate(measures):
        values = table.column(name).to_numpy()
        own = np.bincount(place, values if everyone else values[known], len(numbers) * places)
        sums[at] = own.reshape(len(numbers), places)
    # Corrections may leave less than nothing in a bucket; a rate is never negative.
    return np.maximum(sums, 0, out=sums)


def _of_side(sums: np.ndarray, columns: EdgeColumns, tracks: Sequence[Track], measures: Sequence[str]) -> Slots:
    """One window's slots by layer, each edge's of the reporter that counts."""
    count = sums.shape[2] // len(tracks)
    if not count:
        return {}
    found: Slots = {}
    for at, (name, by_target) in enumerate(tracks):
        layer = columns.layers.get(name)
        if layer is None:
            continue
        own = sums[:, :, at * count : (at + 1) * count]
        if not by_target:
            found[name] = {measure: own[m] for m, measure in enumerate(measures)}
        elif layer.by_target.any():
            chosen = layer.by_target[:, None]
            found[name] = {
                measure: np.where(chosen, own[m], found[name][measure]) for m, measure in enumerate(measures)
            }
    return found


def _measures(sides: tuple[EdgeColumns, EdgeColumns], *, full: bool) -> list[str]:
    """What the tests of the layers that are there need."""
    layers = {name for columns in sides for name in columns.layers}
    measures = list(_FLOWS if "network" in layers else ())
    if layers & {"ipc", "trace"}:
        measures += [*_CALLS, *(_LATENCIES if full else ())]
    return measures
