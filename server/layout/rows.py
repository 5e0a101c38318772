"""The order of nodes in each column, and their heights: edges become level and cross little. Pure.

Invariant: two nodes of one column are at least a row apart. A column with more nodes than there are rows spreads over
several neighbouring columns, so that heights stay right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import isotonic_regression
from scipy.sparse import csr_matrix

_SWEEPS = 24
_SETTLES = 6


@dataclass(frozen=True, slots=True)
class Columns:
    """Nodes by rank, and how many columns side by side each rank has."""

    nodes: tuple[np.ndarray, ...]
    width: np.ndarray

    @property
    def left(self) -> np.ndarray:
        """The number of the first column of each rank, int64[R]."""
        return np.concatenate([[0], np.cumsum(self.width)[:-1]]).astype(np.int64)


def single_columns(rank: np.ndarray) -> Columns:
    """Return one column for each rank."""
    sizes = np.bincount(rank)
    nodes = np.split(np.argsort(rank, kind="stable"), np.cumsum(sizes)[:-1])
    return Columns(tuple(nodes), np.ones(len(sizes), np.int64))


def columns_of(rank: np.ndarray, column_pitch: float, row_pitch: float, aspect: float) -> Columns:
    """Cut ranks into columns so that the whole comes near to an aspect ratio."""
    sizes = np.bincount(rank)
    heights = np.unique(np.concatenate([np.arange(1, 9), np.geomspace(8, max(int(sizes.max()), 8), 60)]).astype(int))
    wide = np.ceil(sizes[None, :] / heights[:, None]).sum(1) * column_pitch
    high = np.minimum(heights, sizes.max()) * row_pitch
    best = int(np.abs(np.log(wide / high / aspect)).argmin())
    return Columns(single_columns(rank).nodes, np.ceil(sizes / heights[best]).astype(np.int64))


def heights_of(columns: Columns, source: np.ndarray, target: np.ndarray, room: np.ndarray) -> np.ndarray:
    """Return how high each node is, float64[N], in drawing units around 0.

    Args:
        columns: N nodes by rank.
        source: int64[E], callers.
        target: int64[E], callees.
        room: float64[N], the height that each node needs.

    Columns are put in the order of their neighbours' mean height, to and fro (Sugiyama's barycentres), and then as near
    to it as the distance of a row allows, which isotonic regression solves exactly.
    """
    count = sum(len(nodes) for nodes in columns.nodes)
    ends = np.concatenate([source, target]), np.concatenate([target, source])
    near = csr_matrix((np.ones(len(ends[0])), ends), (count, count))
    weight = np.maximum(np.asarray(near.sum(1)).ravel(), 1e-9)
    rows = [near[nodes] for nodes in columns.nodes]
    height = _spread(columns, near, weight, float(room.max(initial=0)))
    ranks = range(len(columns.nodes))
    for sweep in range(_SWEEPS):
        for rank in ranks if sweep % 2 == 0 else reversed(ranks):
            nodes = columns.nodes[rank]
            mean = rows[rank] @ height / weight[nodes]
            wanted = np.where(weight[nodes] < 1, height[nodes], mean)
            # The order changes in the first sweeps; the last ones only straighten.
            order = nodes[np.lexsort((nodes, wanted if sweep < _SWEEPS - _SETTLES else height[nodes]))]
            by_node = dict(zip(nodes.tolist(), wanted.tolist(), strict=True))
            own = np.array([by_node[node] for node in order.tolist()])
            height[order] = apart(own, room[order] / columns.width[rank], weight[order])
    return height


def apart(wanted: np.ndarray, room: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the heights nearest to those wanted (least weighted squares), in this order, each with its room."""
    if len(wanted) < 2:
        return wanted
    steps = np.concatenate([[0], np.cumsum((room[1:] + room[:-1]) / 2)])
    return np.asarray(isotonic_regression(wanted - steps, weights=weight).x + steps)


def _spread(columns: Columns, near: csr_matrix, weight: np.ndarray, row_pitch: float) -> np.ndarray:
    """A first height: the slowest wave over the graph across its columns, so that what belongs together is together.

    Power iteration on the averaging of neighbours, with the mean and the rank taken out at each step.
    """
    count = near.shape[0]
    rank = np.empty(count)
    for at, nodes in enumerate(columns.nodes):
        rank[nodes] = at
    one = np.ones(count)
    sloped = rank - (weight @ rank) / weight.sum()
    wave = np.cos(np.arange(count) * 2.399963)  # spread out, the same at every run
    for _ in range(80):
        for flat in (one, sloped):
            wave -= flat * ((weight * flat) @ wave) / max((weight * flat) @ flat, 1e-9)
        wave = 0.5 * wave + 0.5 * (near @ wave) / weight
        wave /= max(float(np.abs(wave).max()), 1e-12)
    high = max(len(nodes) / wide for nodes, wide in zip(columns.nodes, columns.width.tolist(), strict=True))
    return np.asarray(wave * high * row_pitch / 2)
