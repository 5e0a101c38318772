"""The column of each node: callers left of callees. Pure.

Invariant: an edge that is in no cycle leads to a higher rank. Columns without a node are left out.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_matrix, diags
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import cg

_CLEARLY = 0.5  # of a cycle's edges, those that climb at least so much of a level still lead to the right


def ranks_of(count: int, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the rank of each node, int64[N], from 0.

    Args:
        count: N nodes.
        source: int64[E], callers.
        target: int64[E], callees; none is its own caller.
    """
    forward = _acyclic(count, source, target)
    source, target = source[forward], target[forward]
    rank = np.zeros(count, np.int64)
    while True:
        wanted = rank.copy()
        np.maximum.at(wanted, target, rank[source] + 1)
        if np.array_equal(wanted, rank):
            break
        rank = wanted
    _pull(rank, source, target)
    number: np.ndarray = np.unique(rank, return_inverse=True)[1]
    return number


def trophic_levels(count: int, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return a level for each node such that edges climb one level as nearly as they can, float64[N].

    Source: MacKay, Johnson and Sansom, How directed is a directed network?, 2020, equation 2.1.
    """
    ones = np.ones(len(source))
    calls = csr_matrix((ones, (source, target)), (count, count))
    both = calls + calls.T
    inward, outward = np.bincount(target, minlength=count), np.bincount(source, minlength=count)
    # A whole component may be lifted as one: a little weight on every node holds it.
    laplacian = diags(inward + outward + 1e-3) - both
    levels, _ = cg(laplacian.tocsr(), (inward - outward).astype(float), rtol=1e-6, maxiter=500)
    return np.asarray(levels)


def _acyclic(count: int, source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return which edges to keep so that no cycle is left, bool[E]."""
    calls = csr_matrix((np.ones(len(source)), (source, target)), (count, count))
    _, component = connected_components(calls, connection="strong")
    within = component[source] == component[target]
    if not within.any():
        return np.ones(len(source), bool)
    level = trophic_levels(count, source, target)
    return np.asarray(~within | (level[target] - level[source] > _CLEARLY))


def _pull(rank: np.ndarray, source: np.ndarray, target: np.ndarray) -> None:
    """Move callers that call more than they are called to just left of their first callee: edges become short."""
    count = len(rank)
    busier = np.bincount(source, minlength=count) > np.bincount(target, minlength=count)
    for level in range(int(rank.max(initial=0)) - 1, -1, -1):
        first = np.full(count, np.iinfo(np.int64).max)
        np.minimum.at(first, source, rank[target])
        movable = np.flatnonzero((rank == level) & busier & (first < np.iinfo(np.int64).max))
        rank[movable] = first[movable] - 1
