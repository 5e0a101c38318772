"""How sure resolved edges are: what the resolution of intermediaries noted, beside the evidence of a window.

Invariant: an edge that was seen directly, or that traces or metrics confirm, is beyond doubt: confidence 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from chronotope.schema.store import Store
from chronotope.server.graph.columns import EdgeColumns, as_int, coded, find_edges
from chronotope.server.graph.joining import join_protocols

EPOCH_S = 600  # resolutions are noted by ten minutes
_EDGES = """
SELECT source, target, protocol, 'network' AS layer, max(confidence) AS sure, min(inferred) AS guessed
FROM resolutions FINAL
WHERE epoch >= toDateTime({start:UInt32}, 'UTC') AND epoch < toDateTime({end:UInt32}, 'UTC') AND confidence > 0
GROUP BY source, target, protocol
"""


def read_doubts(store: Store, start_s: int, end_s: int) -> pa.Table:
    """Return the edges resolved within a window (Unix seconds): `source`, `target`, `protocol`, `sure`, `guessed`."""
    return store.query(_EDGES, {"start": max(start_s // EPOCH_S * EPOCH_S, 0), "end": min(end_s, 2**32 - 1)})


def doubtful(columns: EdgeColumns) -> bool:
    """Whether some edge may have been resolved: it passes an intermediary in the network."""
    network = columns.layers.get("network")
    return network is not None and any(network.alive[edge] for edge in columns.via)


def add_doubts(
    columns: EdgeColumns, doubts: pa.Table, lifetimes: pa.Table, layers: Sequence[str], direct: np.ndarray
) -> None:
    """Fill in the confidence of edges that were only inferred.

    Args:
        columns: a window's edges.
        doubts: of that window.
        lifetimes: of all edges; they say which protocol a flow belongs to.
        layers: those asked, none: all.
        direct: edges that the network saw without an intermediary too.
    """
    network = columns.layers.get("network")
    if network is None or not doubts.num_rows:
        return
    edge = find_edges(columns, join_protocols(doubts, lifetimes, layers))
    doubted = network.alive.copy()
    for name, layer in columns.layers.items():
        if name != "network":
            doubted &= ~layer.alive
    doubted[direct] = False
    sure, guessed = doubts.column("sure").to_numpy(), as_int(doubts, "guessed")
    for row in np.flatnonzero((edge >= 0) & (guessed > 0)).tolist():
        if doubted[edge[row]]:
            columns.doubts[int(edge[row])] = round(float(sure[row]), 3)


def direct_edges(counts: pa.Table, edge: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Return the edges that the network saw without an intermediary, of the rows of one window.

    Args:
        counts: R rows of `counts_query`.
        edge: int64[R], the edge of each row; -1: none.
        own: bool[R], which rows are the window's.
    """
    layer, layers = coded(counts, "layer")
    via, routes = coded(counts, "via")
    straight = np.array([name == "network" for name in layers], np.bool_)[layer]
    straight &= np.array([not route for route in routes], np.bool_)[via]
    straight &= (as_int(counts, "bytes_sent") > 0) | (as_int(counts, "connections") > 0)
    return np.asarray(edge[straight & own & (edge >= 0)])
