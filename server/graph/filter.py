"""Which edges of a window are shown: filters, the neighbourhood of a focus, the busiest up to a limit. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from chronotope.schema.names import split_service_id
from chronotope.server.evidence.columns import EdgeColumns
from chronotope.server.evidence.question import Question


def filter_edges(columns: EdgeColumns, question: Question, kinds: Mapping[str, str]) -> np.ndarray:
    """Return which edges a question wants, bool[E], before the limit.

    An edge passes the filters when one of its ends is in one of the namespaces, is of one of the kinds, and has the
    searched text in its id. The focus walks only over edges that pass.
    """
    there = np.ones(len(columns), bool)
    if question.namespaces or question.kinds or question.search:
        wanted = np.array([_wanted(name, question, kinds) for name in columns.names], bool)
        there = wanted[columns.source] | wanted[columns.target]
    if not question.focus:
        return there
    return neighbourhood(columns, there, question.focus, question.depth, question.direction)


def neighbourhood(
    columns: EdgeColumns, there: np.ndarray, focus: tuple[str, ...], depth: int, direction: str
) -> np.ndarray:
    """Return the edges within `depth` steps of the focus, walking to callers, callees or both. bool[E].

    Args:
        there: bool[E], edges that may be walked.
    """
    start = np.isin(np.array(columns.names, object), np.array(focus, object))
    if direction == "upstream":
        return _walked(columns.target, columns.source, there, start, depth)
    if direction == "downstream":
        return _walked(columns.source, columns.target, there, start, depth)
    near = np.concatenate([columns.source, columns.target])
    far = np.concatenate([columns.target, columns.source])
    keep = _walked(near, far, np.concatenate([there, there]), start, depth)
    return np.asarray(keep[: len(columns)] | keep[len(columns) :])


def busiest(columns: EdgeColumns, limit: int) -> np.ndarray:
    """Return the `limit` busiest edges, bool[E]: most calls or connections in any layer, then most bytes."""
    keep = np.ones(len(columns), bool)
    if len(columns) <= limit:
        return keep
    activity, volume = np.zeros(len(columns), np.int64), np.zeros(len(columns), np.int64)
    for name, layer in columns.layers.items():
        measures = layer.measures
        activity = np.maximum(activity, measures["connections" if name == "network" else "calls"])
        volume = np.maximum(volume, measures["bytes_sent"] + measures["bytes_received"])
    order = np.lexsort((np.arange(len(columns)), -volume, -activity))
    keep[order[limit:]] = False
    return keep


def _wanted(name: str, question: Question, kinds: Mapping[str, str]) -> bool:
    if question.namespaces and split_service_id(name)[0] not in question.namespaces:
        return False
    if question.kinds and kinds.get(name, "unknown") not in question.kinds:
        return False
    return question.search.casefold() in name.casefold()


def _walked(near: np.ndarray, far: np.ndarray, there: np.ndarray, start: np.ndarray, depth: int) -> np.ndarray:
    reached, keep = start.copy(), np.zeros(len(near), bool)
    for _ in range(depth):
        step = reached[near] & there & ~keep
        if not step.any():
            break
        keep |= step
        reached[far[step]] = True
    return keep
