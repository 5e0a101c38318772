"""The records of an answer, as they are encoded.

None refers back to what holds it, so the garbage collector need not look at them: 10,000 edges are 40,000 records.

Invariant: a field that is absent is not encoded; a number that cannot be computed is null, never 0 or NaN.
"""

from __future__ import annotations

from typing import Literal

from msgspec import UNSET, Struct, UnsetType, field

Kind = Literal["service", "database", "messaging", "external", "intermediary", "unknown"]
Layer = Literal["network", "ipc", "trace"]


class Window(Struct, gc=False):
    """The window used, half-open, and the bucket its ends could be cut by."""

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
    """Milliseconds that the network took there and back."""

    mean: float | None


class Calls(Struct, gc=False):
    """What traces or client/server metrics say of an edge.

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
    """What the network says of an edge; bytes as the source sees them."""

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
    """Calls of all edges on one side of a node."""

    calls: int
    errors: int


class FlowTotals(Struct, gc=False):
    """Flows of all edges on one side of a node."""

    connections: int
    failed_connections: int
    bytes_sent: int
    bytes_received: int


class NodeTotals(Struct, gc=False):
    """One side of a node by layer."""

    network: FlowTotals | UnsetType = UNSET
    ipc: CallTotals | UnsetType = UNSET
    trace: CallTotals | UnsetType = UNSET


class Node(Struct, gc=False):
    """A service, or with `group_by` all with one value (`members` of them; `internal` is between those).

    Inbound and outbound are the node's own, over all its edges in the window, however the picture is cropped.
    `x` (to the right) and `y` (down): where it is drawn, when that was asked for.
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
    """How many there are, also beyond the limit."""

    nodes: int
    edges: int


class Graph(Struct, gc=False):
    """The topology of a window. Nodes by id; edges by source, target, protocol."""

    window: Window
    nodes: list[Node]
    edges: list[Edge]
    truncated: bool
    totals: Totals
