"""Single points of failure: services without which others cannot be reached any more.

Definition: an entry is a service that no other service calls, or a member of a group that call each other in circles
and that nobody outside calls. Service x is a single point of failure for service v when entries other than x reach v,
and every path from them to v passes x. So losing x alone cuts v off from all entries.

Invariant: x has a caller and does not cut off itself. A second path around x, from any entry, means that x is not
listed for v. In graph terms: x has a caller and dominates v in the flow graph from one root to all entries. Dominators
and groups are rustworkx's.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain

import numpy as np
import rustworkx as rx

from chronotope.server.questions.pairs import Pairs


@dataclass(frozen=True, slots=True)
class Cut:
    """A single point of failure: how many services it cuts off, and the first of them by code."""

    service: int
    cuts_off: int
    services: list[int]


def single_points_of_failure(pairs: Pairs, *, named: int) -> list[Cut]:
    """Return the single points of failure, that which cuts off most first, then by code.

    Args:
        named: how many of the services that each cuts off are listed.
    """
    called = np.zeros(pairs.services, np.bool_)
    called[pairs.target] = True
    sizes, first = _dominated(pairs, named)
    found = [service for service, size in enumerate(sizes) if size > 0 and called[service]]
    found.sort(key=lambda service: (-sizes[service], service))
    return [Cut(service, sizes[service], first[service]) for service in found]


def entries(pairs: Pairs) -> list[int]:
    """Return the entries, rising: the members of every group that nobody outside calls."""
    group_of = np.zeros(pairs.services, np.int64)
    groups = rx.strongly_connected_components(pairs.graph())
    for number, group in enumerate(groups):
        group_of[group] = number
    entered = np.zeros(len(groups), np.bool_)
    outside = group_of[pairs.source] != group_of[pairs.target]
    entered[group_of[pairs.target[outside]]] = True
    return [int(service) for service in np.flatnonzero(~entered[group_of])] if pairs.services else []


def _dominated(pairs: Pairs, named: int) -> tuple[list[int], list[list[int]]]:
    """Return for each service how many others it dominates, and the first of them."""
    root = pairs.services
    graph: rx.PyDiGraph[None, None] = rx.PyDiGraph(multigraph=True)
    graph.add_nodes_from([None] * (root + 1))
    graph.add_edges_from_no_data(list(zip(pairs.source.tolist(), pairs.target.tolist(), strict=True)))
    graph.add_edges_from_no_data([(root, entry) for entry in entries(pairs)])
    below: list[list[int]] = [[] for _ in range(root + 1)]
    for service, dominator in rx.immediate_dominators(graph, root).items():
        if service != root:
            below[dominator].append(service)
    order = [root]
    for one in order:  # grows while it is walked: every service after its dominator
        order.extend(below[one])
    sizes = [0] * (root + 1)
    first: list[list[int]] = [[] for _ in range(root + 1)]
    for one in reversed(order):
        sizes[one] = sum(1 + sizes[other] for other in below[one])
        first[one] = sorted(chain(below[one], *(first[other] for other in below[one])))[:named]
    return sizes[:root], first[:root]
