"""Flows as columns: one NumPy record for each flow record and ten seconds, addresses and names as dense codes.

Invariant: a record's bytes are the sum over its buckets, and its connections are counted in its first bucket. Codes
belong to one `FlowVocabulary`, made once a process. The store keeps the texts themselves.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from chronotope.ingest.columns.codes import Interner

MEASURES = (
    "connections", "failed_connections", "bytes_sent", "bytes_received", "retransmits", "rtt_us_sum", "rtt_count"
)  # fmt: skip

TCP, UDP = 0, 1
TRANSPORTS = ("tcp", "udp")
CLIENT, SERVER = 1, 2
OBSERVERS = ("", "client", "server")
UNSETTLED = -2
OWNED_SOURCE, OWNED_TARGET = 1, 2

FLOW = np.dtype(
    [
        ("bucket", "<i8"),  # Unix seconds, a multiple of 10
        ("start", "<i8"),  # of the record, Unix milliseconds: the owners are those of this instant
        ("first", "<i8"),  # of the part in the bucket, Unix milliseconds
        ("last", "<i8"),
        *((name, "<i8") for name in MEASURES),
        ("client", "<i4"),  # FlowVocabulary.addresses
        ("server", "<i4"),
        ("own", "<i4"),  # FlowVocabulary.names: the service of the observing end, as its agent names it; -1: none
        ("source", "<i4"),  # FlowVocabulary.nodes: the owner of the client's address; set by attribution
        ("target", "<i4"),
        (
            "caller",
            "<i4",
        ),  # `source`, or the client as the other end names it; set by `settle`, like the next two and `counts`
        ("callee", "<i4"),  # the service that really answered, FlowVocabulary.nodes; UNSETTLED until it is decided
        ("callee_port", "<u2"),
        ("client_port", "<u2"),  # 0: several connections are summed
        ("server_port", "<u2"),
        ("transport", "u1"),
        ("observer", "u1"),
        ("direction", "u1"),
        ("owned", "u1"),  # OWNED_SOURCE and OWNED_TARGET: ends that are services, not unowned addresses
        ("counts", "u1"),  # 0: the other end's report counts
    ]
)


@dataclass(slots=True)
class FlowVocabulary:
    """All dense codes of a process. A node is a service id; its kind is what was last known of it."""

    addresses: Interner[str] = field(default_factory=Interner)
    names: Interner[str] = field(default_factory=Interner)
    nodes: Interner[str] = field(default_factory=Interner)
    kinds: dict[int, str] = field(default_factory=dict)
    protocols: Interner[str] = field(default_factory=Interner)

    def node(self, service: str, kind: str) -> int:
        """Return the code of a service id, and note its kind."""
        code = self.nodes.code(service)
        self.kinds[code] = kind
        return code
