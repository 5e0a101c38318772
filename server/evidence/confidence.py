"""The confidence of edges that only the network has seen.

Two things may be uncertain. An edge behind an intermediary may be an estimate: the resolution stored its confidence, by
ten minutes, and the edge is `inferred`. An edge that was seen may have the wrong direction, where nobody saw who sent
SYN: its direction is guessed, but the edge is not inferred, since the two do exchange something.

Invariant: an edge that traces or metrics confirm has confidence 1. They confirm an estimate in the same window. A
direction is confirmed by any layer and any SYN of all history: who calls whom is part of an edge, so a connection from
before the agent started is as certain as those that follow it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from chronotope.schema.observations import BY_SYN, LAYERS
from chronotope.schema.storage.store import Store
from chronotope.server.evidence.columns import EdgeColumns, as_int, coded, find_edges, find_numbers
from chronotope.server.evidence.joining import join_protocols
from chronotope.server.evidence.lifetimes import NUMBER
from chronotope.server.evidence.numbering import Known, Numbers, renumbered

EPOCH_S = 600  # resolutions are noted by ten minutes
# How often a direction is right that is known by the order alone, by ports, by SYN. Measured with SYN hidden, over
# three real captures (3,664 connections of a system of proxies, services and databases; a host of containers; a
# cluster's flow logs): where only one of the two ports looks like a service's, the guess was right for 37 of 37
# listening sockets, which makes a probability of 38/39 (Laplace's rule of succession). What looks alike is settled by
# the lower port: of 4,000 connections to ports that Linux gave, it served in 53 %.
CONFIDENCE = np.array([0.5, 0.97, 1.0])

_ESTIMATES = """
SELECT source, target, protocol, 'network' AS layer, max(confidence) AS sure, min(inferred) AS guessed
FROM resolutions FINAL
WHERE epoch >= toDateTime({start:UInt32}, 'UTC') AND epoch < toDateTime({end:UInt32}, 'UTC') AND confidence > 0
GROUP BY source, target, protocol
"""
# One byte an edge is read first: where nothing is guessed, as in most stores, that is all.
_GUESSED = f"SELECT count() FROM edge_directions WHERE direction < {BY_SYN}"
# As stored, a row an edge and part: of 100,000 edges 11 ms, grouped in the engine 33.
_EVERY = f"SELECT {NUMBER}, direction FROM edge_directions"
_ONE = """
SELECT max(direction) FROM edge_directions
WHERE source = {source:String} AND target = {target:String} AND protocol = {protocol:String} HAVING count() > 0
"""


def read_estimates(store: Store, start_s: int, end_s: int) -> pa.Table:
    """Return the edges resolved within a window (Unix seconds): `source`, `target`, `protocol`, `sure`, `guessed`."""
    return store.query(_ESTIMATES, {"start": max(start_s // EPOCH_S * EPOCH_S, 0), "end": min(end_s, 2**32 - 1)})


def read_guesses(store: Store) -> pa.Table:
    """Return the edges whose direction no SYN ever showed: `edge`, their number, and `best`, see directions.py."""
    if not store.rows(_GUESSED)[0][0]:
        return pa.table({"edge": pa.array([], pa.uint64()), "best": pa.array([], pa.uint8())})
    every = store.query(_EVERY)
    edge, direction = every.column("edge").combine_chunks(), as_int(every, "direction")
    certain = edge.filter(pa.array(direction >= BY_SYN))
    rows = np.flatnonzero((direction < BY_SYN) & (find_numbers(edge, certain) < 0))
    rows = rows[np.argsort(-direction[rows], kind="stable")]
    rows = rows[np.unique(edge.to_numpy()[rows], return_index=True)[1]]
    return pa.table({"edge": edge.take(pa.array(rows)), "best": direction[rows].astype(np.uint8)})


def read_guess(store: Store, ends: Mapping[str, str]) -> float:
    """Return the confidence in the direction of an edge, given by `source`, `target`, `protocol`, by flows alone."""
    found = store.rows(_ONE, ends)
    return float(CONFIDENCE[found[0][0]]) if found else 1.0


def seen_alone(columns: EdgeColumns) -> np.ndarray:
    """Return which edges only the network has seen, bool[E]."""
    if "network" not in columns.layers:
        return np.zeros(len(columns), np.bool_)
    alone = columns.layers["network"].alive.copy()
    for name, layer in columns.layers.items():
        if name != "network":
            alone &= ~layer.alive
    return alone


def may_be_estimated(columns: EdgeColumns) -> bool:
    """Return whether some edge may be an estimate: the network saw it pass an intermediary."""
    network = columns.layers.get("network")
    return network is not None and any(network.alive[edge] for edge in columns.via)


def add_estimates(
    columns: EdgeColumns, estimates: pa.Table, lifetimes: pa.Table, layers: Sequence[str], direct: np.ndarray
) -> None:
    """Lower the confidence of edges that were only inferred.

    Args:
        columns: a window's edges.
        estimates: of that window.
        lifetimes: of all edges; they say which protocol a flow belongs to.
        layers: those asked, none: all.
        direct: edges that the network saw without an intermediary too.
    """
    if not estimates.num_rows:
        return
    edge = find_edges(columns, join_protocols(estimates, lifetimes, layers))
    only_network = seen_alone(columns)
    only_network[direct] = False
    rows = np.flatnonzero((edge >= 0) & (as_int(estimates, "guessed") > 0))
    rows = rows[only_network[edge[rows]]]
    columns.lower_confidence(
        edge[rows], np.round(estimates.column("sure").to_numpy()[rows].astype(float), 3), inferred=True
    )


def add_guesses(
    columns: EdgeColumns, guesses: pa.Table, known: Known, numbers: Numbers, layers: Sequence[str], direct: np.ndarray
) -> None:
    """Lower the confidence of edges whose direction was only ever guessed.

    Args:
        columns: a window's edges.
        guesses: of `read_guesses`.
        known: all edges ever seen; whatever another layer than the network has seen is no guess.
        numbers: of the window's edges.
        layers: those asked, none: all.
        direct: edges that the network saw without an intermediary; what was resolved is as sure as its resolution.
    """
    layer, names = coded(known.rows, "layer")
    other = np.array([name != "network" and name in (layers or LAYERS) for name in names], np.bool_)[layer]
    confirmed = known.rows.column("edge").filter(pa.array(other))
    guesses = renumbered(guesses, known.joined, known.into)
    rows = np.flatnonzero(find_numbers(guesses.column("edge"), confirmed) < 0)
    edge = find_numbers(guesses.column("edge").take(pa.array(rows)), numbers.own)
    straight = np.zeros(len(columns), np.bool_)
    straight[direct] = True
    only_network = seen_alone(columns) & straight
    kept = edge >= 0
    kept[kept] = only_network[edge[kept]]
    columns.lower_confidence(edge[kept], CONFIDENCE[as_int(guesses, "best")[rows[kept]]], inferred=False)


def direct_edges(counts: pa.Table, edge: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Return the edges of one window that the network saw without an intermediary.

    Args:
        counts: R rows of `counts_query`.
        edge: int64[R], the edge of each row; -1: none.
        own: bool[R], which rows are the window's.
    """
    layer, layers = coded(counts, "layer")
    via, routes = coded(counts, "via")
    straight = np.array([name == "network" for name in layers], np.bool_)[layer]
    straight &= np.array([not route for route in routes], np.bool_)[via]
    straight &= np.logical_or.reduce(
        [as_int(counts, name) > 0 for name in ("connections", "bytes_sent", "bytes_received")]
    )
    return np.asarray(edge[straight & own & (edge >= 0)])
