"""Make a graph from columns. Pure.

Invariant: nodes are in the order of their ids, and edges in the order of (source, target, protocol), whatever order the
store answered in. The same columns and question give the same graph.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import UNSET

from chronotope.schema.names import split_service_id
from chronotope.schema.observations import LAYERS
from chronotope.schema.times import format_time
from chronotope.server.evidence.columns import EdgeColumns, keep_edges
from chronotope.server.evidence.directory import Attributes
from chronotope.server.evidence.levels import Plan
from chronotope.server.evidence.question import Question
from chronotope.server.graph.answer import (
    CallTotals,
    Edge,
    Evidence,
    FlowTotals,
    Graph,
    Node,
    NodeTotals,
    Totals,
    Window,
)
from chronotope.server.graph.filter import busiest, filter_edges
from chronotope.server.graph.group import Groups, group_edges, make_groups
from chronotope.server.graph.measures import call_records, flow_records

_FLOW_TOTALS = ("connections", "failed_connections", "bytes_sent", "bytes_received")
_CALL_TOTALS = ("calls", "errors")
_NO_VIA: list[str] = []
# The layers of an edge as a list, by the bits of LAYERS: 10,000 edges share eight lists.
_LAYER_LISTS: list[list[Any]] = [
    [layer for bit, layer in enumerate(LAYERS) if bits >> bit & 1] for bits in range(1 << len(LAYERS))
]


@dataclass(frozen=True, slots=True)
class Directory:
    """What is known of services: kinds and attributes by service id."""

    kinds: Mapping[str, str] = field(default_factory=dict)
    attributes: Attributes = field(default_factory=dict)


def assemble(columns: EdgeColumns, directory: Directory, question: Question, plan: Plan) -> Graph:
    """Return the graph that a question asks for.

    Args:
        columns: all edges of the window, E of them.
        directory: kinds and attributes of services.
        question: what to show of it.
        plan: the window that was read.
    """
    shown = keep_edges(columns, filter_edges(columns, question, directory.kinds))
    groups: Groups | None = None
    internal: EdgeColumns | None = None
    lonely = np.empty(0, np.int64)
    if question.group_by:
        groups = make_groups(columns, question.group_by, directory.kinds, directory.attributes)
        columns, internal = group_edges(columns, groups)
        shown, shown_inside = group_edges(shown, groups)
        lonely = shown_inside.source  # a group whose members only call each other is there too
    totals = Totals(len(_nodes_of(shown, lonely)), len(shown))
    shown = keep_edges(shown, busiest(shown, question.limit))
    nodes = _nodes_of(shown, lonely)
    return Graph(
        window_of(plan),
        node_records(columns, nodes, directory, groups, internal, question.group_by),
        edge_records(shown, plan.seconds, full=question.full),
        totals.edges > len(shown),
        totals,
    )


def window_of(plan: Plan) -> Window:
    """Return the window that was used."""
    return window_of_steps(plan.start_s, plan.end_s, plan.resolution_s)


def window_of_steps(start_s: int, end_s: int, resolution_s: int) -> Window:
    """Return a window of Unix seconds."""
    return Window(format_time(start_s * 1000), format_time(end_s * 1000), end_s - start_s, resolution_s)


def edge_records(columns: EdgeColumns, seconds: int, *, full: bool) -> list[Edge]:
    """Return the records of E edges, in order."""
    names, protocols = columns.names, columns.protocols
    via: list[list[str]] = [_NO_VIA] * len(columns)
    for at, route in columns.via.items():
        via[at] = route
    uncertain = len(columns.confidence) > 0
    return list(
        map(
            Edge,
            columns.ids,
            [names[at] for at in columns.source.tolist()],
            [names[at] for at in columns.target.tolist()],
            [protocols[at] for at in columns.protocol.tolist()],
            layer_lists(columns),
            via,
            columns.confidence.tolist() if uncertain else [1.0] * len(columns),
            columns.inferred.tolist() if uncertain else [False] * len(columns),
            format_times(columns.first_seen),
            format_times(columns.last_seen),
            _evidence(columns, seconds, full=full),
        )
    )


def format_times(at_ms: np.ndarray) -> list[str | None]:
    """Return instants (Unix ms; negative: not known) as RFC 3339, many at once."""
    text = pa.array(at_ms, mask=at_ms < 0).cast(pa.timestamp("ms")).cast(pa.string())
    with_t = pc.binary_replace_slice(text.cast(pa.binary()), 10, 11, b"T").cast(pa.string())
    texts: list[str | None] = pc.binary_join_element_wise(with_t, "Z", "").to_pylist()
    return texts


def layer_lists(columns: EdgeColumns) -> list[list[Any]]:
    """Return the layers that confirm each edge."""
    return [_LAYER_LISTS[bits] for bits in _layer_bits(columns).tolist()]


def _layer_bits(columns: EdgeColumns) -> np.ndarray:
    bits = np.zeros(len(columns), np.int64)
    for bit, name in enumerate(LAYERS):
        if name in columns.layers:
            bits |= columns.layers[name].alive.astype(np.int64) << bit
    return bits


def _evidence(columns: EdgeColumns, seconds: int, *, full: bool) -> Any:
    by_layer: list[Any] = []
    for name in LAYERS:
        layer = columns.layers.get(name)
        if layer is None:
            by_layer.append(repeat(UNSET, len(columns)))
        elif name == "network":
            by_layer.append(flow_records(layer))
        else:
            by_layer.append(call_records(layer, seconds, full=full, ends=name == "trace"))
    return map(Evidence, *by_layer)


def _nodes_of(columns: EdgeColumns, others: np.ndarray) -> np.ndarray:
    """The names that have an edge, and some others, rising."""
    return np.unique(np.concatenate([columns.source, columns.target, others]))


def node_records(
    columns: EdgeColumns,
    nodes: np.ndarray,
    directory: Directory,
    groups: Groups | None,
    internal: EdgeColumns | None,
    group_by: str,
) -> list[Node]:
    """Return records of some nodes, codes into the columns' names, with sums over all edges of the window."""
    inbound, outbound = (_totals(columns, end, nodes) for end in (columns.target, columns.source))
    layers = _node_layers(columns, nodes)
    ids = [columns.names[at] for at in nodes.tolist()]
    if groups is None or internal is None:
        return list(map(_service, ids, repeat(directory), layers, inbound, outbound))
    inside = _totals(internal, internal.source, nodes)
    layers = [
        sorted({*own, *within}, key=LAYERS.index)
        for own, within in zip(layers, _node_layers(internal, nodes), strict=True)
    ]
    return [
        _group(name, group_by, groups, own_layers, into, out, within)
        if name in groups.values
        else _service(name, directory, own_layers, into, out)
        for name, own_layers, into, out, within in zip(ids, layers, inbound, outbound, inside, strict=True)
    ]


def _service(name: str, directory: Directory, layers: list[Any], into: NodeTotals, out: NodeTotals) -> Node:
    namespace, short = split_service_id(name)
    kind: Any = directory.kinds.get(name, "unknown")
    return Node(name, short, namespace, kind, directory.attributes.get(name, {}), layers, into, out)


def _group(
    name: str,
    group_by: str,
    groups: Groups,
    layers: list[Any],
    into: NodeTotals,
    out: NodeTotals,
    within: NodeTotals,
) -> Node:
    value = groups.values[name]
    namespace = value if group_by == "namespace" else ""
    kind: Any = groups.kinds[name]
    attributes = {group_by: value}
    return Node(name, value, namespace, kind, attributes, layers, into, out, groups.members[name], within)


def _node_layers(columns: EdgeColumns, nodes: np.ndarray) -> list[list[Any]]:
    bits = np.zeros(len(columns.names), np.int64)
    own = _layer_bits(columns)
    np.bitwise_or.at(bits, columns.source, own)
    np.bitwise_or.at(bits, columns.target, own)
    return [_LAYER_LISTS[at] for at in bits[nodes].tolist()]


def _totals(columns: EdgeColumns, end: np.ndarray, nodes: np.ndarray) -> list[NodeTotals]:
    """Totals of some nodes in one direction, by layer."""
    by_layer: list[Any] = []
    for name in LAYERS:
        layer = columns.layers.get(name)
        if layer is None:
            by_layer.append(repeat(UNSET, len(nodes)))
            continue
        seen = np.zeros(len(columns.names), bool)
        seen[end[layer.alive]] = True
        measures = _FLOW_TOTALS if name == "network" else _CALL_TOTALS
        sums = []
        for measure in measures:
            total = np.zeros(len(columns.names), np.int64)
            np.add.at(total, end, layer.measures[measure])
            sums.append(total[nodes].tolist())
        record: Any = FlowTotals if name == "network" else CallTotals
        records = zip(seen[nodes].tolist(), map(record, *sums), strict=True)
        by_layer.append([value if is_seen else UNSET for is_seen, value in records])
    return list(map(NodeTotals, *by_layer))
