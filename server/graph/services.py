"""The services of a window, and one of them with its callers and callees. Pure over a graph."""

from __future__ import annotations

from msgspec import Struct

from chronotope.schema.names import split_service_id
from chronotope.server.context.changes import ServiceChange
from chronotope.server.graph.answer import Edge, Graph, Kind, Layer, Node, NodeTotals, Window
from chronotope.server.graph.assemble import Directory


class Degree(Struct, gc=False):
    """How many different services call it, and how many it calls."""

    inbound: int
    outbound: int


class Service(Struct):
    """A service in a window."""

    id: str
    name: str
    namespace: str
    kind: Kind
    attributes: dict[str, str]
    layers: list[Layer]
    degree: Degree
    inbound: NodeTotals
    outbound: NodeTotals


class Services(Struct):
    """All services of a window, by id."""

    window: Window
    services: list[Service]


class ServiceDetail(Struct):
    """One service: who calls it, and whom it calls, with the evidence; what changed of it in the hour before the
    window and in it."""

    window: Window
    service: Service
    callers: list[Edge]
    callees: list[Edge]
    changes: list[ServiceChange]


def services_of(graph: Graph, *, search: str, namespaces: tuple[str, ...], kinds: tuple[str, ...]) -> Services:
    """Return the services of a graph that have a text in their id, and are in a namespace and of a kind."""
    callers: dict[str, set[str]] = {}
    callees: dict[str, set[str]] = {}
    for edge in graph.edges:
        callers.setdefault(edge.target, set()).add(edge.source)
        callees.setdefault(edge.source, set()).add(edge.target)
    wanted = [
        _service(node, len(callers.get(node.id, ())), len(callees.get(node.id, ())))
        for node in graph.nodes
        if search.casefold() in node.id.casefold()
        and (not namespaces or node.namespace in namespaces)
        and (not kinds or node.kind in kinds)
    ]
    return Services(graph.window, wanted)


def service_detail(graph: Graph, service: str, directory: Directory, changes: list[ServiceChange]) -> ServiceDetail:
    """Return one service of a graph of its neighbourhood; it may have no edge in the window."""
    callers = [edge for edge in graph.edges if edge.target == service]
    callees = [edge for edge in graph.edges if edge.source == service]
    node = next((node for node in graph.nodes if node.id == service), None)
    if node is None:
        namespace, name = split_service_id(service)
        kind: Kind = directory.kinds[service]  # type: ignore[assignment]
        attributes = directory.attributes.get(service, {})
        node = Node(service, name, namespace, kind, attributes, [], NodeTotals(), NodeTotals())
    inbound, outbound = len({edge.source for edge in callers}), len({edge.target for edge in callees})
    return ServiceDetail(graph.window, _service(node, inbound, outbound), callers, callees, changes)


def _service(node: Node, inbound: int, outbound: int) -> Service:
    return Service(
        node.id,
        node.name,
        node.namespace,
        node.kind,
        node.attributes,
        node.layers,
        Degree(inbound, outbound),
        node.inbound,
        node.outbound,
    )
