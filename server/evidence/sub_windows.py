"""A window cut into sub-windows of equal length: how much an edge's evidence varies within it.

Invariant: sub-windows have one length, lie within the window, and come from one level. There are none when the window
is shorter than two buckets of the finest level that still has it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from chronotope.schema.observations import LAYERS
from chronotope.schema.storage.store import Asked
from chronotope.server.evidence.columns import EdgeColumns
from chronotope.server.evidence.levels import LEVELS, SIZES, Plan
from chronotope.server.evidence.lifetimes import NUMBER
from chronotope.server.evidence.numbering import Numbers, numbered
from chronotope.server.evidence.question import Question
from chronotope.server.evidence.statement import TARGET_REPORTED, during, where

FEWEST = 10  # sub-windows, where the levels allow it
_CALLS, _LATENCIES = ("calls", "errors"), ("latency_us_sum", "latency_count")
_FLOWS = ("connections", "failed_connections", "bytes_sent", "bytes_received")
_FEW_BUCKETS = 6

Track = tuple[str, bool]  # a layer, and whether the target reported

SubWindows = dict[str, dict[str, np.ndarray]]  # layer → measure → float64[E, K]


@dataclass(frozen=True, slots=True)
class SubWindowPlan:
    """`count` sub-windows of `length_s` seconds from `start_s` (Unix seconds), read from one level."""

    level: str
    start_s: int
    length_s: int
    count: int


def plan_sub_windows(plan: Plan, retention: Mapping[str, int | None], now_ms: int) -> SubWindowPlan:
    """Return how a window is cut: by the coarsest level that gives ten sub-windows, else by the finest that is kept."""
    chosen = SubWindowPlan(LEVELS[0][0], plan.start_s, LEVELS[0][1], 0)
    for level, size in reversed(LEVELS):
        age = retention.get(level)
        start, end = -(-plan.start_s // size) * size, plan.end_s // size * size
        buckets = (end - start) // size
        if buckets < 1 or (age is not None and start < now_ms // 1000 - age):
            continue
        joined = max(buckets // FEWEST, 1)
        chosen = SubWindowPlan(level, start, size * joined, buckets // joined)
        if buckets >= FEWEST:
            break
    return chosen


def sub_windows_query(plan: SubWindowPlan, question: Question, layers: Sequence[str]) -> Asked:
    """Return the query that `sub_windows_of` needs for one window: `edge`, `place` (of track and sub-window) and
    measures.

    Few buckets in a sub-window are added up here, many by the engine: for few, grouping costs more than it saves.

    Args:
        plan: how the window is cut.
        question: its view counts, and whether it wants latencies.
        layers: those that may have evidence; at least one.
    """
    parameters: dict[str, Any] = {"base": plan.start_s, "step": plan.length_s}
    interval = during(0, plan.start_s, plan.start_s + plan.length_s * plan.count, parameters)
    place = "intDiv(toUnixTimestamp(time) - {base:UInt32}, {step:UInt32})"
    tracks = _tracks(layers)
    if len(tracks) > 1:
        track = ", ".join(
            f"layer = '{layer}' AND {'' if by_target else 'NOT '}({TARGET_REPORTED}), {at}"
            for at, (layer, by_target) in enumerate(tracks)
        )
        place = f"multiIf({track}, 0) * {plan.count} + {place}"
    grouped = plan.length_s > _FEW_BUCKETS * SIZES[plan.level]
    measures = sorted({measure for layer in layers for measure in _measures(layer, full=question.full)})
    sums = ", ".join(f"sum(r.{name}) AS {name}" if grouped else f"r.{name}" for name in measures)
    conditions = where(replace(question, layers=tuple(layers)), parameters)
    return (
        f"SELECT {NUMBER}, toUInt16({place}) AS place, {sums} FROM edges_{plan.level} AS r "
        f"WHERE {interval} AND {conditions}{' GROUP BY edge, place' if grouped else ''}",
        parameters,
    )


def sub_windows_of(
    table: pa.Table, plan: SubWindowPlan, layers: Sequence[str], columns: EdgeColumns, numbers: Numbers, *, full: bool
) -> SubWindows:
    """Return the sub-windows of one window's E edges; where both ends reported, those of the end that counts.

    Args:
        table: the answer to `sub_windows_query`, of the same plan, layers and `full`.
        plan: how the window is cut.
        layers: those that were asked for.
        columns: the window's edges.
        numbers: of their rows.
        full: latencies too.
    """
    edge, place = numbered(table, numbers), table.column("place").to_numpy()
    tracks = _tracks(layers)
    found: SubWindows = {}
    for at, (name, by_target) in enumerate(tracks):
        layer = columns.layers.get(name)
        if layer is None or (by_target and not layer.by_target.any()):
            continue
        own = edge >= 0
        if len(tracks) > 1:
            own &= place // plan.count == at
        key = edge * plan.count + place
        key -= at * plan.count
        sums = {
            measure: _added_up(table.column(measure).to_numpy(), key, own, (len(numbers), plan.count))
            for measure in _measures(name, full=full)
        }
        if by_target:
            chosen = layer.by_target[:, None]
            sums = {measure: np.where(chosen, values, found[name][measure]) for measure, values in sums.items()}
        found[name] = sums
    return found


def _added_up(values: np.ndarray, key: np.ndarray, own: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Sums by edge and sub-window of the rows that are `own`, float64[E, K]."""
    if not own.all():
        values, key = values[own], key[own]
    sums = np.bincount(key, values, shape[0] * shape[1]).astype(np.float64, copy=False)  # of no rows: int64
    # Corrections may leave less than nothing in a bucket; a rate is never negative.
    return np.maximum(sums, 0, out=sums).reshape(shape)


def _tracks(layers: Sequence[str]) -> list[Track]:
    """What is kept apart: layers, and in layer ipc the reports of targets."""
    found = [(name, False) for name in LAYERS if name in layers]
    return [*found, ("ipc", True)] if "ipc" in layers else found


def _measures(layer: str, *, full: bool) -> tuple[str, ...]:
    """What the tests of a layer need."""
    return _FLOWS if layer == "network" else _CALLS + (_LATENCIES if full else ())
