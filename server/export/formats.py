"""A graph in the formats of other tools: Grafana frames, DOT, GraphML, Mermaid. Pure.

Invariant: a name, however hostile, stays a name: it never ends a string, opens a tag or adds a line.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from xml.sax.saxutils import escape, quoteattr

import msgspec

from chronotope.server.export.nodegraph import errors_text, frames, rate_text
from chronotope.server.graph.answer import Edge, Graph, Node

_DOT_SHAPES = {
    "service": "box",
    "database": "cylinder",
    "messaging": "cds",
    "external": "ellipse",
    "intermediary": "hexagon",
    "unknown": "diamond",
}
_MERMAID_SHAPES = {
    "service": ("[", "]"),
    "database": ("[(", ")]"),
    "messaging": ("[[", "]]"),
    "external": ("([", "])"),
    "intermediary": ("{{", "}}"),
    "unknown": ("{", "}"),
}
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_LINE_BREAKS = re.compile("[\r\n\v\f\x85\u2028\u2029]+")
_GRAPHML_KEYS = (
    ("name", "node", "string"),
    ("namespace", "node", "string"),
    ("kind", "node", "string"),
    ("protocol", "edge", "string"),
    ("layers", "edge", "string"),
    ("via", "edge", "string"),
    ("calls_per_second", "edge", "double"),
    ("error_ratio", "edge", "double"),
)


def render(graph: Graph, form: str) -> tuple[bytes, str]:
    """Return a graph in a format other than `json`, and its media type."""
    renderer, media_type = _FORMATS[form]
    return renderer(graph).encode("utf-8", "replace"), media_type


def dot(graph: Graph) -> str:
    """Return a Graphviz digraph."""
    lines = ["digraph chronotope {", "  rankdir=LR;"]
    for node in graph.nodes:
        lines.append(f"  {_dot_text(node.id)} [label={_dot_text(node.id)} shape={_DOT_SHAPES[node.kind]}];")
    for edge in graph.edges:
        label = _dot_text(_edge_label(edge, graph.window.seconds))
        lines.append(f"  {_dot_text(edge.source)} -> {_dot_text(edge.target)} [label={label}];")
    return "\n".join([*lines, "}", ""])


def mermaid(graph: Graph) -> str:
    """Return a Mermaid flow chart."""
    place = {node.id: f"n{at}" for at, node in enumerate(graph.nodes)}
    lines = ["flowchart LR"]
    for node in graph.nodes:
        opening, closing = _MERMAID_SHAPES[node.kind]
        lines.append(f"  {place[node.id]}{opening}{_mermaid_text(node.id)}{closing}")
    for edge in graph.edges:
        label = _mermaid_text(_edge_label(edge, graph.window.seconds))
        lines.append(f"  {place[edge.source]} -->|{label}| {place[edge.target]}")
    return "\n".join([*lines, ""])


def graphml(graph: Graph) -> str:
    """Return a GraphML document."""
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', '<graphml xmlns="http://graphml.graphdrawing.org/xmlns">']
    for name, owner, kind in _GRAPHML_KEYS:
        lines.append(f'  <key id="{owner}_{name}" for="{owner}" attr.name="{name}" attr.type="{kind}"/>')
    lines.append('  <graph id="chronotope" edgedefault="directed">')
    lines += [_graphml_node(node) for node in graph.nodes]
    lines += [_graphml_edge(edge) for edge in graph.edges]
    return "\n".join([*lines, "  </graph>", "</graphml>", ""])


def _edge_label(edge: Edge, seconds: int) -> str:
    parts = (edge.protocol, rate_text(edge.evidence, seconds), errors_text(edge.evidence))
    return " ".join(part for part in parts if part)


def _dot_text(text: str) -> str:
    one_line = _LINE_BREAKS.sub(" ", text).replace("\0", "\ufffd")
    return '"' + one_line.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _mermaid_text(text: str) -> str:
    """Quote a text; Mermaid knows entities as `#name;`, and backticks would start Markdown."""
    one_line = _LINE_BREAKS.sub(" ", text)
    codes = {"#": "#35;", '"': "#quot;", "<": "#lt;", ">": "#gt;", "&": "#amp;", "`": "#96;", "\\": "#92;", "%": "#37;"}
    return '"' + "".join(codes.get(letter, letter) for letter in one_line) + '"'


def _xml(text: str) -> str:
    return escape(_NOT_XML.sub("\ufffd", text))


def _xml_attribute(text: str) -> str:
    return quoteattr(_NOT_XML.sub("\ufffd", text))


def _graphml_values(owner: str, values: dict[str, object]) -> str:
    return "".join(
        f'<data key="{owner}_{name}">{_xml(str(value))}</data>' for name, value in values.items() if value is not None
    )


def _graphml_node(node: Node) -> str:
    values: dict[str, object] = {"name": node.name, "namespace": node.namespace, "kind": node.kind}
    return f"    <node id={_xml_attribute(node.id)}>{_graphml_values('node', values)}</node>"


def _graphml_edge(edge: Edge) -> str:
    calls = edge.evidence.ipc or edge.evidence.trace
    values: dict[str, object] = {
        "protocol": edge.protocol,
        "layers": ",".join(edge.layers),
        "via": ",".join(edge.via),
        "calls_per_second": calls.calls_per_second if calls else None,
        "error_ratio": calls.error_ratio if calls else None,
    }
    ends = f"source={_xml_attribute(edge.source)} target={_xml_attribute(edge.target)}"
    return f"    <edge id={_xml_attribute(edge.id)} {ends}>{_graphml_values('edge', values)}</edge>"


def _nodegraph(graph: Graph) -> str:
    return msgspec.json.encode(frames(graph)).decode()


_FORMATS: dict[str, tuple[Callable[[Graph], str], str]] = {
    "nodegraph": (_nodegraph, "application/json"),
    "dot": (dot, "text/vnd.graphviz"),
    "graphml": (graphml, "application/graphml+xml"),
    "mermaid": (mermaid, "text/vnd.mermaid"),
}
MEDIA_TYPES = tuple(media_type for _, media_type in _FORMATS.values())
