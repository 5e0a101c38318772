"""Edges as columns: what was read from the store, one row for each edge, with its evidence by layer.

Invariant: names are sorted, edges are in the order of (source, target, protocol), and each has evidence in some layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from chronotope.schema.observations import LAYERS, VIA_SEPARATOR
from chronotope.server.evidence.codes import CodeColumns, codes_of, moved_codes

Measures = dict[str, np.ndarray]  # name → int64[E]
_VITAL = ("calls", "connections", "bytes_sent", "bytes_received")


@dataclass(slots=True)
class Histograms:
    """Latency of R edges in one layer: row r is edge `edge[r]`, with `buckets[offsets[r]:offsets[r + 1]]`."""

    edge: np.ndarray
    offsets: np.ndarray
    buckets: np.ndarray
    counts: np.ndarray


@dataclass(slots=True)
class LayerColumns:
    """Evidence of one layer: which edges it has seen, and their sums (0 where it has not)."""

    alive: np.ndarray
    measures: Measures
    by_target: np.ndarray  # bool[E]: only the edge's target reported
    histograms: Histograms | None = None
    codes: CodeColumns | None = None


@dataclass(slots=True)
class EdgeColumns:
    """E edges: codes into `names` and `protocols`, their evidence, and their lifetimes over all history."""

    names: list[str]
    protocols: list[str]
    source: np.ndarray
    target: np.ndarray
    protocol: np.ndarray
    layers: dict[str, LayerColumns]
    via: dict[int, list[str]] = field(default_factory=dict)
    ids: list[str] = field(default_factory=list)
    first_seen: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))  # Unix ms; -1: not known
    last_seen: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    confidence: np.ndarray = field(default_factory=lambda: np.empty(0))  # float64[E], or empty: all are certain
    inferred: np.ndarray = field(default_factory=lambda: np.empty(0, np.bool_))  # bool[E] or empty: which are estimates

    def __len__(self) -> int:
        return len(self.source)

    @property
    def keys(self) -> np.ndarray:
        """One rising number an edge, int64[E]."""
        return edge_keys(self.source, self.target, self.protocol, len(self.names), len(self.protocols))

    def lower_confidence(self, edge: np.ndarray, confidence: np.ndarray, *, inferred: bool) -> None:
        """Lower the confidence of some edges to at most these values, float64[D]; the lower value stays."""
        if len(edge) and not len(self.confidence):
            self.confidence, self.inferred = np.ones(len(self)), np.zeros(len(self), np.bool_)
        np.minimum.at(self.confidence, edge, confidence)
        self.inferred[edge] |= inferred


def layers_of(counts: pa.Table, edge: np.ndarray, edges: int, apart: tuple[str, ...] = ()) -> dict[str, LayerColumns]:
    """Return the evidence by layer of E edges, from R rows with a layer, `by_target` and measures.

    Args:
        counts: R rows; every other whole number is a measure.
        edge: int64[R], the edge of each row.
        edges: E.
        apart: columns that are no measure either.
    """
    codes, names = coded(counts, "layer")
    by_target = as_int(counts, "by_target").astype(bool)
    measured = [field.name for field in counts.schema if pa.types.is_integer(field.type)]
    sums = {name: as_int(counts, name) for name in measured if name not in ("by_target", *apart)}
    found: dict[str, LayerColumns] = {}
    for layer in LAYERS:
        rows = np.flatnonzero(codes == names.index(layer)) if layer in names else np.empty(0, np.int64)
        if len(rows):
            own = {name: values[rows] for name, values in sums.items()}
            found[layer] = layer_columns(edge[rows], own, by_target[rows], edges)
    return found


def layer_columns(edge: np.ndarray, sums: Measures, by_target: np.ndarray, edges: int) -> LayerColumns:
    """Add up R rows of one layer; the target's reports count where the source reports nothing.

    Args:
        edge: int64[R], the edge of each row (or whatever the columns are about, such as buckets of time).
        sums: measures of the rows, int64[R] each.
        by_target: bool[R].
        edges: how many there are.
    """
    first = _totals(edge[~by_target], {name: values[~by_target] for name, values in sums.items()}, edges)
    alive = _alive(first, edges)
    only_target = np.zeros(edges, bool)
    if by_target.any():
        second = _totals(edge[by_target], {name: values[by_target] for name, values in sums.items()}, edges)
        only_target = ~alive & _alive(second, edges)
        first = {name: np.where(only_target, second[name], values) for name, values in first.items()}
        alive = alive | only_target
    return LayerColumns(alive, {name: np.where(alive, values, 0) for name, values in first.items()}, only_target)


def alive_somewhere(columns: EdgeColumns) -> np.ndarray:
    """Return which edges some layer has evidence of, bool[E]."""
    alive = np.zeros(len(columns), bool)
    for layer in columns.layers.values():
        alive |= layer.alive
    return alive


def keep_edges(columns: EdgeColumns, keep: np.ndarray) -> EdgeColumns:
    """Return only some edges, bool[E]; names stay as they are."""
    if keep.all():
        return columns
    index = np.flatnonzero(keep)
    place = np.full(len(keep), -1)
    place[index] = np.arange(len(index))
    layers = {
        name: LayerColumns(
            layer.alive[index],
            {measure: values[index] for measure, values in layer.measures.items()},
            layer.by_target[index],
            keep_histograms(layer.histograms, place),
            moved_codes(layer.codes, place),
        )
        for name, layer in columns.layers.items()
        if layer.alive[index].any()
    }
    return EdgeColumns(
        columns.names,
        columns.protocols,
        columns.source[index],
        columns.target[index],
        columns.protocol[index],
        layers,
        {int(place[edge]): via for edge, via in columns.via.items() if place[edge] >= 0},
        [columns.ids[at] for at in index.tolist()] if columns.ids else [],
        columns.first_seen[index] if len(columns.first_seen) else columns.first_seen,
        columns.last_seen[index] if len(columns.last_seen) else columns.last_seen,
        columns.confidence[index] if len(columns.confidence) else columns.confidence,
        columns.inferred[index] if len(columns.inferred) else columns.inferred,
    )


def keep_histograms(histograms: Histograms | None, place: np.ndarray) -> Histograms | None:
    """Return histograms under new numbers of their edges; -1 drops an edge."""
    if histograms is None:
        return None
    edge = place[histograms.edge]
    rows = np.flatnonzero(edge >= 0)
    lengths = np.diff(histograms.offsets)
    entries = np.repeat(edge >= 0, lengths)
    offsets = np.concatenate([[0], np.cumsum(lengths[rows])])
    return Histograms(edge[rows], offsets, histograms.buckets[entries], histograms.counts[entries])


def add_latency(layers: Mapping[str, LayerColumns], latency: pa.Table, edge: np.ndarray) -> None:
    """Fill in histograms and codes from R rows whose edges are known, int64[R]; -1 drops one."""
    layer_codes, layer_names = coded(latency, "layer")
    by_target = as_int(latency, "by_target").astype(bool)
    every, by_code = histograms_of(latency), codes_of(latency)
    for code, name in enumerate(layer_names):
        layer = layers.get(name)
        if layer is None:
            continue
        wanted = (layer_codes == code) & (edge >= 0)
        wanted[wanted] = layer.by_target[edge[wanted]] == by_target[wanted]
        layer.histograms = keep_histograms(every, np.where(wanted, edge, -1))
        layer.codes = by_code.moved(np.where(wanted, edge, -1))


def histograms_of(latency: pa.Table) -> Histograms:
    """Return the histograms in column `latency`, one a row: `edge` is the row's number."""
    maps = latency.column("latency").combine_chunks()
    if isinstance(maps, pa.ChunkedArray):
        none = np.empty(0, np.int64)
        return Histograms(none, np.zeros(1, np.int64), none.astype(np.uint8), none)
    offsets = maps.offsets.to_numpy().astype(np.int64)
    buckets = maps.keys.to_numpy(zero_copy_only=False)[offsets[0] :]
    counts = maps.items.to_numpy(zero_copy_only=False)[offsets[0] :]
    return Histograms(np.arange(len(maps)), offsets - offsets[0], buckets, counts)


def find_edges(columns: EdgeColumns, table: pa.Table) -> np.ndarray:
    """Return the edge of each row by `source`, `target`, `protocol`, int64[R]; -1 where it is none of these."""
    parts = [
        _places(coded(table, name), values)
        for name, values in (
            ("source", columns.names), ("target", columns.names), ("protocol", columns.protocols)
        )
    ]  # fmt: skip
    missing = np.logical_or.reduce([part < 0 for part in parts])
    keys = edge_keys(parts[0], parts[1], parts[2], len(columns.names), len(columns.protocols))
    known = columns.keys
    if not len(known):
        return np.full(len(keys), -1)
    at = np.minimum(np.searchsorted(known, keys), len(known) - 1)
    return np.asarray(np.where(missing | (known[at] != keys), -1, at))


def find_numbers(rows: pa.Array | pa.ChunkedArray, numbers: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """Return where each of R numbers is among N, int64[R]; -1: nowhere."""
    return np.asarray(pc.index_in(rows, value_set=numbers).fill_null(-1).to_numpy(), np.int64)


def edge_keys(source: np.ndarray, target: np.ndarray, protocol: np.ndarray, names: int, protocols: int) -> np.ndarray:
    """Return one number for each (source, target, protocol), in that order, int64[N]."""
    keys: np.ndarray = (source.astype(np.int64) * names + target) * protocols + protocol
    return keys


def coded(table: pa.Table, name: str) -> tuple[np.ndarray, list[str]]:
    """Return a text column as codes, int64[R], and the values that it has, each once."""
    column = table.column(name)
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    array = column.unify_dictionaries().combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        return np.empty(0, np.int64), []
    codes = array.indices.to_numpy(zero_copy_only=False).astype(np.int64)
    values: list[str] = array.dictionary.to_pylist()
    used = np.bincount(codes, minlength=len(values)) > 0
    if used.all():
        return codes, values
    return (np.cumsum(used) - 1)[codes], [value for value, kept in zip(values, used.tolist(), strict=True) if kept]


def as_int(table: pa.Table, name: str) -> np.ndarray:
    """Return a number column, int64[R]."""
    return np.asarray(table.column(name).to_numpy(), np.int64)


def _places(column: tuple[np.ndarray, list[str]], names: Sequence[str]) -> np.ndarray:
    """Turn a column's codes into indexes of a list of names; -1 where a value is not in the list."""
    codes, values = column
    place = {name: at for at, name in enumerate(names)}
    moved = np.array([place.get(value, -1) for value in values], np.int64)
    return moved[codes] if len(codes) else codes


def _totals(edge: np.ndarray, sums: Measures, edges: int) -> Measures:
    totals = {}
    for name, values in sums.items():
        totals[name] = np.zeros(edges, np.int64)
        np.add.at(totals[name], edge, values)
    return totals


def _alive(sums: Measures, edges: int) -> np.ndarray:
    """A failed connection alone makes no edge. Neither does a sum that corrections left at or below zero."""
    alive = np.zeros(edges, bool)
    for name in _VITAL:
        if name in sums:
            alive |= sums[name] > 0
    return alive


def routes_of(counts: pa.Table, edge: np.ndarray) -> dict[int, list[str]]:
    """Return the intermediaries of each edge that passes some, each once, in the order of its routes."""
    codes, values = coded(counts, "via")
    if not any(values):
        return {}
    stops = [value.split(VIA_SEPARATOR) if value else [] for value in values]
    rank = np.argsort(np.argsort(np.array(values, object)))
    routes: dict[int, list[str]] = {}
    counted = np.logical_or.reduce([as_int(counts, name) > 0 for name in _VITAL if name in counts.column_names])
    rows = np.flatnonzero(np.array([bool(stop) for stop in stops])[codes] & counted)
    for row in rows[np.argsort(rank[codes[rows]], kind="stable")].tolist():
        route = routes.setdefault(int(edge[row]), [])
        route.extend(stop for stop in stops[codes[row]] if stop not in route)
    return routes
