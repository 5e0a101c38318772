"""A whole drawing: each component in columns, components packed beside each other. Pure.

Invariant: any two nodes are a column or a row apart, so that no name covers another; the same graph gives the same
places, whatever the order of its edges.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from chronotope.server.layout.ranks import ranks_of
from chronotope.server.layout.rows import columns_of, heights_of

COLUMN = 190.0  # drawing units: a name of 25 letters and some air
ROW = 64.0  # a node, its name, and some air
ASPECT = 1.7
_GAP = 1.4  # between components, in columns and rows


def draw(count: int, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return a place for each node, float64[N, 2]: x to the right, y down.

    Args:
        count: N nodes.
        source: int64[E], callers.
        target: int64[E], callees.
    """
    places = np.zeros((count, 2))
    if not count:
        return places
    pairs = np.unique(np.stack([source, target])[:, source != target], axis=1)
    graph = csr_matrix((np.ones(pairs.shape[1]), (pairs[0], pairs[1])), (count, count))
    number, component = connected_components(graph, directed=False)
    of_edge = component[pairs[0]]
    boxes, room = np.zeros((number, 2)), np.array([COLUMN, ROW]) * _GAP
    members = np.split(np.argsort(component, kind="stable"), np.cumsum(np.bincount(component))[:-1])
    own_edges = np.split(np.argsort(of_edge, kind="stable"), np.cumsum(np.bincount(of_edge, minlength=number))[:-1])
    local = np.empty(count, np.int64)
    for at, nodes in enumerate(members):
        local[nodes] = np.arange(len(nodes))
        own = local[pairs[:, own_edges[at]]]
        places[nodes] = _component(len(nodes), own[0], own[1])
        places[nodes] -= places[nodes].min(0)
        boxes[at] = places[nodes].max(0) + room
    places += _packed(boxes)[component]
    return places


def _component(count: int, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    if count == 1:
        return np.zeros((1, 2))
    columns = columns_of(ranks_of(count, source, target), COLUMN, ROW, ASPECT)
    y = heights_of(columns, source, target, ROW)
    x = np.empty(count)
    for left, wide, nodes in zip(columns.left.tolist(), columns.width.tolist(), columns.nodes, strict=True):
        order = nodes[np.lexsort((nodes, y[nodes]))]
        x[order] = (left + np.arange(len(order)) % wide) * COLUMN
    return np.stack([x, y], 1)


def _packed(boxes: np.ndarray) -> np.ndarray:
    """Return the corner of each box, float64[C, 2]: on shelves, the highest first, about as wide as the aspect asks."""
    order = np.lexsort((np.arange(len(boxes)), -boxes[:, 0], -boxes[:, 1]))
    wide = max(float(boxes[:, 0].max()), float(np.sqrt(boxes.prod(1).sum() * ASPECT)))
    corners = np.zeros_like(boxes)
    x = y = shelf = 0.0
    for at in order.tolist():
        if x > 0 and x + boxes[at, 0] > wide:
            x, y, shelf = 0.0, y + shelf, 0.0
        corners[at] = x, y
        x, shelf = x + boxes[at, 0], max(shelf, float(boxes[at, 1]))
    return corners
