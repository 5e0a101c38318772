"""Spans as columns: one NumPy record a span, strings as dense codes.

Every decoder (OTLP, Jaeger, Zipkin, Parquet) makes a `SpanBatch`; pairing reads nothing else. Codes belong to one
`Vocabulary`, made once a process. The store keeps the strings themselves.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from chronotope.ingest.columns.codes import Interner

# Kinds as OTLP numbers them.
UNSPECIFIED, INTERNAL, SERVER, CLIENT, PRODUCER, CONSUMER = range(6)

# Flags of a span row.
ERROR = 1  # span status is ERROR
SHARED = 2  # Zipkin: client and server half carry one span id
LINK = 4  # not a span: a span link, standing in the linked trace as one more child
RELEASED = 8  # its lone half may make an edge now; without this flag, the other half is still awaited

SPAN = np.dtype(
    [
        ("trace_hi", "<u8"),  # ids are big-endian numbers of their bytes; a 64-bit trace id has trace_hi 0
        ("trace_lo", "<u8"),
        ("span", "<u8"),
        ("parent", "<u8"),  # 0: no parent
        ("start_ns", "<i8"),  # Unix nanoseconds
        ("end_ns", "<i8"),
        ("service", "<i4"),  # Vocabulary.nodes; -1: the span names no service
        ("peer", "<i4"),  # Vocabulary.hints as decoded, Vocabulary.nodes once resolved; -1: none
        ("protocol", "<i4"),  # Vocabulary.protocols
        ("weight", "<i4"),  # calls this span stands for (sampling); 1 when unsampled
        ("kind", "u1"),
        ("flags", "u1"),
    ]
)

# Real clocks: 2000-01-01 to 2100-01-01. A time outside comes from a broken clock, and is skipped by name.
EARLIEST_NS = 946_684_800 * 10**9
LATEST_NS = 4_102_444_800 * 10**9


class Node(NamedTuple):
    """A service id and its kind (`service`, `database`, `messaging`, `external`, `intermediary`, `unknown`)."""

    id: str
    kind: str = "service"


class PeerHint(NamedTuple):
    """What a span's attributes say of its peer, before the owner of the address is looked up.

    For a client or producer the other side is the callee; for a server it is the caller; for a consumer (and a
    producer) with a messaging system it is the topic or queue. `node` is set when the attributes settle it alone
    (a topic); else `service` (`peer.service`) wins over an identity of `address`:`port`, over `name`@`address`.
    """

    kind: str = "external"  # external, database, messaging
    service: str = ""  # peer.service, Zipkin's remote service name
    address: str = ""  # server.address, else network.peer.address; for a server span the peer's address
    port: int = 0
    name: str = ""  # database name, or topic
    system: str = ""  # db.system, messaging.system


@dataclass(slots=True)
class Vocabulary:
    """All dense codes of a process. Protocol code 0 is `unknown`."""

    nodes: Interner[Node] = field(default_factory=Interner)
    hints: Interner[PeerHint] = field(default_factory=Interner)
    protocols: Interner[str] = field(default_factory=lambda: Interner(["unknown"]))

    def service(self, service: str) -> int:
        """Return the node code of a service id; -1 when it is empty."""
        return self.nodes.code(Node(service)) if service else -1


@dataclass(slots=True)
class SpanBatch:
    """N spans and what was learnt with them.

    `rows` is SPAN[N] with hint codes in `peer`. `skipped` counts input that made no row, by reason
    (`no_service`, `bad_id`, `time_out_of_range`, `no_peer`, …). `attributes` holds the attributes of
    resources seen for the first time by this decoder: service id → {key: value}. `heartbeats` are the heartbeats of
    resources that say their own address: (address, service id, begin of a half minute in Unix seconds).
    """

    rows: np.ndarray
    skipped: Counter[str] = field(default_factory=Counter)
    attributes: dict[str, dict[str, str]] = field(default_factory=dict)
    read: int = 0  # spans in the input, also those that were skipped
    heartbeats: set[tuple[str, str, int]] = field(default_factory=set)


def join_batches(batches: Sequence[SpanBatch]) -> SpanBatch:
    """Concatenate batches that share a vocabulary."""
    if len(batches) == 1:
        return batches[0]
    joined = SpanBatch(np.concatenate([b.rows for b in batches]) if batches else np.empty(0, SPAN))
    for batch in batches:
        joined.skipped.update(batch.skipped)
        joined.attributes.update(batch.attributes)
        joined.read += batch.read
        joined.heartbeats |= batch.heartbeats
    return joined
