"""Pairs of services: the graph of all questions, as columns, with the number of calls from one to the other.

Invariant: pairs are in the order of (source, target), each once; no service is a pair with itself. Codes are in the
order of names, so an order by codes is an order by names.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import rustworkx as rx

from chronotope.server.evidence.columns import EdgeColumns

CALL_LAYERS = ("ipc", "trace")


@dataclass(frozen=True, slots=True)
class Pairs:
    """P pairs among services 0 to `services` - 1.

    Attributes:
        services: how many there are; some may be in no pair.
        source: caller, int64[P].
        target: callee, int64[P].
        calls: from one to the other, int64[P], over all protocols.
        own: services that call themselves, int64[S], rising.
    """

    services: int
    source: np.ndarray
    target: np.ndarray
    calls: np.ndarray
    own: np.ndarray

    def __len__(self) -> int:
        return len(self.source)

    def callees(self) -> list[list[int]]:
        """Return whom each service calls, rising."""
        return neighbours(self.source, self.target, self.services)

    def callers(self) -> list[list[int]]:
        """Return who calls each service, rising."""
        return neighbours(self.target, self.source, self.services)

    def graph(self) -> rx.PyDiGraph[None, None]:
        """Return the pairs as a rustworkx graph; node numbers are codes."""
        return digraph(self.source, self.target, self.services)


def pairs_of(source: np.ndarray, target: np.ndarray, calls: np.ndarray, services: int) -> Pairs:
    """Return the pairs of E edges; those of one pair (several protocols) are added up.

    Args:
        source: code of the caller, E.
        target: code of the callee, E.
        calls: at least 0, E.
        services: one more than the largest code, or more.
    """
    keys = source.astype(np.int64) * max(services, 1) + target
    found, place = np.unique(keys, return_inverse=True)
    sums = np.zeros(len(found), np.int64)
    np.add.at(sums, place, calls.astype(np.int64))
    callers, callees = found // max(services, 1), found % max(services, 1)
    other = callers != callees
    return Pairs(services, callers[other], callees[other], sums[other], callers[~other])


def weigh(columns: EdgeColumns) -> tuple[np.ndarray, np.ndarray]:
    """Return how many calls each edge stands for, int64[E], and where connections had to stand for calls, bool[E].

    Layers are never added together: an edge has the calls of the layer that counted the most. Where no layer counts
    calls, connections stand for them; what is alive without either (one long connection) stands for 1.
    """
    calls, connections = np.zeros(len(columns), np.int64), np.ones(len(columns), np.int64)
    for name, layer in columns.layers.items():
        if name in CALL_LAYERS:
            calls = np.maximum(calls, layer.measures["calls"])
        connections = np.maximum(connections, layer.measures["connections"])
    silent = calls <= 0
    return np.where(silent, connections, calls), silent


def neighbours(near: np.ndarray, far: np.ndarray, services: int) -> list[list[int]]:
    """Return for each service the far ends of its pairs, rising."""
    order = np.lexsort((far, near))
    ends = far[order].tolist()
    starts = np.searchsorted(near[order], np.arange(services + 1)).tolist()
    return [ends[starts[at] : starts[at + 1]] for at in range(services)]


def digraph(source: np.ndarray, target: np.ndarray, services: int) -> rx.PyDiGraph[None, None]:
    """Return pairs as a rustworkx graph of so many services."""
    graph: rx.PyDiGraph[None, None] = rx.PyDiGraph(multigraph=True)  # pairs are distinct: nothing to look up
    graph.add_nodes_from([None] * services)
    graph.add_edges_from_no_data(list(zip(source.tolist(), target.tolist(), strict=True)))
    return graph


def hops_from(start: int, near: list[list[int]], never: frozenset[int] = frozenset()) -> dict[int, int]:
    """Return the fewest steps to each service that can be reached, itself 0; nearest first, then as in `near`."""
    hops = {start: 0}
    front = [start]
    while front:
        found = []
        for at in front:
            for other in near[at]:
                if other not in hops and other not in never:
                    hops[other] = hops[at] + 1
                    found.append(other)
        front = found
    return hops
