"""The positions of all services ever seen: drawn once, extended as services come, remembered in the store.

Invariant: a position stays, whatever time is looked at. One exception: when more services are new than known (a first
import, say), everything is drawn again.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
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

logger = logging.getLogger(__name__)

Pairs = tuple[list[str], np.ndarray, np.ndarray]
# Two servers may have placed the same node at the same moment: the first one counts, for both.
_READ = """
SELECT generation, node, argMin(p.x, (p.placed_at, p.x, p.y)) AS x, argMin(p.y, (p.placed_at, p.x, p.y)) AS y
FROM node_places AS p
WHERE grouping = {grouping:String}
  AND generation = (SELECT max(generation) FROM node_places WHERE grouping = {grouping:String})
GROUP BY generation, node
ORDER BY node
"""


@dataclass(frozen=True, slots=True)
class Drawing:
    """The places of one grouping; generation 0 has none."""

    generation: int
    places: Mapping[str, Place]


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
            drawing = self._merged(_read_drawing(self._store, grouping), drawing)
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
            _write_places(self._store, grouping, generation, places, now_ms)
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


def _read_drawing(store: Store, grouping: str) -> Drawing:
    """Return the newest drawing of a grouping."""
    table = store.query(_READ, {"grouping": grouping})
    nodes, xs, ys = (table.column(name).to_pylist() for name in ("node", "x", "y"))
    generation = int(table.column("generation")[0].as_py()) if nodes else 0
    return Drawing(generation, dict(zip(nodes, zip(xs, ys, strict=True), strict=True)))


def _write_places(store: Store, grouping: str, generation: int, places: Mapping[str, Place], now_ms: int) -> None:
    """Remember new places."""
    count = len(places)
    columns = {
        "grouping": pa.array([grouping] * count, pa.string()),
        "node": pa.array(list(places), pa.string()),
        "generation": pa.array([generation] * count, pa.uint32()),
        "x": pa.array([x for x, _ in places.values()], pa.float32()),
        "y": pa.array([y for _, y in places.values()], pa.float32()),
        "placed_at": pa.array([now_ms] * count, pa.timestamp("ms", tz="UTC")),
    }
    store.insert("node_places", pa.table(columns))
