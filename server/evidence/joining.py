"""One dependency is one edge: a flow of a generic protocol (`tcp`) joins the edge of the application's protocol.

Invariant: a flow of a generic protocol belongs to the application protocol of the same (source, target) when traces and
metrics have named exactly one, ever; the edge then has that protocol's id. All history decides, so a window without
traces shows the same edge as one with them. Layers stay apart: nothing is added over layers. Where only the network is
asked, nothing is joined.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from chronotope.schema.observations import LAYERS
from chronotope.schema.storage.store import Store
from chronotope.server.evidence.columns import coded
from chronotope.server.evidence.lifetimes import read_lifetimes

GENERIC = ("tcp", "tls", "udp", "unknown")
# Edges between ends with a flow that may join another edge.
_CANDIDATES = """(source, target) IN (
    SELECT source, target FROM edge_lifetimes WHERE layer = 'network' AND protocol IN {generic:Array(String)}
)"""


def joins(layers: Sequence[str]) -> bool:
    """Return whether evidence of some layers (none: all) is joined: the network's and another one's."""
    asked = set(layers or LAYERS)
    return "network" in asked and len(asked) > 1


def join_protocols(table: pa.Table, lifetimes: pa.Table, layers: Sequence[str]) -> pa.Table:
    """Give network rows of a generic protocol the application's protocol.

    Args:
        table: R rows with `source`, `target`, `protocol`, `layer`; a column `id` follows the protocol.
        lifetimes: of all edges ever seen, with `source`, `target`, `protocol`, `layer`, `id`.
        layers: those that are asked, none: all.
    """
    generic = _generic(table)
    if not joins(layers) or not generic.any():
        return table
    rows = np.flatnonzero(generic)
    named = _named(lifetimes, layers)
    row = _find(table.select(["source", "target"]).take(pa.array(rows)), named)
    rows, row = rows[row >= 0], row[row >= 0]
    if not len(rows):
        return table
    table = _replaced(table, "protocol", rows, named.column("protocol").take(pa.array(row)))
    if "id" in table.column_names:
        table = _replaced(table, "id", rows, named.column("id").take(pa.array(row)))
    return table


def read_joined_numbers(store: Store, layers: Sequence[str]) -> tuple[pa.Array, pa.Array]:
    """Return `joined_numbers` of the store's edges."""
    if not joins(layers):
        return pa.array([], pa.uint64()), pa.array([], pa.uint64())
    number = "cityHash64(source, target, protocol) AS number"
    found = read_lifetimes(store, _CANDIDATES, {"generic": list(GENERIC)}, number)
    return joined_numbers(found.drop(["edge"]).rename_columns({"number": "edge"}), layers)


def read_joined_protocols(store: Store, ends: Mapping[str, str], layers: Sequence[str]) -> list[str]:
    """Return the generic protocols whose flows belong to one edge, given by `source`, `target`, `protocol`."""
    if not joins(layers):
        return []
    between = f"source = {{source:String}} AND target = {{target:String}} AND {_CANDIDATES}"
    known = read_lifetimes(store, between, {**ends, "generic": list(GENERIC)})
    before, after = (table.column("protocol").to_pylist() for table in (known, join_protocols(known, known, layers)))
    return sorted({own for own, into in zip(before, after, strict=True) if own != into == ends["protocol"]})


def joined_numbers(lifetimes: pa.Table, layers: Sequence[str]) -> tuple[pa.Array, pa.Array]:
    """Return the numbers of edges that join others, and of the edges that they join, both uint64[J].

    Args:
        lifetimes: as above, with `edge`, each edge's number.
        layers: those that are asked, none: all.
    """
    none = pa.array([], pa.uint64())
    generic = _generic(lifetimes)
    if not joins(layers) or not generic.any():
        return none, none
    named = _named(lifetimes, layers)
    rows = np.flatnonzero(generic)
    row = _find(lifetimes.take(pa.array(rows)), named)
    numbers = lifetimes.column("edge").combine_chunks()
    return numbers.take(pa.array(rows[row >= 0])), named.column("edge").combine_chunks().take(pa.array(row[row >= 0]))


def _generic(table: pa.Table) -> np.ndarray:
    layer, layers = coded(table, "layer")
    protocol, protocols = coded(table, "protocol")
    network = np.array([name == "network" for name in layers], np.bool_)
    generic = np.array([name in GENERIC for name in protocols], np.bool_)
    return network[layer] & generic[protocol] if len(layer) else np.zeros(0, np.bool_)


def _named(lifetimes: pa.Table, layers: Sequence[str]) -> pa.Table:
    """One row for each pair for which traces and metrics name exactly one protocol, and not a generic one."""
    layer, names = coded(lifetimes, "layer")
    protocol, protocols = coded(lifetimes, "protocol")
    is_named = np.array([name != "network" and name in (layers or LAYERS) for name in names], np.bool_)
    is_specific = np.array([name not in GENERIC for name in protocols], np.bool_)
    rows = np.flatnonzero(is_named[layer]) if len(layer) else np.zeros(0, np.int64)
    chosen = lifetimes.take(pa.array(rows))
    pair, named = _pairs(chosen)[0], protocol[rows]
    order = np.lexsort((named, pair))
    pair, named = pair[order], named[order]
    first = np.flatnonzero(np.append(True, pair[1:] != pair[:-1])[: len(pair)])
    last = np.append(first[1:], len(pair))[: len(first)] - 1
    single = (named[first] == named[last]) & (is_specific[named[first]] if len(first) else True)
    return chosen.take(pa.array(order[first[single]]))


def _find(table: pa.Table, named: pa.Table) -> np.ndarray:
    """Return the row of `named` with the same source and target, -1: none; int64[R]."""
    wanted, known = _pairs(table, named)
    if not len(known):
        return np.full(len(wanted), -1)
    order = np.argsort(known)
    at = np.minimum(np.searchsorted(known[order], wanted), len(known) - 1)
    return np.asarray(np.where(known[order][at] == wanted, order[at], -1))


def _pairs(*tables: pa.Table) -> list[np.ndarray]:
    """One number for each (source, target), the same in all tables."""
    places: dict[str, int] = {}
    ends = [[coded(table, name) for name in ("source", "target")] for table in tables]
    for columns in ends:
        for _, values in columns:
            for value in values:
                places.setdefault(value, len(places))
    moved = [
        [
            np.array([places[value] for value in values], np.int64)[codes] if len(codes) else codes
            for codes, values in own
        ]
        for own in ends
    ]
    return [source * max(len(places), 1) + target for source, target in moved]


def _replaced(table: pa.Table, name: str, rows: np.ndarray, values: pa.ChunkedArray) -> pa.Table:
    """Put values into some rows, rising, of a text column."""
    at, column = table.column_names.index(name), table.column(name)
    if not pa.types.is_dictionary(column.type):
        mask = np.zeros(len(table), np.bool_)
        mask[rows] = True
        text = pc.replace_with_mask(column.combine_chunks(), pa.array(mask), values.cast(column.type).combine_chunks())
        return table.set_column(at, name, text)
    (codes, texts), (added, more) = coded(table, name), coded(pa.table({name: values}), name)
    codes = codes.copy()
    places = {text: place for place, text in enumerate(texts)}
    moved = np.array([places.setdefault(text, len(places)) for text in more], np.int64)
    codes[rows] = moved[added]
    return table.set_column(at, name, pa.DictionaryArray.from_arrays(codes.astype(np.int32), pa.array(list(places))))
