"""Blast radius: who depends on a service, directly or through others, how far away, and with how much of its calls.

Invariant: the share of a caller is the sum over whom it calls of (part of its calls that goes there × share of that
callee); the asked service's own share is 1, that of a service which never leads to it is 0. In other words: the
probability that a walk which follows calls, each step in proportion to them, comes to the asked service. It is the
least solution; calls of a service to itself do not change it. `max_hops` limits who is listed, never what the shares
are.

Groups of services that call each other in circles (rustworkx's strongly connected components, callees first) are
solved as linear equations: up to DENSE services directly, larger ones by BiCGSTAB (van der Vorst 1992) until no
equation is off by more than TOLERANCE. Where that does not settle in ROUNDS rounds, plain fixed-point rounds from 0
give lower bounds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import rustworkx as rx

from chronotope.server.graph.questions.pairs import Pairs, digraph, hops_from, neighbours

TOLERANCE = 1e-9
DENSE = 300
ROUNDS = 300


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
    del hops[service]
    caller = np.array(list(hops), np.int64)
    distance = np.array(list(hops.values()), np.int64)
    shares, settled = _shares(pairs, service)
    totals = np.zeros(pairs.services, np.int64)
    np.add.at(totals, pairs.source, pairs.calls)
    near = distance <= max_hops
    caller, distance = caller[near], distance[near]
    share = np.where(totals[caller] > 0, shares[caller], np.nan)
    order = np.lexsort((caller, -np.nan_to_num(share), distance))
    beyond = int(len(near) - near.sum())
    return BlastRadius(caller[order], distance[order], share[order], totals[caller][order], beyond, settled)


@dataclass(frozen=True, slots=True)
class _Equations:
    """x = fraction · x[target] summed by source + constant, over M unknowns."""

    source: np.ndarray
    target: np.ndarray
    fraction: np.ndarray
    constant: np.ndarray


def _shares(pairs: Pairs, service: int) -> tuple[np.ndarray, bool]:
    """Return the share of every service, float64[services], and whether all settled."""
    shares = np.zeros(pairs.services)
    shares[service] = 1.0
    called = pairs.calls > 0
    source, target, calls = pairs.source[called], pairs.target[called], pairs.calls[called].astype(np.float64)
    totals = np.bincount(source, calls, minlength=pairs.services)
    reached = hops_from(service, neighbours(target, source, pairs.services))
    unknown = np.array(sorted(reached.keys() - {service}), np.int64)
    place = np.full(pairs.services, -1, np.int64)
    place[unknown] = np.arange(len(unknown))
    own = place[source] >= 0
    source, target, fraction = source[own], target[own], calls[own] / totals[source[own]]
    direct, inner = target == service, place[target] >= 0
    constant = np.zeros(len(unknown))
    constant[place[source[direct]]] = fraction[direct]
    equations = _Equations(place[source[inner]], place[target[inner]], fraction[inner], constant)
    solved, settled = _solve(equations)
    shares[unknown] = np.clip(solved, 0.0, 1.0)
    return shares, settled


def _solve(equations: _Equations) -> tuple[np.ndarray, bool]:
    """Solve group by group, callees first: what a group needs of others is known by then."""
    size, settled = len(equations.constant), True
    groups = rx.strongly_connected_components(digraph(equations.source, equations.target, size))
    callees = neighbours(equations.source, equations.target, size)
    order = np.lexsort((equations.target, equations.source))
    starts = np.searchsorted(equations.source[order], np.arange(size + 1)).tolist()
    fractions = equations.fraction[order].tolist()
    known = equations.constant.tolist()
    solved = [0.0] * size
    number = np.zeros(size, np.int64)
    for at, group in enumerate(groups):
        number[group] = at
    for at, group in enumerate(groups):
        for one in group:
            parts = fractions[starts[one] : starts[one + 1]]
            known[one] += sum(part * solved[other] for part, other in zip(parts, callees[one], strict=True))
        if len(group) == 1:
            solved[group[0]] = known[group[0]]
            continue
        found, sure = _solve_group(equations, np.array(group), number == at, known)
        settled &= sure
        for one, value in zip(group, found.tolist(), strict=True):
            solved[one] = value
    return np.array(solved), settled


def _solve_group(
    equations: _Equations, group: np.ndarray, member: np.ndarray, known: list[float]
) -> tuple[np.ndarray, bool]:
    place = np.full(len(member), -1, np.int64)
    place[group] = np.arange(len(group))
    within = member[equations.source] & member[equations.target]
    source, target = place[equations.source[within]], place[equations.target[within]]
    constant = np.array([known[one] for one in group.tolist()])
    own = _Equations(source, target, equations.fraction[within], constant)
    if len(group) <= DENSE:
        matrix = np.eye(len(group))
        np.subtract.at(matrix, (own.source, own.target), own.fraction)
        return np.linalg.solve(matrix, constant), True
    found = _bicgstab(own)
    return (_rounds(own), False) if found is None else (found, True)


def _step(own: _Equations, values: np.ndarray) -> np.ndarray:
    """Return the part of each unknown that depends on the others."""
    return np.bincount(own.source, own.fraction * values[own.target], minlength=len(own.constant))


def _bicgstab(own: _Equations) -> np.ndarray | None:
    """Return the solution, or None when it does not settle."""
    found = own.constant.copy()
    rest = own.constant - (found - _step(own, found))
    shadow, direction = rest.copy(), rest.copy()
    rho = float(shadow @ rest)
    for _ in range(ROUNDS):
        if np.abs(rest).max() <= TOLERANCE / 10_000:
            break
        pushed = direction - _step(own, direction)
        along = float(shadow @ pushed)
        if rho == 0.0 or along == 0.0:
            return None
        alpha = rho / along
        half = rest - alpha * pushed
        turned = half - _step(own, half)
        norm = float(turned @ turned)
        omega = float(turned @ half) / norm if norm else 0.0
        found = found + alpha * direction + omega * half
        rest = half - omega * turned
        before, rho = rho, float(shadow @ rest)
        if omega == 0.0:
            break
        direction = rest + (rho / before) * (alpha / omega) * (direction - omega * pushed)
    off = np.abs(found - _step(own, found) - own.constant).max()
    return found if bool(off <= TOLERANCE) else None


def _rounds(own: _Equations) -> np.ndarray:
    """Return lower bounds: from 0, each round adds what depends on the service over one call more."""
    found = np.zeros(len(own.constant))
    for _ in range(ROUNDS):
        found = own.constant + _step(own, found)
    return found
