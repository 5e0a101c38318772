"""Positions in the store: read, and written when there are new ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from chronotope.schema.storage.store import Store
from chronotope.server.layout.insertion import Place

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


def read_drawing(store: Store, grouping: str) -> Drawing:
    """Return the newest drawing of a grouping."""
    table = store.query(_READ, {"grouping": grouping})
    nodes, xs, ys = (table.column(name).to_pylist() for name in ("node", "x", "y"))
    generation = int(table.column("generation")[0].as_py()) if nodes else 0
    return Drawing(generation, dict(zip(nodes, zip(xs, ys, strict=True), strict=True)))


def write_places(store: Store, grouping: str, generation: int, places: Mapping[str, Place], now_ms: int) -> None:
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
