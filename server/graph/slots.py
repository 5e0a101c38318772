"""A window cut into equal parts, slots: how much an edge's evidence varies within it.

Invariant: slots are of one length, lie within the window, and come from one level; there are none when the window is
shorter than two buckets of the finest level that still has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from chronotope.schema.store import Store
from chronotope.server.graph.columns import EdgeColumns, as_int, coded, find_edges
from chronotope.server.graph.evidence import BY_TARGET, during, measures_of, where
from chronotope.server.graph.levels import LEVELS, Plan
from chronotope.server.graph.question import Question

FEWEST = 10  # slots, where the levels allow it
SLOT_MEASURES = (
    "calls", "errors", "connections", "failed_connections", "bytes_sent", "bytes_received", "latency_us_sum",
    "latency_count",
)  # fmt: skip

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


def read_slots(store: Store, slots: SlotPlan, question: Question, columns: EdgeColumns) -> Slots:
    """Return the slots of all edges of a window; of a question its layers and view count.

    Where both ends reported, those of the end that counts: the one whose sums the columns have.
    """
    measures = [name for name in measures_of(question.layers) if name in SLOT_MEASURES]
    parameters: dict[str, Any] = {"base": slots.start_s, "step": slots.slot_s}
    interval = during(0, slots.start_s, slots.start_s + slots.slot_s * slots.count, parameters)
    keys = "source, target, protocol, layer"
    sql = (
        f"SELECT {keys}, {BY_TARGET}, intDiv(toInt64(toUnixTimestamp(time)) - {{base:Int64}}, {{step:Int64}}) AS slot, "
        f"{', '.join(f'sum(r.{name}) AS {name}' for name in measures)} FROM edges_{slots.level} AS r "
        f"WHERE {interval} AND {where(question, parameters)} GROUP BY {keys}, by_target, slot"
    )
    table = store.query(sql, parameters)
    edge, slot, by_target = find_edges(columns, table), as_int(table, "slot"), as_int(table, "by_target").astype(bool)
    codes, names = coded(table, "layer")
    sums = {name: as_int(table, name) for name in measures}
    found: Slots = {}
    for code, layer in enumerate(names):
        if layer not in columns.layers:
            continue
        rows = np.flatnonzero((codes == code) & (edge >= 0))
        rows = rows[columns.layers[layer].by_target[edge[rows]] == by_target[rows]]
        place, size = edge[rows] * slots.count + slot[rows], len(columns) * slots.count
        found[layer] = {
            # Corrections may leave less than nothing in a bucket; a rate is never negative.
            name: np.maximum(np.bincount(place, values[rows], size), 0).reshape(len(columns), slots.count)
            for name, values in sums.items()
        }
    return found
