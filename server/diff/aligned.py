"""Two windows over the same edges. Pure.

Invariant: both columns, and their sub-windows, have the edges of either window, in the order of (source, target,
protocol). Where a window has no evidence of an edge, its values are empty.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from chronotope.server.evidence.codes import moved_codes
from chronotope.server.evidence.columns import (
    EdgeColumns,
    LayerColumns,
    alive_somewhere,
    edge_keys,
    keep_edges,
    keep_histograms,
)
from chronotope.server.evidence.sub_windows import SubWindows
from chronotope.server.graph.group import Groups, group_edges


@dataclass(frozen=True, slots=True)
class Pair:
    """Two windows over the same E edges, and their sub-windows."""

    before: EdgeColumns
    after: EdgeColumns
    sub_windows: tuple[SubWindows, SubWindows]

    def __len__(self) -> int:
        return len(self.before)

    @property
    def alive(self) -> tuple[np.ndarray, np.ndarray]:
        """Which edges each window has evidence of, bool[E] twice."""
        return alive_somewhere(self.before), alive_somewhere(self.after)


def align(before: EdgeColumns, after: EdgeColumns, sub_windows: tuple[SubWindows, SubWindows]) -> Pair:
    """Return two windows' edges as one list."""
    names = sorted({*before.names, *after.names})
    protocols = sorted({*before.protocols, *after.protocols})
    parts = [_moved(columns, names, protocols) for columns in (before, after)]
    keys, where = np.unique(np.concatenate([part.keys for part in parts]), return_inverse=True)
    places = where[: len(before)], where[len(before) :]
    ends = np.divmod(keys // max(len(protocols), 1), max(len(names), 1))
    common = EdgeColumns(names, protocols, ends[0], ends[1], keys % max(len(protocols), 1), {})
    ids = np.full(len(keys), "", object)
    first, last = np.full(len(keys), -1, np.int64), np.full(len(keys), -1, np.int64)
    for part, place in zip(parts, places, strict=True):
        ids[place], first[place], last[place] = part.ids, part.first_seen, part.last_seen
    common.ids, common.first_seen, common.last_seen = ids.tolist(), first, last
    spread = [_spread(common, part, place) for part, place in zip(parts, places, strict=True)]
    own = [_spread_sub_windows(part, place, len(keys)) for part, place in zip(sub_windows, places, strict=True)]
    return Pair(spread[0], spread[1], (own[0], own[1]))


def keep_pair(pair: Pair, keep: np.ndarray) -> Pair:
    """Return only some edges, bool[E]."""
    sub_windows = [
        {layer: {name: values[keep] for name, values in measures.items()} for layer, measures in own.items()}
        for own in pair.sub_windows
    ]
    return Pair(keep_edges(pair.before, keep), keep_edges(pair.after, keep), (sub_windows[0], sub_windows[1]))


def group_pair(pair: Pair, groups: Groups) -> Pair:
    """Return the edges between groups; edges within one are left out."""
    grouped = [group_edges(columns, groups)[0] for columns in (pair.before, pair.after)]
    source, target = groups.of_name[pair.before.source], groups.of_name[pair.before.target]
    size = len(groups.names), len(pair.before.protocols)
    keys = edge_keys(source, target, pair.before.protocol, *size)
    sub_windows = [_add_up(own, keys, columns) for own, columns in zip(pair.sub_windows, grouped, strict=True)]
    return align(grouped[0], grouped[1], (sub_windows[0], sub_windows[1]))


def _moved(columns: EdgeColumns, names: list[str], protocols: list[str]) -> EdgeColumns:
    """The same edges, as codes into longer lists."""
    place = {name: at for at, name in enumerate(names)}
    of_name = np.array([place[name] for name in columns.names], np.int64)
    place = {name: at for at, name in enumerate(protocols)}
    of_protocol = np.array([place[name] for name in columns.protocols], np.int64)
    if not len(columns):
        return replace(columns, names=names, protocols=protocols)
    return replace(
        columns,
        names=names,
        protocols=protocols,
        source=of_name[columns.source],
        target=of_name[columns.target],
        protocol=of_protocol[columns.protocol],
    )


def _spread(common: EdgeColumns, columns: EdgeColumns, place: np.ndarray) -> EdgeColumns:
    """One window's evidence under the numbers of all edges."""

    def at_places(values: np.ndarray, absent: float = 0) -> np.ndarray:
        spread = np.full(len(common), absent, values.dtype)
        spread[place] = values
        return spread

    layers = {
        name: LayerColumns(
            at_places(layer.alive),
            {measure: at_places(values) for measure, values in layer.measures.items()},
            at_places(layer.by_target),
            keep_histograms(layer.histograms, place),
            moved_codes(layer.codes, place),
        )
        for name, layer in columns.layers.items()
    }
    via = {int(place[at]): via for at, via in columns.via.items()}
    uncertain = len(columns.confidence) > 0
    confidence = at_places(columns.confidence, 1) if uncertain else columns.confidence
    inferred = at_places(columns.inferred) if uncertain else columns.inferred
    return replace(common, layers=layers, via=via, confidence=confidence, inferred=inferred)


def _spread_sub_windows(sub_windows: SubWindows, place: np.ndarray, edges: int) -> SubWindows:
    found: SubWindows = {}
    for layer, measures in sub_windows.items():
        found[layer] = {name: np.zeros((edges, values.shape[1])) for name, values in measures.items()}
        for name, values in measures.items():
            found[layer][name][place] = values
    return found


def _add_up(sub_windows: SubWindows, keys: np.ndarray, columns: EdgeColumns) -> SubWindows:
    if not len(columns):
        return {}
    at = np.minimum(np.searchsorted(columns.keys, keys), len(columns) - 1)
    rows = np.flatnonzero(columns.keys[at] == keys)
    found: SubWindows = {}
    for layer, measures in sub_windows.items():
        found[layer] = {name: np.zeros((len(columns), values.shape[1])) for name, values in measures.items()}
        for name, values in measures.items():
            np.add.at(found[layer][name], at[rows], values[rows])
    return found
