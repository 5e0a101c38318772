"""Positions for new nodes of a drawing, beside their callers and callees. Pure.

Invariant: no node that has a position moves, and a new one covers no other, nor its name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from chronotope.server.layout.drawing import COLUMN, ROW

Place = tuple[float, float]
_NEAR = (COLUMN * 0.95, ROW * 0.95)


def insert(known: Mapping[str, Place], new: Sequence[str], edges: Sequence[tuple[str, str]]) -> dict[str, Place]:
    """Return places for new nodes.

    Args:
        known: places that stay as they are.
        new: nodes without a place; those beside known ones are placed first, else the order is kept.
        edges: caller and callee of each edge; ends that are not in the drawing are ignored.
    """
    taken = _Taken(known.values())
    placed = dict(known)
    callers: dict[str, list[str]] = {}
    callees: dict[str, list[str]] = {}
    for source, target in edges:
        callees.setdefault(source, []).append(target)
        callers.setdefault(target, []).append(source)
    found: dict[str, Place] = {}
    waiting = [node for node in dict.fromkeys(new) if node not in known]
    while waiting:
        beside = [node for node in waiting if any(n in placed for n in _around(node, callers, callees))]
        for node in beside or waiting[:1]:
            wanted = _wanted(placed, callers.get(node, ()), callees.get(node, ())) or taken.below()
            found[node] = placed[node] = taken.take(wanted)
        waiting = [node for node in waiting if node not in found]
    return found


def _around(node: str, callers: Mapping[str, list[str]], callees: Mapping[str, list[str]]) -> Iterator[str]:
    yield from callers.get(node, ())
    yield from callees.get(node, ())


def _wanted(placed: Mapping[str, Place], callers: Sequence[str], callees: Sequence[str]) -> Place | None:
    """Right of its callers, left of its callees, at their height; None when none of them has a position."""
    left = [placed[node] for node in callers if node in placed]
    right = [placed[node] for node in callees if node in placed]
    if not left and not right:
        return None
    y = sum(place[1] for place in (*left, *right)) / (len(left) + len(right))
    after = max((place[0] for place in left), default=0.0) + COLUMN
    before = min((place[0] for place in right), default=0.0) - COLUMN
    if not right:
        return after, y
    return (before if not left else min(after, max(before, after - COLUMN)), y)


class _Taken:
    """Places that are taken, by the cell they are in."""

    def __init__(self, places: Iterable[Place]) -> None:
        self._cells: dict[tuple[int, int], list[Place]] = {}
        self._lowest, self._leftmost = -ROW, 0.0
        for place in places:
            self._add(place)

    def below(self) -> Place:
        """A place under the whole drawing."""
        return self._leftmost, self._lowest + 2 * ROW

    def take(self, wanted: Place) -> Place:
        """Take the free position nearest to one; a column away counts as three rows, since left and right mean caller
        and callee.
        """
        far = 0
        while True:
            for aside in range(far // 3 + 1):
                off = far - aside * 3
                for dx, dy in dict.fromkeys(((aside, off), (aside, -off), (-aside, off), (-aside, -off))):
                    place = wanted[0] + dx * COLUMN, wanted[1] + dy * ROW / 2
                    if self._is_free(place):
                        self._add(place)
                        return place
            far += 1

    def _is_free(self, place: Place) -> bool:
        column, row = _cell(place)
        return not any(
            abs(place[0] - x) < _NEAR[0] and abs(place[1] - y) < _NEAR[1]
            for at in range(column - 1, column + 2)
            for down in range(row - 1, row + 2)
            for x, y in self._cells.get((at, down), ())
        )

    def _add(self, place: Place) -> None:
        self._cells.setdefault(_cell(place), []).append(place)
        self._lowest, self._leftmost = max(self._lowest, place[1]), min(self._leftmost, place[0])


def _cell(place: Place) -> tuple[int, int]:
    return int(place[0] // COLUMN), int(place[1] // ROW)
