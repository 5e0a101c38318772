"""Paths by which calls of one service can come to another.

Invariant: paths are simple (no service twice), shortest first, and those of one length in the order of codes.
`truncated` tells that `limit` or WORK left some out. The same graph gives the same answer on every machine: the bound
is on steps, not on time.

The search is Yen's (1971), done lazily: it extends the most promising beginning of a path. The promise is its length
plus the fewest calls from its end to the target. Where the shortest way on would cross the beginning, the promise is
computed again without those services, so a beginning that leads nowhere is never followed. rustworkx's
`all_simple_paths` gives no order and has no bound.
"""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heappop, heappush

from chronotope.server.questions.pairs import Pairs, hops_from

WORK = 3_000_000  # services and pairs looked at, about a second


@dataclass(frozen=True, slots=True)
class Paths:
    """Paths as lists of codes from source to target."""

    paths: list[tuple[int, ...]]
    truncated: bool


def paths_between(pairs: Pairs, source: int, target: int, *, max_hops: int, limit: int) -> Paths:
    """Return the first `limit` simple paths of at most `max_hops` calls; none from a service to itself."""
    if source == target:
        return Paths([], False)
    search = _Search(pairs, source, target)
    found: list[tuple[int, ...]] = []
    heap: list[_Beginning] = []
    if search.distance.get(source, max_hops + 1) <= max_hops:
        heap.append((search.distance[source], (source,), True))
    while heap and search.work > 0 and len(found) < limit:
        _, path, clear = heappop(heap)
        if path[-1] == target:
            found.append(path)
            continue
        for longer in search.extended(path, clear):
            if longer[0] <= max_hops:
                heappush(heap, longer)
    truncated = bool(heap) or search.work <= 0
    return Paths(found or [search.shortest(source)] if truncated else found, truncated)


# The length it gets at least, what there is of it, and whether the shortest way on from its end crosses none of that.
_Beginning = tuple[int, tuple[int, ...], bool]


class _Search:
    """Distances to the target, and how much work is left."""

    def __init__(self, pairs: Pairs, source: int, target: int) -> None:
        self.target = target
        every = pairs.callers()
        self.distance = hops_from(target, every, frozenset({source}))  # no path passes its source again
        callees = pairs.callees()
        nearest = min((self.distance[one] for one in callees[source] if one in self.distance), default=None)
        # Only what leads to the target matters; all others are dead ends.
        known = self.distance
        self.callees = {one: [other for other in callees[one] if other in known] for one in [*known, source]}
        self.callers = {one: [other for other in every[one] if other in known] for one in known}
        if nearest is not None:
            self.distance[source] = 1 + nearest
        self.next = {
            one: next(other for other in self.callees[one] if self.distance[other] == self.distance[one] - 1)
            for one in self.distance
            if one != target
        }
        self.work = WORK

    def shortest(self, source: int) -> tuple[int, ...]:
        """Return the first of the shortest paths."""
        path = [source]
        while path[-1] != self.target:
            path.append(self.next[path[-1]])
        return tuple(path)

    def extended(self, path: tuple[int, ...], clear: bool) -> list[_Beginning]:
        """Return the path with each service that can come next and leads to the target."""
        passed, end = set(path), path[-1]
        nexts = [one for one in self.callees[end] if one not in passed]
        self.work -= 1 + len(path) // 64 + len(nexts) * (1 + len(path) // 256)
        straight = self.next[end] if clear else -1
        crossing = {one for one in nexts if one != straight and self._crosses(one, passed)}
        around = self._around(passed, crossing) if crossing else {}
        extended = []
        for one in nexts:
            rest = around.get(one) if one in crossing else self.distance[one]
            if rest is not None:
                extended.append((len(path) + rest, (*path, one), one not in crossing))
        return extended

    def _crosses(self, one: int, passed: set[int]) -> bool:
        """Return whether the shortest way on from a service comes to one that was passed."""
        while one != self.target:
            self.work -= 1
            one = self.next[one]
            if one in passed:
                return True
        return False

    def _around(self, passed: set[int], wanted: set[int]) -> dict[int, int]:
        """Return the fewest calls from some services to the target without those passed, where there is a way."""
        found: dict[int, int] = {}
        seen, front, hops, left = {self.target}, [self.target], 0, len(wanted)
        while front and left and self.work > 0:
            hops += 1
            further = []
            for at in front:
                self.work -= 1 + len(self.callers[at])
                for one in self.callers[at]:
                    if one not in seen and one not in passed:
                        seen.add(one)
                        further.append(one)
                        if one in wanted:
                            found[one], left = hops, left - 1
            front = further
        return found
