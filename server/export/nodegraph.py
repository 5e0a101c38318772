"""A graph for Grafana's node graph panel: one row a node, one row an edge, and a description of each field. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from msgspec import UNSET, UnsetType

from chronotope.server.graph.answer import Edge, Evidence, Graph, Node, NodeTotals

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a row: its name, whether it is a number, how it is shown, and the colour of an arc's part."""

    name: str
    number: bool = False
    shown: str = ""
    color: str = ""


NODE_FIELDS = (
    Field("id"),
    Field("title", shown="Service"),
    Field("subTitle", shown="Namespace"),
    Field("mainStat", shown="Calls/s"),
    Field("secondaryStat", shown="Errors"),
    Field("arc__ok", number=True, shown="Without error", color="green"),
    Field("arc__errors", number=True, shown="With error", color="red"),
    Field("detail__kind", shown="Kind"),
    Field("detail__layers", shown="Layers"),
)
# Only when positions are asked for: a panel lays out by itself unless every row has them.
PLACE_FIELDS = (Field("fixedx", number=True), Field("fixedy", number=True))
# Grafana's nodes are larger than ours, with two lines of text below.
_WIDER, _HIGHER = 1.3, 2.2
EDGE_FIELDS = (
    Field("id"),
    Field("source"),
    Field("target"),
    Field("mainStat", shown="Rate"),
    Field("secondaryStat", shown="Errors"),
    Field("detail__protocol", shown="Protocol"),
    Field("detail__layers", shown="Layers"),
    Field("detail__via", shown="Via"),
)


def node_rows(graph: Graph) -> list[Row]:
    """Return one row a node, with positions if the graph has them."""
    rows = [_node_row(node, graph.window.seconds) for node in graph.nodes]
    for row, node in zip(rows, graph.nodes, strict=True):
        if node.x is not UNSET and node.y is not UNSET:
            row |= {"fixedx": node.x * _WIDER, "fixedy": node.y * _HIGHER}
    return rows


def edge_rows(graph: Graph) -> list[Row]:
    """Return one row an edge."""
    return [_edge_row(edge, graph.window.seconds) for edge in graph.edges]


def frames(graph: Graph) -> Row:
    """Return both as Grafana data frames."""
    fields = NODE_FIELDS + (PLACE_FIELDS if _is_placed(graph) else ())
    return {"frames": [_frame("nodes", fields, node_rows(graph)), _frame("edges", EDGE_FIELDS, edge_rows(graph))]}


def plugin_fields(*, placed: bool = False) -> Row:
    """Return the fields as the Node Graph API data source asks for them."""
    return {
        "nodes_fields": [_plugin_field(f) for f in (*NODE_FIELDS, *(PLACE_FIELDS if placed else ()))],
        "edges_fields": [_plugin_field(f) for f in EDGE_FIELDS],
    }


def _is_placed(graph: Graph) -> bool:
    return bool(graph.nodes) and all(node.x is not UNSET for node in graph.nodes)


def rate_text(evidence: Evidence, seconds: int) -> str:
    """Return an edge's rate for people: calls where some layer sees calls, else bytes."""
    calls = evidence.ipc or evidence.trace
    if not isinstance(calls, UnsetType):
        return f"{calls.calls_per_second:.4g}/s"
    if not isinstance(evidence.network, UnsetType):
        return bytes_text((evidence.network.bytes_sent + evidence.network.bytes_received) / seconds) + "/s"
    return ""


def errors_text(evidence: Evidence) -> str:
    """Return an edge's share of errors for people; empty where no layer sees calls."""
    calls = evidence.ipc or evidence.trace
    if isinstance(calls, UnsetType) or calls.error_ratio is None:
        return ""
    return f"{calls.error_ratio:.2%} errors" if calls.errors else ""


def bytes_text(count: float) -> str:
    """Return bytes for people: 1536 → `1.5 KiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.4g} {unit}"
        count /= 1024
    return f"{count:.4g} TiB"


def _calls_of(totals: NodeTotals) -> tuple[int, int]:
    calls = totals.ipc or totals.trace
    return (0, 0) if isinstance(calls, UnsetType) else (calls.calls, calls.errors)


def _node_row(node: Node, seconds: int) -> Row:
    calls, errors = _calls_of(node.inbound)
    share = min(errors / calls, 1.0) if calls else 0.0
    return {
        "id": node.id,
        "title": node.name,
        "subTitle": node.namespace,
        "mainStat": f"{calls / seconds:.4g}/s" if calls else "",
        "secondaryStat": f"{share:.2%} errors" if errors else "",
        "arc__ok": 1.0 - share if calls else 0.0,
        "arc__errors": share,
        "detail__kind": node.kind,
        "detail__layers": ", ".join(node.layers),
    }


def _edge_row(edge: Edge, seconds: int) -> Row:
    return {
        "id": edge.id,
        "source": edge.source,
        "target": edge.target,
        "mainStat": rate_text(edge.evidence, seconds),
        "secondaryStat": errors_text(edge.evidence),
        "detail__protocol": edge.protocol,
        "detail__layers": ", ".join(edge.layers),
        "detail__via": ", ".join(edge.via),
    }


def _frame(name: str, fields: tuple[Field, ...], rows: list[Row]) -> Row:
    return {
        "schema": {
            "refId": name,
            "name": name,
            "meta": {"preferredVisualisationType": "nodeGraph"},
            "fields": [_frame_field(field) for field in fields],
        },
        "data": {"values": [[row[field.name] for row in rows] for field in fields]},
    }


def _frame_field(field: Field) -> Row:
    config: Row = {"displayName": field.shown} if field.shown else {}
    if field.color:
        config["color"] = {"mode": "fixed", "fixedColor": field.color}
    return {
        "name": field.name,
        "type": "number" if field.number else "string",
        "typeInfo": {"frame": "float64" if field.number else "string"},
        "config": config,
    }


def _plugin_field(field: Field) -> Row:
    row: Row = {"field_name": field.name, "type": "number" if field.number else "string"}
    if field.color:
        row["color"] = field.color
    if field.shown:
        row["displayName"] = field.shown
    return row


def _row_schema(fields: tuple[Field, ...]) -> Row:
    properties = {field.name: {"type": "number" if field.number else "string"} for field in fields}
    return {"type": "object", "required": list(properties), "properties": properties}


def _rows_schema(nodes: Row, edges: Row, names: tuple[str, str]) -> Row:
    properties = {name: {"type": "array", "items": row} for name, row in zip(names, (nodes, edges), strict=True)}
    return {"type": "object", "required": list(names), "properties": properties}


# What the answers above look like, as JSON Schema.
_FIELD_SCHEMA: Row = {
    "type": "object",
    "required": ["field_name", "type"],
    "properties": {name: {"type": "string"} for name in ("field_name", "type", "color", "displayName")},
}
PLUGIN_FIELDS_SCHEMA = _rows_schema(_FIELD_SCHEMA, _FIELD_SCHEMA, ("nodes_fields", "edges_fields"))
PLUGIN_DATA_SCHEMA = _rows_schema(_row_schema(NODE_FIELDS), _row_schema(EDGE_FIELDS), ("nodes", "edges"))
FRAMES_SCHEMA: Row = {
    "type": "object",
    "required": ["frames"],
    "properties": {
        "frames": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["schema", "data"],
                "properties": {"schema": {"type": "object"}, "data": {"type": "object"}},
            },
        }
    },
}
