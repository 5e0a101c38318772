"""Blast radius: who depends on a service, directly or through others, at what distance, with what share of its calls.

Invariant: a caller's share is the sum over its callees of (part of its calls that goes there × the callee's share). The
service itself has share 1; a service that never leads to it has 0. In other words, it is the probability that a walk
along calls, each step in proportion to them, comes to the service. It is the least solution; a service's calls to
itself do not change it. `max_hops` limits who is listed, never the shares.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from chronotope.server.questions.equations import Equations, solve
from chronotope.server.questions.pairs import Pairs, hops_from, neighbours


@dataclass(frozen=True, slots=True)
class BlastRadius:
    """K callers of a service, nearest first, then those that depend most on it, then by code.

    Attributes:
        caller: code, int64[K].
        hops: fewest calls from the caller to the service, int64[K].
        share: of the caller's outbound calls that depends on the service, float64[K]; NaN where it has no calls.
        calls: the caller's outbound calls, without those to itself, int64[K].
        beyond: how many callers are further away than asked for.
        settled: whether shares are exact within TOLERANCE; else some are lower bounds.
    """

    caller: np.ndarray
    hops: np.ndarray
    share: np.ndarray
    calls: np.ndarray
    beyond: int
    settled: bool


_NONE = np.empty(0, np.int64)
NOBODY = BlastRadius(_NONE, _NONE, _NONE.astype(np.float64), _NONE, 0, True)


def blast_radius(pairs: Pairs, service: int, *, max_hops: int) -> BlastRadius:
    """Return all transitive callers of a service that are at most `max_hops` calls away; the service itself is none."""
    hops = hops_from(service, pairs.callers())
    caller = np.array(list(hops), np.int64)[1:]  # the first is the service
    distance = np.array(list(hops.values()), np.int64)[1:]
    shares, settled = _shares(pairs, service, hops)
    totals = np.zeros(pairs.services, np.int64)
    np.add.at(totals, pairs.source, pairs.calls)
    near = distance <= max_hops
    caller, distance = caller[near], distance[near]
    share = np.where(totals[caller] > 0, shares[caller], np.nan)
    order = np.lexsort((caller, -np.nan_to_num(share), distance))
    beyond = int(len(near) - near.sum())
    return BlastRadius(caller[order], distance[order], share[order], totals[caller][order], beyond, settled)


def _shares(pairs: Pairs, service: int, hops: dict[int, int]) -> tuple[np.ndarray, bool]:
    """Return the share of every service, float64[services], and whether all settled."""
    shares = np.zeros(pairs.services)
    shares[service] = 1.0
    called = pairs.calls > 0
    source, target, calls = pairs.source[called], pairs.target[called], pairs.calls[called].astype(np.float64)
    totals = np.bincount(source, calls, minlength=pairs.services)
    reached = hops if called.all() else hops_from(service, neighbours(target, source, pairs.services))
    unknown = np.array(sorted(reached.keys() - {service}), np.int64)
    place = np.full(pairs.services, -1, np.int64)
    place[unknown] = np.arange(len(unknown))
    own = place[source] >= 0
    source, target, fraction = source[own], target[own], calls[own] / totals[source[own]]
    direct, inner = target == service, place[target] >= 0
    constant = np.zeros(len(unknown))
    constant[place[source[direct]]] = fraction[direct]
    equations = Equations(place[source[inner]], place[target[inner]], fraction[inner], constant)
    solved, settled = solve(equations)
    shares[unknown] = np.clip(solved, 0.0, 1.0)
    return shares, settled
