"""Solve x = P x + b, where P are parts of calls (at least 0, a row's sum at most 1) and every unknown leads to some b.

Invariant: a solution is off by at most TOLERANCE in every equation, or it is marked as not settled; then it is a lower
bound.

Groups that call each other in circles (rustworkx's strongly connected components, callees first) are solved one by one.
In a group of more than DENSE, unknowns with few neighbours are eliminated first, as in Grassmann, Taksar and Heyman
(1985): no step subtracts, so circles that are hardly ever left keep their digits. What remains is solved directly up to
CORE unknowns, else by BiCGSTAB (van der Vorst 1992). A group of more than CORE goes to BiCGSTAB first: where a few
rounds find a solution that is provably right, no elimination is needed. So does a large group where most have many
neighbours, as elimination would only fill it up.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from heapq import heapify, heappop, heappush

import numpy as np
import rustworkx as rx

from chronotope.server.questions.pairs import digraph, neighbours

TOLERANCE = 1e-9
DENSE = 50  # more by elimination: 356 of 1,238 real services took 3 ms, directly 90 on two busy cores
CORE = 1_500
CROWDED = 48  # callers × callees of one unknown; of most: elimination would fill the graph up
WORK = 500_000  # pairs that elimination may touch, about half a second
ROUNDS = 300
QUICK = 150  # rounds, tried first on a large group: well mixed ones need 10 to 40


@dataclass(frozen=True, slots=True)
class Equations:
    """x[source] = sum of fraction · x[target] + constant[source], over M unknowns; no source is its target."""

    source: np.ndarray
    target: np.ndarray
    fraction: np.ndarray
    constant: np.ndarray

    def step(self, values: np.ndarray) -> np.ndarray:
        """Return the part of each unknown that depends on the others."""
        return np.bincount(self.source, self.fraction * values[self.target], minlength=len(self.constant))


def solve(equations: Equations) -> tuple[np.ndarray, bool]:
    """Return the unknowns, float64[M], and whether all are settled."""
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
        found, sure = _solve_group(_within(equations, np.array(group), number == at, known))
        settled &= sure
        for one, value in zip(group, found.tolist(), strict=True):
            solved[one] = value
    return np.array(solved), settled


def _within(equations: Equations, group: np.ndarray, member: np.ndarray, known: list[float]) -> Equations:
    place = np.full(len(member), -1, np.int64)
    place[group] = np.arange(len(group))
    rows = member[equations.source] & member[equations.target]
    constant = np.array([known[one] for one in group.tolist()])
    return Equations(place[equations.source[rows]], place[equations.target[rows]], equations.fraction[rows], constant)


def _solve_group(own: Equations) -> tuple[np.ndarray, bool]:
    if len(own.constant) <= DENSE:
        return _dense(own), True
    if len(own.constant) > CORE:
        if (quick := _quickly(own)) is not None:
            return quick, True
        if _crowded(own):
            return _iterated(own)
    elimination = _Elimination(own)
    left = elimination.run()
    core = elimination.core(left)
    found, sure = (_dense(core), True) if len(left) <= CORE else _iterated(core)
    return elimination.back(left, found), sure


def _quickly(own: Equations) -> np.ndarray | None:
    """Return the solution when a few rounds find it, and prove it.

    The inverse of 1 − P has no negative entry, so no unknown is off by more than the largest error of an equation times
    the most steps that a walk takes on average before it leaves the group: the solution of the same equations for 1.
    """
    found = bicgstab(own, QUICK)
    if found is None:
        return None
    steps = bicgstab(replace(own, constant=np.ones(len(own.constant))), QUICK)
    if steps is None:
        return None
    off = float(np.abs(found - own.step(found) - own.constant).max())
    return found if 2 * off * float(np.abs(steps).max()) <= TOLERANCE else None


def _iterated(own: Equations) -> tuple[np.ndarray, bool]:
    settled = bicgstab(own)
    return (_rounds(own), False) if settled is None else (settled, True)


def _crowded(own: Equations) -> bool:
    size = len(own.constant)
    users, parts = np.bincount(own.target, minlength=size), np.bincount(own.source, minlength=size)
    return bool(np.median(users * parts) > CROWDED)


def _dense(own: Equations) -> np.ndarray:
    matrix = np.eye(len(own.constant))
    np.subtract.at(matrix, (own.source, own.target), own.fraction)
    return np.linalg.solve(matrix, own.constant)


class _Elimination:
    """Unknowns are replaced by what they are equal to, those with few neighbours first.

    A row is weights, not parts: of its unknowns, of the constant, and of what is lost; divided by their sum they are
    parts. So a row that comes to hold itself drops that weight, and nothing is subtracted.
    """

    def __init__(self, own: Equations) -> None:
        size = len(own.constant)
        self.parts: list[dict[int, float]] = [{} for _ in range(size)]
        self.users: list[set[int]] = [set() for _ in range(size)]
        for source, target, part in zip(own.source.tolist(), own.target.tolist(), own.fraction.tolist(), strict=True):
            self.parts[source][target] = part
            self.users[target].add(source)
        self.constant = own.constant.tolist()
        sums = np.bincount(own.source, own.fraction, minlength=size) + own.constant
        self.lost = np.maximum(1.0 - sums, 0.0).tolist()  # calls that never lead to the service
        self.done: list[int] = []
        self.work = WORK

    def run(self) -> list[int]:
        """Eliminate while it is cheap; return the unknowns that are left."""
        heap = [(len(self.users[one]) * len(self.parts[one]), one) for one in range(len(self.parts))]
        heapify(heap)
        gone = [False] * len(self.parts)
        while heap:
            cost, one = heappop(heap)
            if gone[one] or cost != len(self.users[one]) * len(self.parts[one]):
                continue  # its neighbours changed: it is in the heap again
            self.work -= 1 + cost
            if self.work < 0:
                break
            gone[one] = True
            self.done.append(one)
            for other in self._replace(one):
                heappush(heap, (len(self.users[other]) * len(self.parts[other]), other))
        return [one for one, is_gone in enumerate(gone) if not is_gone]

    def _replace(self, one: int) -> set[int]:
        """Put what an unknown is equal to in its place; return whose neighbours changed."""
        parts, users, total = self.parts[one], self.users[one], self._total(one)
        for user in users:
            row = self.parts[user]
            weight = row.pop(one) / total
            for other, part in parts.items():
                if other != user:
                    row[other] = row.get(other, 0.0) + weight * part
                    self.users[other].add(user)
            self.constant[user] += weight * self.constant[one]
            self.lost[user] += weight * self.lost[one]
        for other in parts:
            self.users[other].discard(one)
        return users | parts.keys()

    def _total(self, one: int) -> float:
        """Return the sum of a row's weights."""
        return float(sum(self.parts[one].values()) + self.constant[one] + self.lost[one])

    def core(self, left: list[int]) -> Equations:
        """Return the equations of the unknowns that are left."""
        place = {one: at for at, one in enumerate(left)}
        totals = {one: self._total(one) for one in left}
        rows = [
            (place[one], place[other], part / totals[one]) for one in left for other, part in self.parts[one].items()
        ]
        source, target, fraction = np.array(rows, np.float64).reshape(-1, 3).T
        constant = np.array([self.constant[one] / totals[one] for one in left])
        return Equations(source.astype(np.int64), target.astype(np.int64), fraction, constant)

    def back(self, left: list[int], found: np.ndarray) -> np.ndarray:
        """Return all unknowns, from those that were left."""
        values = [0.0] * len(self.parts)
        for one, value in zip(left, found.tolist(), strict=True):
            values[one] = value
        for one in reversed(self.done):
            known = sum(part * values[other] for other, part in self.parts[one].items())
            values[one] = (self.constant[one] + known) / self._total(one)
        return np.array(values)


def bicgstab(own: Equations, rounds: int = ROUNDS) -> np.ndarray | None:
    """Return the solution, or None when it does not settle."""
    found = own.constant.copy()
    rest = own.constant - (found - own.step(found))
    shadow, direction = rest.copy(), rest.copy()
    rho = float(shadow @ rest)
    for _ in range(rounds):
        if np.abs(rest).max() <= TOLERANCE / 10_000:
            break
        pushed = direction - own.step(direction)
        along = float(shadow @ pushed)
        if rho == 0.0 or along == 0.0:
            return None
        alpha = rho / along
        half = rest - alpha * pushed
        turned = half - own.step(half)
        norm = float(turned @ turned)
        omega = float(turned @ half) / norm if norm else 0.0
        found = found + alpha * direction + omega * half
        rest = half - omega * turned
        before, rho = rho, float(shadow @ rest)
        if omega == 0.0:
            break
        direction = rest + (rho / before) * (alpha / omega) * (direction - omega * pushed)
    off = np.abs(found - own.step(found) - own.constant).max()
    return found if bool(off <= TOLERANCE) else None


def _rounds(own: Equations) -> np.ndarray:
    """Return lower bounds: from 0, each round adds what depends on the service over one call more."""
    found = np.zeros(len(own.constant))
    for _ in range(ROUNDS):
        found = own.constant + own.step(found)
    return found
