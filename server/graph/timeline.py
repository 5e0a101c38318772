"""How the graph changed over time: one value for each step.

Invariant: an edge is in a step when a layer has evidence of it in that step. `added` and `removed` compare with the
step before, so the one before the first is read too.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct

from chronotope.schema.storage.store import Store
from chronotope.server.context.changes import ServiceChange
from chronotope.server.evidence.joining import read_joined_numbers
from chronotope.server.evidence.question import Question
from chronotope.server.evidence.statement import BY_TARGET, during, where
from chronotope.server.evidence.steps import Steps
from chronotope.server.graph.answer import Window
from chronotope.server.graph.assemble import format_times, window_of_steps

# Layers are not added together: an edge's calls are those of the layer that saw the most.
_SQL = """
SELECT step, edge, any(caller) AS source, any(callee) AS target, max(seen_calls) AS calls, max(seen_errors) AS errors
FROM
(
    SELECT step, edge, layer, any(caller) AS caller, any(callee) AS callee, countIf(NOT by_target) > 0 AS by_source,
           if(by_source, sumIf(sum_calls, NOT by_target), sum(sum_calls)) AS seen_calls,
           if(by_source, sumIf(sum_errors, NOT by_target), sum(sum_errors)) AS seen_errors
    FROM
    (
        SELECT intDiv(toInt64(toUnixTimestamp(time)) - {base:Int64}, {step:Int64}) AS step,
               cityHash64(source, target, protocol) AS edge, layer, %(by_target)s,
               any(cityHash64(source)) AS caller, any(cityHash64(target)) AS callee,
               sum(calls) AS sum_calls, sum(errors) AS sum_errors
        FROM %(table)s
        WHERE %(conditions)s
        GROUP BY step, edge, layer, by_target
        HAVING sum_calls > 0 OR sum(connections) > 0 OR sum(bytes_sent) > 0 OR sum(bytes_received) > 0
    )
    GROUP BY step, edge, layer
)
GROUP BY step, edge
"""


class Timeline(Struct):
    """Columns, one value a step; `removed` is null for a step that has not ended.

    `changes`: of services, reported or seen as new versions, the latest first.
    """

    window: Window
    step_seconds: int
    time: list[str]
    nodes: list[int]
    edges: list[int]
    added: list[int]
    removed: list[int | None]
    calls: list[int]
    errors: list[int]
    changes: list[ServiceChange] = []


def read_timeline(store: Store, steps: Steps, question: Question, now_ms: int) -> Timeline:
    """Return the timeline of some steps; of the question its layers, view and protocols count."""
    parameters: dict[str, Any] = {"base": steps.start_s - steps.step_s, "step": steps.step_s}
    filters = where(question, parameters)
    interval = during(0, steps.start_s - steps.step_s, steps.end_s, parameters)
    texts = {"by_target": BY_TARGET, "table": f"edges_{steps.level}", "conditions": f"{interval} AND {filters}"}
    rows = store.query(_SQL % texts, parameters)
    return timeline_of(_joined(rows, *read_joined_numbers(store, question.layers)), steps, now_ms)


def timeline_of(rows: pa.Table, steps: Steps, now_ms: int) -> Timeline:
    """Return the timeline of R (step, edge) pairs; step 0 is the one before the first."""
    step = _numbers(rows, "step")
    _, edge = np.unique(_numbers(rows, "edge"), return_inverse=True)
    added, removed = _changes(edge, step, steps.count)
    ended = steps.starts_ms + steps.step_s * 1000 <= now_ms
    return Timeline(
        window_of_steps(steps.start_s, steps.end_s, steps.step_s),
        steps.step_s,
        [text or "" for text in format_times(steps.starts_ms)],
        _distinct(np.concatenate([step, step]), _both_ends(rows), steps.count).tolist(),
        _per_step(step, np.ones(len(step), np.int64), steps.count).tolist(),
        added.tolist(),
        [count if done else None for count, done in zip(removed.tolist(), ended.tolist(), strict=True)],
        _per_step(step, _numbers(rows, "calls"), steps.count).tolist(),
        _per_step(step, _numbers(rows, "errors"), steps.count).tolist(),
    )


def _joined(rows: pa.Table, joined: pa.Array, into: pa.Array) -> pa.Table:
    """Make one row of an edge and the flows that belong to it, with the calls of whichever saw the most."""
    at = pc.index_in(rows.column("edge"), value_set=joined)
    if at.null_count == len(rows):
        return rows
    rows = rows.set_column(rows.column_names.index("edge"), "edge", pc.coalesce(into.take(at), rows.column("edge")))
    ends = [(name, "min") for name in ("source", "target")]
    grouped = rows.group_by(["step", "edge"]).aggregate([*ends, ("calls", "max"), ("errors", "max")])
    return grouped.rename_columns([name.partition("_")[0] for name in grouped.column_names])


def _numbers(rows: pa.Table, name: str) -> np.ndarray:
    column: np.ndarray = rows.column(name).to_numpy()
    return column if name in ("edge", "source", "target") else column.astype(np.int64)


def _both_ends(rows: pa.Table) -> np.ndarray:
    return np.concatenate([_numbers(rows, "source"), _numbers(rows, "target")])


def _per_step(step: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    sums = np.zeros(count + 1, np.int64)
    np.add.at(sums, step, values)
    return sums[1:]


def _distinct(step: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    """How many different values each step has."""
    _, code = np.unique(values, return_inverse=True)
    pairs = np.unique(code.astype(np.int64) * (count + 1) + step)
    return np.bincount(pairs % (count + 1), minlength=count + 1)[1:]


def _changes(edge: np.ndarray, step: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """How many edges each step has that the one before does not have, and the reverse."""
    width = count + 2  # one more than there are steps: the last of one edge is no neighbour of the next one's first
    runs = np.sort(edge.astype(np.int64) * width + step)
    if not len(runs):
        return np.zeros(count, np.int64), np.zeros(count, np.int64)
    joined = np.diff(runs) == 1
    begins = runs[np.concatenate([[True], ~joined])] % width
    gone = runs[np.concatenate([~joined, [True]])] % width + 1
    return (
        np.bincount(begins, minlength=width)[1 : count + 1],
        np.bincount(gone, minlength=width)[1 : count + 1],
    )
