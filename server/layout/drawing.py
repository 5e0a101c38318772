"""A whole drawing: each component in columns, components packed beside each other. Pure.

Invariant: any two nodes are a column or a row apart, so no name covers another. The same graph gives the same
positions, whatever the order of its edges.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from chronotope.server.layout.ranks import ranks_of
from chronotope.server.layout.rows import columns_of, heights_of, single_columns

COLUMN = 190.0  # drawing units: a name of 25 letters and some air
ROW = 76.0  # a node, its name, and air for an edge to pass
ASPECT = 1.7
_WAY = 0.4  # of a row, for an edge that passes a column
_MOST_WAYS = 1.5  # for each node; with more of them the drawing would be mostly ways
_GAP = 1.4  # between components, in columns and rows


def draw(count: int, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return a position for each node, float64[N, 2]: x to the right, y down.

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
    rank = ranks_of(count, source, target)
    columns = columns_of(rank, COLUMN, ROW, ASPECT)
    if columns.width.max() == 1:
        y = _heights_with_ways(rank, source, target)
    else:  # so many that edges cannot but pass behind nodes
        y = heights_of(columns, source, target, np.full(count, ROW))
    x = np.empty(count)
    for left, wide, nodes in zip(columns.left.tolist(), columns.width.tolist(), columns.nodes, strict=True):
        order = nodes[np.lexsort((nodes, y[nodes]))]
        x[order] = (left + np.arange(len(order)) % wide) * COLUMN
    return np.stack([x, y], 1)


def _heights_with_ways(rank: np.ndarray, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return heights that leave room in each column for the edges that pass it (Sugiyama's dummy nodes)."""
    count = len(rank)
    span = rank[target] - rank[source]
    long = np.flatnonzero(span > 1)
    if (span[long] - 1).sum() > _MOST_WAYS * count:
        long = long[:0]
    stops = span[long] - 1
    first = count + np.concatenate([[0], np.cumsum(stops)])[:-1].astype(np.int64)
    of_edge = np.repeat(np.arange(len(long)), stops)
    stop = count + np.arange(int(stops.sum()))
    rank = np.concatenate([rank, rank[source[long]][of_edge] + 1 + stop - first[of_edge]])
    inner = stop - first[of_edge] > 0
    others = np.setdiff1d(np.arange(len(source)), long)
    callers = np.concatenate([source[others], source[long], stop[inner] - 1, first + stops - 1])
    callees = np.concatenate([target[others], first, stop[inner], target[long]])
    room = np.where(np.arange(len(rank)) < count, ROW, ROW * _WAY)
    return heights_of(single_columns(rank), callers, callees, room)[:count]


def _packed(boxes: np.ndarray) -> np.ndarray:
    """Return the corner of each box, float64[C, 2]: the highest first, each as high up as it fits, then left.

    The free space is kept as a skyline: how far down each stretch of the width is taken.
    """
    order = np.lexsort((np.arange(len(boxes)), -boxes[:, 0], -boxes[:, 1]))
    wide = max(float(boxes[:, 0].max()), float(np.sqrt(boxes.prod(1).sum() * ASPECT)))
    corners = np.zeros_like(boxes)
    left, depth = np.array([0.0]), np.array([0.0])
    for at in order.tolist():
        ends = left + boxes[at, 0]
        fits = np.flatnonzero(ends <= wide + 1e-6)
        reach = np.searchsorted(left, ends[fits] - 1e-6)
        tops = np.array([depth[start:end].max() for start, end in zip(fits.tolist(), reach.tolist(), strict=True)])
        best = int(tops.argmin())
        x, right, end = left[fits[best]], ends[fits[best]], reach[best]
        corners[at] = x, tops[best]
        after = (left[end:], depth[end:])
        if end == len(left) or left[end] > right + 1e-6:  # what is left of the last stretch that it covers
            after = (np.append(right, after[0]), np.append(depth[end - 1], after[1]))
        left = np.concatenate([left[: fits[best]], [x], after[0]])
        depth = np.concatenate([depth[: fits[best]], [tops[best] + boxes[at, 1]], after[1]])
    return corners
