"""Make one node of all services with the same value of an attribute. Pure.

Invariant: sums and lifetimes of an edge between two groups are those of all edges between their members. Edges within a
group are returned apart. A service without the attribute stays itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from chronotope.schema.names import edge_id, split_service_id
from chronotope.server.evidence.codes import moved_codes
from chronotope.server.evidence.columns import (
    EdgeColumns,
    Histograms,
    LayerColumns,
    alive_somewhere,
    edge_keys,
    keep_edges,
)
from chronotope.server.evidence.directory import Attributes


@dataclass(frozen=True, slots=True)
class Groups:
    """Group ids, sorted; the group of each name; each group's value, its number of services, and their kind.

    Only a real group has a value. The kind is `service` where the members differ.
    """

    names: list[str]
    of_name: np.ndarray
    values: Mapping[str, str]
    members: Counter[str]
    kinds: Mapping[str, str]


def make_groups(columns: EdgeColumns, attribute: str, kinds: Mapping[str, str], attributes: Attributes) -> Groups:
    """Return the groups of all names by `namespace`, `kind` or an attribute."""
    found = [_value(name, attribute, kinds, attributes) for name in columns.names]
    alone = {name for name, value in zip(columns.names, found, strict=True) if not value}
    # A group's id is its value, unless a service outside the groups has that name.
    ids = [
        (f"{attribute}={value}" if value in alone else value) if value else name
        for name, value in zip(columns.names, found, strict=True)
    ]
    order = sorted(set(ids))
    place = {name: at for at, name in enumerate(order)}
    values = {group: value for group, value in zip(ids, found, strict=True) if value}
    of_name = np.array([place[group] for group in ids], np.int64)
    return Groups(order, of_name, values, Counter(ids), _common_kinds(columns.names, ids, kinds))


def group_edges(columns: EdgeColumns, groups: Groups) -> tuple[EdgeColumns, EdgeColumns]:
    """Return the edges between groups, and those within one (source = target), added up."""
    if not len(columns):
        return columns, columns
    source, target = groups.of_name[columns.source], groups.of_name[columns.target]
    keys = edge_keys(source, target, columns.protocol, len(groups.names), len(columns.protocols))
    _, first, edge = np.unique(keys, return_index=True, return_inverse=True)
    joined = EdgeColumns(groups.names, columns.protocols, source[first], target[first], columns.protocol[first], {})
    joined.layers = {name: _add_up(layer, edge, len(first)) for name, layer in columns.layers.items()}
    for at, via in columns.via.items():
        route = joined.via.setdefault(int(edge[at]), [])
        route.extend(stop for stop in via if stop not in route)
    joined.confidence, joined.inferred = _confidence(columns, edge, len(first))
    joined.first_seen, joined.last_seen = _lifetimes(columns, edge, len(first))
    joined.ids = [
        edge_id(groups.names[s], groups.names[t], columns.protocols[p])
        for s, t, p in zip(joined.source.tolist(), joined.target.tolist(), joined.protocol.tolist(), strict=True)
    ]
    inside = joined.source == joined.target
    alive = alive_somewhere(joined)
    return keep_edges(joined, ~inside & alive), keep_edges(joined, inside & alive)


def _value(name: str, attribute: str, kinds: Mapping[str, str], attributes: Attributes) -> str:
    if attribute == "namespace":
        return split_service_id(name)[0]
    if attribute == "kind":
        return kinds.get(name, "unknown")
    return attributes.get(name, {}).get(attribute, "")


def _common_kinds(names: list[str], ids: list[str], kinds: Mapping[str, str]) -> dict[str, str]:
    common: dict[str, str] = {}
    for name, group in zip(names, ids, strict=True):
        kind = kinds.get(name, "unknown")
        common[group] = kind if common.get(group, kind) == kind else "service"
    return common


def _add_up(layer: LayerColumns, edge: np.ndarray, edges: int) -> LayerColumns:
    measures = {}
    for name, values in layer.measures.items():
        measures[name] = np.zeros(edges, np.int64)
        np.add.at(measures[name], edge, values)
    alive = np.zeros(edges, bool)
    alive[edge[layer.alive]] = True
    return LayerColumns(
        alive, measures, np.zeros(edges, bool), _merge(layer.histograms, edge), moved_codes(layer.codes, edge)
    )


def _merge(histograms: Histograms | None, edge: np.ndarray) -> Histograms | None:
    """Add up the histograms of edges that became one."""
    if histograms is None or not len(histograms.edge):
        return histograms
    row_of_entry = np.repeat(edge[histograms.edge], np.diff(histograms.offsets))
    keys, place = np.unique(row_of_entry * 256 + histograms.buckets, return_inverse=True)
    counts = np.zeros(len(keys), np.int64)
    np.add.at(counts, place, histograms.counts)
    edges, starts = np.unique(keys // 256, return_index=True)
    return Histograms(edges, np.append(starts, len(keys)), (keys % 256).astype(np.uint8), counts)


def _confidence(columns: EdgeColumns, edge: np.ndarray, edges: int) -> tuple[np.ndarray, np.ndarray]:
    """A joined edge has the highest confidence of its edges, and is inferred when all of them are."""
    if not len(columns.confidence):
        return columns.confidence, columns.inferred
    confidence, inferred = np.zeros(edges), np.ones(edges, np.bool_)
    np.maximum.at(confidence, edge, columns.confidence)
    np.logical_and.at(inferred, edge, columns.inferred)
    return confidence, inferred


def _lifetimes(columns: EdgeColumns, edge: np.ndarray, edges: int) -> tuple[np.ndarray, np.ndarray]:
    first = np.full(edges, np.iinfo(np.int64).max)
    last = np.full(edges, -1, np.int64)
    if len(columns.first_seen):
        known = columns.first_seen >= 0
        np.minimum.at(first, edge[known], columns.first_seen[known])
        np.maximum.at(last, edge[known], columns.last_seen[known])
    first[first == np.iinfo(np.int64).max] = -1
    return first, last
