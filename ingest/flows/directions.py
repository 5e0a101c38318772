"""Store how the direction of each edge is known: once, and again when better evidence comes.

The table `edge_directions` keeps the best evidence. So writing a row twice, or late, or from two servers changes
nothing. The process remembers what it wrote, so a batch of known edges costs no insert.

Invariant: the store never has less than the best evidence that was ever attributed to an edge. Nothing is taken back:
who sent SYN stays true, whatever else becomes known.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
from numba import njit

from chronotope.ingest.columns.codes import encode
from chronotope.ingest.columns.hashing import SEED, slot_of, table_size
from chronotope.ingest.flows.edges import NO_DIRECTION
from chronotope.ingest.flows.rows import FlowVocabulary

_STORED = np.dtype([("source", "<i4"), ("target", "<i4"), ("protocol", "<i4"), ("direction", "i1")])
_FIRST = 8192


class Directions:
    """Stores the best evidence of edges' directions. Not thread-safe: the writer of flows has one."""

    def __init__(self, vocabulary: FlowVocabulary) -> None:
        self._vocabulary = vocabulary
        self._table = _empty(2 * _FIRST)
        self._count = 0

    def write(self, edges: np.ndarray, insert: Callable[[str, pa.Table, str], None]) -> None:
        """Store what is not stored yet.

        Args:
            edges: EDGE[K] of `EdgeSums.directions`.
            insert: into a table, as `Store.insert` does.
        """
        self._make_room(len(edges))
        better = _keep_better(edges, self._table, SEED)
        if not better.any():
            return
        self._count += int(better.sum())  # at most
        try:
            insert("edge_directions", self._rows(edges[better]), "")
        except BaseException:
            self._table, self._count = _empty(2 * _FIRST), 0  # whether it is stored is not known: write all again
            raise

    def _make_room(self, more: int) -> None:
        """Keep the table half empty."""
        if 2 * (self._count + more) <= len(self._table):
            return
        stored = self._table[self._table["direction"] != NO_DIRECTION]
        self._count = len(stored)
        self._table = _empty(table_size(2 * (len(stored) + more)))
        _keep_better(stored, self._table, SEED)

    def _rows(self, edges: np.ndarray) -> pa.Table:
        nodes, protocols = self._vocabulary.nodes.values, self._vocabulary.protocols.values
        return pa.table(
            {
                "source": encode(edges["source"], lambda code: nodes[code]),
                "target": encode(edges["target"], lambda code: nodes[code]),
                "protocol": encode(edges["protocol"], lambda code: protocols[code]),
                "direction": edges["direction"].astype(np.uint8),
            }
        )


def _empty(size: int) -> np.ndarray:
    table = np.zeros(size, _STORED)
    table["direction"] = NO_DIRECTION
    return table


@njit(cache=True, nogil=True)
def _keep_better(edges, table, seed):  # type: ignore[no-untyped-def]
    """Note directions in a hash table, whose size is a power of two. Return bool[K]: which are better than before."""
    better = np.zeros(len(edges), np.bool_)
    mask = np.uint64(len(table) - 1)
    for i in range(len(edges)):
        edge = edges[i]
        source, target, protocol = edge["source"], edge["target"], edge["protocol"]
        slot = slot_of(np.uint64(source), np.uint64(target), np.uint64(protocol), mask, seed)
        while table[slot]["direction"] != NO_DIRECTION:
            stored = table[slot]
            if stored["source"] == source and stored["target"] == target and stored["protocol"] == protocol:
                break
            slot = (slot + 1) & np.int64(mask)
        stored = table[slot]
        better[i] = edge["direction"] > stored["direction"]
        if better[i]:
            stored["source"], stored["target"], stored["protocol"] = source, target, protocol
            stored["direction"] = edge["direction"]
    return better
