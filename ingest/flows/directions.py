"""How the direction of each edge is known, told to the store: once, and again when it becomes known better.

The table `edge_directions` keeps the best, so that telling the same twice, or late, or by two servers, changes nothing.
What a process told it remembers, so that a batch of known edges costs no insert.

Invariant: what the store knows of an edge is never less than the best row that was ever attributed to it; who sent SYN
is true of the two ends whatever else is learnt of them, so nothing is taken back.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa
from numba import njit

from chronotope.ingest.columns.dictionary import encode
from chronotope.ingest.columns.hashing import SEED, slot_of, table_size
from chronotope.ingest.flows.edges import UNTOLD
from chronotope.ingest.flows.rows import FlowVocabulary

_TOLD = np.dtype([("source", "<i4"), ("target", "<i4"), ("protocol", "<i4"), ("direction", "i1")])
_FIRST = 8192


class Directions:
    """Tells what edges' directions are known by. Not thread-safe: the writer of flows has one."""

    def __init__(self, vocabulary: FlowVocabulary) -> None:
        self._vocabulary = vocabulary
        self._table = _empty(2 * _FIRST)
        self._count = 0

    def tell(self, edges: np.ndarray, insert: Callable[[str, pa.Table, str], None]) -> None:
        """Store what is not told yet.

        Args:
            edges: EDGE[K] of `EdgeSums.directions`.
            insert: into a table, as `Store.insert` does.
        """
        self._make_room(len(edges))
        better = _tell(edges, self._table, SEED)
        if not better.any():
            return
        self._count += int(better.sum())  # at most
        try:
            insert("edge_directions", self._rows(edges[better]), "")
        except BaseException:
            self._table, self._count = _empty(2 * _FIRST), 0  # whether it is stored is not known: tell all again
            raise

    def _make_room(self, more: int) -> None:
        """Keep the table half empty."""
        if 2 * (self._count + more) <= len(self._table):
            return
        told = self._table[self._table["direction"] != UNTOLD]
        self._count = len(told)
        self._table = _empty(table_size(2 * (len(told) + more)))
        _tell(told, self._table, SEED)

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
    table = np.zeros(size, _TOLD)
    table["direction"] = UNTOLD
    return table


@njit(cache=True, nogil=True)
def _tell(edges, table, seed):  # type: ignore[no-untyped-def]
    """Note directions in a table of slots, a power of two; return bool[K]: which are better than what was there."""
    better = np.zeros(len(edges), np.bool_)
    mask = np.uint64(len(table) - 1)
    for i in range(len(edges)):
        edge = edges[i]
        source, target, protocol = edge["source"], edge["target"], edge["protocol"]
        slot = slot_of(np.uint64(source), np.uint64(target), np.uint64(protocol), mask, seed)
        while table[slot]["direction"] != UNTOLD:
            told = table[slot]
            if told["source"] == source and told["target"] == target and told["protocol"] == protocol:
                break
            slot = (slot + 1) & np.int64(mask)
        told = table[slot]
        better[i] = edge["direction"] > told["direction"]
        if better[i]:
            told["source"], told["target"], told["protocol"] = source, target, protocol
            told["direction"] = edge["direction"]
    return better
