"""What changed between two windows: edges added, removed and changed, with the evidence of both.

Invariant: an edge is added or removed when one window has no evidence of it in any layer asked for. Where a layer did
not see both windows alike, that is reported as coverage, and an edge that only it could tell of counts as unchanged
(`uncovered` names the layers). Nodes and edges are in the graph's order, and the same data gives the same answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
from msgspec import UNSET, Struct, UnsetType

from chronotope.schema.observations import LAYERS
from chronotope.server.diff.aligned import Pair, group_pair, keep_pair
from chronotope.server.diff.changes import Change, find_changes
from chronotope.server.diff.coverage import Coverage, Covered, compare_layers, events_of
from chronotope.server.diff.significance import silence_p
from chronotope.server.evidence.levels import Plan
from chronotope.server.evidence.question import Question
from chronotope.server.graph.answer import Edge, Evidence, Kind, Layer, Node, NodeTotals, Window
from chronotope.server.graph.assemble import Directory, edge_records, node_records, window_of
from chronotope.server.graph.filter import filter_edges
from chronotope.server.graph.group import Groups, group_edges, make_groups

Status = Literal["added", "removed", "changed", "unchanged"]
STATUSES: tuple[Status, ...] = ("added", "removed", "changed", "unchanged")
_ADDED, _REMOVED, _CHANGED, _UNCHANGED = range(4)


class DiffEdge(Struct, gc=False):
    """An edge of either window. `p_value`, of one added or removed: how probable the other window's silence is."""

    id: str
    source: str
    target: str
    protocol: str
    layers: list[Layer]
    via: list[str]
    confidence: float
    inferred: bool
    first_seen: str | None
    last_seen: str | None
    status: Status
    before: Evidence
    after: Evidence
    changes: list[Change]
    p_value: float | UnsetType = UNSET
    uncovered: list[Layer] | UnsetType = UNSET


class Sides(Struct, gc=False):
    """What a node had on both sides."""

    inbound: NodeTotals
    outbound: NodeTotals


class DiffNode(Struct, gc=False):
    """A node of either window; `changed` when one of its edges is not unchanged.

    Inbound and outbound are of the window after.
    """

    id: str
    name: str
    namespace: str
    kind: Kind
    attributes: dict[str, str]
    layers: list[Layer]
    inbound: NodeTotals
    outbound: NodeTotals
    status: Status
    before: Sides
    members: int | UnsetType = UNSET


class DiffSummary(Struct, gc=False):
    """Edges by status, also beyond the limit; how many of the unchanged no layer could compare; tests made."""

    added: int
    removed: int
    changed: int
    unchanged: int
    uncovered: int
    tests: int
    significance: float


class Diff(Struct, gc=False):
    """Two windows and what differs. `truncated`: there is more than the limit."""

    before: Window
    after: Window
    nodes: list[DiffNode]
    edges: list[DiffEdge]
    coverage: list[Coverage]
    truncated: bool
    summary: DiffSummary


def diff(
    pair: Pair,
    directory: Directory,
    question: Question,
    plans: tuple[Plan, Plan],
    *,
    significance: float,
    unchanged: bool,
) -> Diff:
    """Return what changed.

    Args:
        pair: all edges of both windows, whatever their protocol.
        directory: kinds and attributes of services.
        question: what to show of it.
        plans: the windows that were read.
        significance: the false discovery rate over all tests, and of an edge's silence in a layer that moved.
        unchanged: show what did not change too.
    """
    covered = compare_layers(pair.before, pair.after, pair.sub_windows)
    pair = keep_pair(pair, _of_protocols(pair, question.protocols))
    shown = keep_pair(pair, filter_edges(pair.before, question, directory.kinds))
    groups: Groups | None = None
    if question.group_by:
        groups = make_groups(pair.before, question.group_by, directory.kinds, directory.attributes)
    whole = pair if groups is None else group_pair(pair, groups)
    shown = shown if groups is None else group_pair(shown, groups)
    seconds = plans[0].seconds, plans[1].seconds
    presence, p_value, uncovered = _presence(shown, covered, seconds, significance)
    status = presence.copy()
    changes, tests = find_changes(shown, covered, seconds, significance, full=question.full)
    status[list(changes)] = _CHANGED
    added, removed, changed, same = np.bincount(status, minlength=len(STATUSES)).tolist()
    wanted = np.flatnonzero(unchanged | (status != _UNCHANGED))
    order = np.argsort(status[wanted] == _UNCHANGED, kind="stable")
    rows = np.sort(wanted[order[: question.limit]])
    places = {int(row): at for at, row in enumerate(rows.tolist())}
    edges = _edges(keep_pair(shown, np.isin(np.arange(len(shown)), rows)), seconds, full=question.full)
    _judge(edges, status[rows], p_value[rows], uncovered[rows])
    for row, own in changes.items():
        if row in places:
            edges[places[row]].changes = own
    everywhere = presence if len(whole) == len(shown) else _presence(whole, covered, seconds, significance)[0]
    node_status = _node_status(whole, everywhere, shown, status)
    ends = np.unique(np.concatenate([shown.before.source[rows], shown.before.target[rows]]))
    return Diff(
        window_of(plans[0]),
        window_of(plans[1]),
        _nodes(pair, whole, ends, node_status, directory, groups, question.group_by),
        edges,
        [cover.coverage for cover in covered.values() if cover.coverage is not None],
        len(wanted) > len(rows),
        DiffSummary(added, removed, changed, same, int((uncovered > 0).sum()), tests, significance),
    )


def _of_protocols(pair: Pair, protocols: tuple[str, ...]) -> np.ndarray:
    if not protocols:
        return np.ones(len(pair), bool)
    known = np.array([protocol in protocols for protocol in pair.before.protocols], bool)
    return np.asarray(known[pair.before.protocol])


def _presence(
    pair: Pair, covered: Mapping[str, Covered], seconds: tuple[int, int], significance: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Status by presence; the p-value of one window's silence; the bits of layers that cannot tell; [E] each."""
    before, after = pair.alive
    status = np.select([after & ~before, before & ~after], [_ADDED, _REMOVED], _UNCHANGED)
    p, layers, trusted = np.ones(len(pair)), np.zeros(len(pair), np.int64), np.zeros(len(pair), bool)
    bits = np.zeros(len(pair), np.int64)
    for name, cover in covered.items():
        share = cover.share(seconds)
        for window, own_share in ((pair.before, 1 - share), (pair.after, share)):
            layer = window.layers.get(name)
            if layer is None:
                continue
            rows = np.flatnonzero(layer.alive & (before ^ after))
            sub_windows = pair.sub_windows[0 if window is pair.before else 1].get(name, {})
            p[rows] = np.minimum(
                p[rows], _silence(name, events_of(name, layer, len(pair))[rows], sub_windows, rows, own_share)
            )
            layers[rows] += 1
            trusted[rows] |= cover.coverage is None
            bits[rows] |= 1 << LAYERS.index(name)
    p = np.minimum(p * np.maximum(layers, 1), 1)
    unsure = (before ^ after) & ~trusted & (p > significance / max(len(pair), 1))
    return np.where(unsure, _UNCHANGED, status), p, np.where(unsure, bits, 0)


def _silence(
    name: str, events: np.ndarray, sub_windows: Mapping[str, np.ndarray], rows: np.ndarray, share: float
) -> np.ndarray:
    measure = "connections" if name == "network" else "calls"
    own = sub_windows[measure][rows] if sub_windows else np.zeros((len(rows), 0))
    if name == "network" and sub_windows:
        # A connection that lives long opens once; each sub-window in which it carried bytes is an event.
        carried = (sub_windows["bytes_sent"][rows] + sub_windows["bytes_received"][rows] > 0).sum(1)
        events = np.maximum(events, carried)
    return silence_p(events, own, share)


def _edges(pair: Pair, seconds: tuple[int, int], *, full: bool) -> list[DiffEdge]:
    before = edge_records(pair.before, seconds[0], full=full)
    after = edge_records(pair.after, seconds[1], full=full)
    shown = (
        other if other.layers else one for one, other in zip(before, after, strict=True)
    )  # one that is gone, as it was
    return [
        DiffEdge(
            one.id, one.source, one.target, one.protocol, _joined(one, other), other.via or one.via, last.confidence,
            last.inferred, one.first_seen, one.last_seen, "unchanged", one.evidence, other.evidence, [],
        )
        for one, other, last in zip(before, after, shown, strict=True)
    ]  # fmt: skip


def _joined(one: Edge | Node, other: Edge | Node) -> list[Layer]:
    if one.layers == other.layers:
        return one.layers
    return sorted({*one.layers, *other.layers}, key=LAYERS.index)


def _judge(edges: list[DiffEdge], status: np.ndarray, p_value: np.ndarray, uncovered: np.ndarray) -> None:
    for edge, own, p, bits in zip(edges, status.tolist(), p_value.tolist(), uncovered.tolist(), strict=True):
        edge.status = STATUSES[own]
        if own in (_ADDED, _REMOVED):
            edge.p_value = p
        if bits:
            edge.uncovered = [layer for layer in edge.layers if bits >> LAYERS.index(layer) & 1]


def _node_status(whole: Pair, presence: np.ndarray, shown: Pair, status: np.ndarray) -> np.ndarray:
    """The status of each name: added or removed by all its edges, changed by the edges that are shown."""
    names = len(whole.before.names)
    new, gone = np.ones(names, bool), np.ones(names, bool)
    changed = np.zeros(names, bool)
    for end, other in ((whole.before.source, shown.before.source), (whole.before.target, shown.before.target)):
        new[end[presence != _ADDED]] = False
        gone[end[presence != _REMOVED]] = False
        changed[other[status != _UNCHANGED]] = True
    return np.select([changed & new, changed & gone, changed], [_ADDED, _REMOVED, _CHANGED], _UNCHANGED)


def _nodes(
    pair: Pair,
    whole: Pair,
    ends: np.ndarray,
    status: np.ndarray,
    directory: Directory,
    groups: Groups | None,
    group_by: str,
) -> list[DiffNode]:
    found = []
    for columns, own in ((whole.before, pair.before), (whole.after, pair.after)):
        internal = group_edges(own, groups)[1] if groups is not None else None
        found.append(node_records(columns, ends, directory, groups, internal, group_by))
    return [
        DiffNode(
            now.id, now.name, now.namespace, now.kind, now.attributes, _joined(then, now), now.inbound, now.outbound,
            STATUSES[own], Sides(then.inbound, then.outbound), now.members,
        )
        for then, now, own in zip(*found, status[ends].tolist(), strict=True)
    ]  # fmt: skip
