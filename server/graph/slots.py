"""A window cut into equal parts, slots: how much an edge's evidence varies within it.

Invariant: slots are of one length, lie within the window, and come from one level; there are none when the window is
shorter than two buckets of the finest level that still has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from chronotope.schema.store import Store
from chronotope.server.graph.columns import EdgeColumns, as_int, coded, find_edges
from chronotope.server.graph.evidence import BY_TARGET, during, where
from chronotope.server.graph.levels import LEVELS, Plan
from chronotope.server.graph.question import Question

FEWEST = 10  # slots, where the levels allow it
_CALLS, _LATENCIES = ("calls", "errors"), ("latency_us_sum", "latency_count")
_FLOWS = ("connections", "failed_connections", "bytes_sent", "bytes_received")
_NUMBER = "cityHash64(source, target, protocol) AS edge"
_NUMBERS = f"SELECT source, target, protocol, {_NUMBER} FROM edge_lifetimes GROUP BY source, target, protocol"
_SLOT = "intDiv(toInt64(toUnixTimestamp(time)) - {base:Int64}, {step:Int64}) AS slot"

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


def read_numbers(store: Store) -> pa.Table:
    """Return `source`, `target`, `protocol` and `edge`, the number by which `read_slots` knows it, of every edge.

    A hash instead of three names: 100,000 rows come four times as fast.
    """
    return store.query(_NUMBERS)


def read_slots(store: Store, slots: SlotPlan, question: Question, columns: EdgeColumns, known_as: pa.Table) -> Slots:
    """Return the slots of all edges of a window; of a question its layers, view and whether it wants latencies count.

    Where both ends reported, those of the end that counts: the one whose sums the columns have.
    """
    measures = _measures(columns, full=question.full)
    if not measures or not slots.count:
        return {}
    numbers, edges = _numbered(columns, known_as)
    parameters: dict[str, Any] = {"base": slots.start_s, "step": slots.slot_s}
    interval = during(0, slots.start_s, slots.start_s + slots.slot_s * slots.count, parameters)
    sums = ", ".join(f"sum(r.{name}) AS {name}" for name in measures)
    sql = (
        f"SELECT {_NUMBER}, layer, {BY_TARGET}, {_SLOT}, {sums} FROM edges_{slots.level} AS r "
        f"WHERE {interval} AND {where(question, parameters)} GROUP BY edge, layer, by_target, slot"
    )
    table = store.query(sql, parameters)
    number = table.column("edge").to_numpy()
    at = np.minimum(np.searchsorted(numbers, number), max(len(numbers) - 1, 0))
    known = numbers[at] == number if len(numbers) else np.zeros(len(number), bool)
    edge = np.where(known, edges[at] if len(edges) else -1, -1)
    slot, by_target = as_int(table, "slot"), as_int(table, "by_target").astype(bool)
    codes, names = coded(table, "layer")
    values = {name: as_int(table, name) for name in measures}
    found: Slots = {}
    for code, layer in enumerate(names):
        if layer not in columns.layers:
            continue
        rows = np.flatnonzero((codes == code) & (edge >= 0))
        rows = rows[columns.layers[layer].by_target[edge[rows]] == by_target[rows]]
        place, size = edge[rows] * slots.count + slot[rows], len(columns) * slots.count
        found[layer] = {
            # Corrections may leave less than nothing in a bucket; a rate is never negative.
            name: np.maximum(np.bincount(place, own[rows], size), 0).reshape(len(columns), slots.count)
            for name, own in values.items()
        }
    return found


def _numbered(columns: EdgeColumns, known_as: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """The numbers of a window's edges, rising, and the edge of each."""
    edge = find_edges(columns, known_as)
    rows = np.flatnonzero(edge >= 0)
    numbers = known_as.column("edge").to_numpy()[rows]
    order = np.argsort(numbers)
    return numbers[order], edge[rows][order]


def _measures(columns: EdgeColumns, *, full: bool) -> list[str]:
    """What the tests of the layers that are there need."""
    measures = list(_FLOWS if "network" in columns.layers else ())
    if "ipc" in columns.layers or "trace" in columns.layers:
        measures += [*_CALLS, *(_LATENCIES if full else ())]
    return measures
