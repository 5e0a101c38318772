"""The positions of all services ever seen: drawn once, extended as services come, remembered in the store.

Invariant: a position stays, whatever time is looked at. One exception: when more services are new than known (a first
import, say), everything is drawn again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence

import numpy as np
from msgspec import Struct

from chronotope.schema.errors import ChronotopeError
from chronotope.schema.storage.store import Store
from chronotope.server.evidence.columns import EdgeColumns, coded
from chronotope.server.evidence.directory import read_attributes, read_kinds
from chronotope.server.evidence.lifetimes import read_lifetimes
from chronotope.server.graph.answer import Graph
from chronotope.server.graph.group import make_groups
from chronotope.server.layout.drawing import draw
from chronotope.server.layout.insertion import Place, insert
from chronotope.server.layout.remembered import Drawing, read_drawing, write_places

logger = logging.getLogger(__name__)

Pairs = tuple[list[str], np.ndarray, np.ndarray]


class Positions(Struct):
    """Columns, one value a node. `generation` counts how often everything was drawn anew."""

    generation: int
    nodes: list[str]
    x: list[float]
    y: list[float]


def place_nodes(graph: Graph, positions: Positions) -> None:
    """Write into each node where it is drawn; into none, if one of them has no place."""
    at = {name: place for name, *place in zip(positions.nodes, positions.x, positions.y, strict=True)}
    if all(node.id in at for node in graph.nodes):
        for node in graph.nodes:
            node.x, node.y = at[node.id]


class Places:
    """Gives every service its position. One object for a store; safe to use from several threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._drawings: dict[str, Drawing] = {}
        self._lock = threading.Lock()

    def positions(self, grouping: str, now_ms: int) -> Positions:
        """Return where all nodes are; what is new is placed first.

        Args:
            grouping: the attribute that made the nodes, as `group_by` of the graph; empty: services.
            now_ms: Unix milliseconds.
        """
        with self._lock:
            drawing = self._completed(grouping, now_ms)
        x, y = zip(*drawing.places.values(), strict=True) if drawing.places else ((), ())
        return Positions(drawing.generation, list(drawing.places), _rounded(x), _rounded(y))

    def _completed(self, grouping: str, now_ms: int) -> Drawing:
        names, source, target = self._pairs(grouping, now_ms)
        drawing = self._drawings.get(grouping)
        if drawing is None or any(name not in drawing.places for name in names):
            drawing = self._merged(read_drawing(self._store, grouping), drawing)
            new = [name for name in names if name not in drawing.places]
            if new:
                drawing = self._placed(drawing, grouping, (names, source, target), new, now_ms)
            self._drawings[grouping] = drawing
        return drawing

    def _merged(self, stored: Drawing, known: Drawing | None) -> Drawing:
        """The stored drawing counts; what could not be stored is remembered here at least."""
        if known is None or known.generation < stored.generation:
            return stored
        return Drawing(known.generation, {**known.places, **stored.places})

    def _placed(self, drawing: Drawing, grouping: str, pairs: Pairs, new: Sequence[str], now_ms: int) -> Drawing:
        names, source, target = pairs
        if len(new) > len(drawing.places):
            generation = drawing.generation + 1
            drawn = draw(len(names), source, target).tolist()
            places: Mapping[str, Place] = {name: (x, y) for name, (x, y) in zip(names, drawn, strict=True)}
            whole = places
        else:
            generation = drawing.generation
            edges = [(names[a], names[b]) for a, b in zip(source.tolist(), target.tolist(), strict=True)]
            places = insert(drawing.places, new, edges)
            whole = {**drawing.places, **places}
        try:
            write_places(self._store, grouping, generation, places, now_ms)
        except ChronotopeError as error:  # such as a user that may only read: places last as long as the process
            logger.warning("places of nodes cannot be stored", extra={"reason": str(error)})
        return Drawing(generation, whole)

    def _pairs(self, grouping: str, now_ms: int) -> Pairs:
        """Return all nodes ever seen, sorted, and who called whom: int64[E] callers and callees."""
        lifetimes = read_lifetimes(self._store)
        (source, callers), (target, callees) = coded(lifetimes, "source"), coded(lifetimes, "target")
        names = sorted({*callers, *callees})
        place = {name: at for at, name in enumerate(names)}
        of_caller = np.array([place[name] for name in callers], np.int64)
        of_callee = np.array([place[name] for name in callees], np.int64)
        source, target = of_caller[source], of_callee[target]
        if not grouping:
            return names, source, target
        none = np.empty(0, np.int64)
        columns = EdgeColumns(names, [], none, none, none, {})
        groups = make_groups(columns, grouping, read_kinds(self._store), read_attributes(self._store, now_ms))
        return groups.names, groups.of_name[source], groups.of_name[target]


def _rounded(values: Sequence[float]) -> list[float]:
    return np.round(np.array(values, float), 1).tolist() if values else []
