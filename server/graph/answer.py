"""The records of a graph's answer, as they are encoded.

No record refers to its container, so the garbage collector need not track them: 10,000 edges are 40,000 records.

Invariant: an absent field is not encoded. A number that cannot be computed is null, never 0 or NaN.
"""

from __future__ import annotations

from typing import Literal

from msgspec import UNSET, Struct, UnsetType, field

Kind = Literal["service", "database", "messaging", "external", "intermediary", "unknown"]
Layer = Literal["network", "ipc", "trace"]


class Window(Struct, gc=False):
    """The window used, half-open, and the bucket by which its ends could be cut."""

    from_: str = field(name="from")
    to: str
    seconds: int
    resolution_seconds: int


class Latency(Struct, gc=False):
    """Milliseconds; the quantiles only with `measures=full`."""

    mean: float | None
    p50: float | UnsetType | None = UNSET
    p95: float | UnsetType | None = UNSET
    p99: float | UnsetType | None = UNSET


class RoundTrip(Struct, gc=False):
    """Milliseconds for the way there and back in the network."""

    mean: float | None


class Calls(Struct, gc=False):
    """What traces or client/server metrics tell of an edge.

    `latency_at`: which end measured it. `codes`: calls by response code, where one is known, only with `measures=full`.
    """

    calls: int
    errors: int
    calls_per_second: float
    error_ratio: float | None
    latency_ms: Latency
    latency_at: Literal["source", "target", "mixed"] | UnsetType | None = UNSET
    connections: int | UnsetType = UNSET
    bytes_sent: int | UnsetType = UNSET
    bytes_received: int | UnsetType = UNSET
    codes: dict[str, int] | UnsetType = UNSET


class Flows(Struct, gc=False):
    """What the network tells of an edge; bytes as the source sees them."""

    connections: int
    failed_connections: int
    bytes_sent: int
    bytes_received: int
    retransmits: int
    rtt_ms: RoundTrip


class Evidence(Struct, gc=False):
    """An edge's measures by layer; layers are never added together."""

    network: Flows | UnsetType = UNSET
    ipc: Calls | UnsetType = UNSET
    trace: Calls | UnsetType = UNSET


class Edge(Struct, gc=False):
    """A directed dependency: caller → callee over a protocol.

    `confidence`: the probability that it is there if `inferred`, else that the caller is the one who calls.
    """

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
    evidence: Evidence


class CallTotals(Struct, gc=False):
    """Calls of all inbound, or all outbound, edges of a node."""

    calls: int
    errors: int


class FlowTotals(Struct, gc=False):
    """Flows of all inbound, or all outbound, edges of a node."""

    connections: int
    failed_connections: int
    bytes_sent: int
    bytes_received: int


class NodeTotals(Struct, gc=False):
    """Totals of a node in one direction, by layer."""

    network: FlowTotals | UnsetType = UNSET
    ipc: CallTotals | UnsetType = UNSET
    trace: CallTotals | UnsetType = UNSET


class Node(Struct, gc=False):
    """A service, or with `group_by` all services with one value (`members` of them; `internal` is between those).

    Inbound and outbound are the node's own, over all its edges in the window, whatever is filtered. `x` (to the right)
    and `y` (down): where it is drawn, when that was asked for.
    """

    id: str
    name: str
    namespace: str
    kind: Kind
    attributes: dict[str, str]
    layers: list[Layer]
    inbound: NodeTotals
    outbound: NodeTotals
    members: int | UnsetType = UNSET
    internal: NodeTotals | UnsetType = UNSET
    x: float | UnsetType = UNSET
    y: float | UnsetType = UNSET


class Totals(Struct, gc=False):
    """How many there are in all, also beyond the limit."""

    nodes: int
    edges: int


class Graph(Struct, gc=False):
    """The topology of a window. Nodes by id; edges by source, target, protocol."""

    window: Window
    nodes: list[Node]
    edges: list[Edge]
    truncated: bool
    totals: Totals
