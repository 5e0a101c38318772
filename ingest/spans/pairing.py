"""Which calls a set of spans shows, as a pure function over columns.

Invariant: the answer depends on the set of spans alone, not on their order. The pairer asks before and after spans
arrive and stores the difference. So order, batching and lateness cannot change the final counts.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numba import njit

from chronotope.ingest.columns.hashing import SEED
from chronotope.ingest.spans.columns import (
    CLIENT,
    CONSUMER,
    ERROR,
    LINK,
    PRODUCER,
    RELEASED,
    SERVER,
    UNSPECIFIED,
    Vocabulary,
)
from chronotope.ingest.spans.index import build_index, is_far, parents_of
from chronotope.ingest.spans.self_time import put_self_times
from chronotope.schema.observations import BOTH_VIEWS, HOPS_ONLY, REPORTER_SOURCE, REPORTER_TARGET, RESOLVED_ONLY

CALL = np.dtype(
    [
        ("time_ns", "<i8"),  # start of the server span, else of the client span
        ("latency_ns", "<i8"),  # -1: not known
        ("source", "<i4"),  # Vocabulary.nodes
        ("target", "<i4"),
        ("via", "<i4"),  # the topic between them; -1: none
        ("protocol", "<i4"),
        ("weight", "<i4"),
        ("error", "u1"),
        ("view", "u1"),
        ("reporter", "u1"),
    ]
)

# What became of a span that could be half of a call.
NO_HALF, PAIRED, WRAPPER, LONE, NO_PEER = range(5)
MAX_CLIMB = 64  # same-service ancestors looked at; deeper nesting and cycles end there


@dataclass(frozen=True, slots=True)
class Calls:
    """CALL[M], and for each of the N spans its role: NO_HALF, PAIRED, WRAPPER, LONE or NO_PEER.

    `self_times`, CALL[K]: own times of services and times between, see `self_time.py`; they are no calls.
    """

    calls: np.ndarray
    roles: np.ndarray
    self_times: np.ndarray = field(default_factory=lambda: np.empty(0, CALL))

    @property
    def rows(self) -> np.ndarray:
        """All that is to be stored."""
        return np.concatenate([self.calls, self.self_times])

    @property
    def no_peer(self) -> int:
        """Client spans that name nobody and were answered by nobody: they give no edge."""
        return int(np.count_nonzero(self.roles == NO_PEER))


@dataclass(slots=True)
class Rules:
    """Facts about codes that pairing needs: which nodes are topics or intermediaries, how much a protocol says."""

    vocabulary: Vocabulary
    entry_node: int = -1  # node that calls root server spans; -1: they make no edge
    _topics: np.ndarray | None = None
    _ranks: np.ndarray | None = None
    _stops: np.ndarray | None = None

    def topics(self) -> np.ndarray:
        """bool[nodes]: whether a node is a topic or queue."""
        nodes = self.vocabulary.nodes.values
        if self._topics is None or len(self._topics) != len(nodes):
            self._topics = np.array([node.kind == "messaging" for node in [*nodes]] or [False])
        return self._topics

    def stops(self) -> np.ndarray:
        """int32[2, nodes]: a number for each node's id, whatever its kind; whether it is an intermediary."""
        nodes = self.vocabulary.nodes.values
        if self._stops is None or self._stops.shape[1] < len(nodes):
            ids: dict[str, int] = {}
            known = [*nodes]
            numbers = [ids.setdefault(node.id, len(ids)) for node in known]
            self._stops = np.array([numbers, [node.kind == "intermediary" for node in known]], np.int32)
        return self._stops

    def ranks(self) -> np.ndarray:
        """uint8[protocols]: 0 unknown, 1 a transport of others, 2 says what is spoken."""
        names = self.vocabulary.protocols.values
        if self._ranks is None or len(self._ranks) != len(names):
            vague = {"unknown": 0, "tcp": 1, "udp": 1, "http": 1}
            self._ranks = np.array([vague.get(name, 2) for name in [*names]], np.uint8)
        return self._ranks


def calls_of(rows: np.ndarray, rules: Rules) -> Calls:
    """Return the calls that a set of spans shows.

    Args:
        rows: SPAN[N], all known spans of some traces, each once, with node codes in `peer`.
        rules: the meaning of the codes.

    Source: design policy "Spans → edges"; pairing as in Zipkin's DependencyLinker and the OpenTelemetry service
    graph connector, with the differences that policy names.
    """
    if not len(rows):
        return Calls(np.empty(0, CALL), np.empty(0, np.uint8))
    near, far = build_index(rows, SEED)
    parents = parents_of(rows, near, far, SEED)
    clients = _answering_clients(rows, parents)
    roles = _roles(rows, parents, clients)
    out = np.empty(3 * len(rows), CALL)
    count = _emit(rows, parents, clients, roles, rules.topics(), rules.stops(), rules.ranks(), rules.entry_node, out)
    self_times = np.empty(2 * len(rows), CALL)
    return Calls(out[:count], roles, self_times[: put_self_times(rows, parents, clients, self_times)])


@njit(cache=True, nogil=True)
def _is_client(row):  # type: ignore[no-untyped-def]
    kind = row["kind"]
    return kind == CLIENT or kind == PRODUCER or (kind == UNSPECIFIED and row["peer"] >= 0)


@njit(cache=True, nogil=True)
def _client_above(rows, parents, start, service):  # type: ignore[no-untyped-def]
    """The nearest client span at or above `start` within a service; -1 when a server span or nothing is there."""
    at = start
    for _ in range(MAX_CLIMB):
        if at < 0 or rows[at]["service"] != service:
            return -1
        if _is_client(rows[at]):
            return at
        if is_far(rows[at]["kind"]):
            return -1
        at = parents[at]
    return -1


@njit(cache=True, nogil=True)
def _is_remote(rows, parents, i):  # type: ignore[no-untyped-def]
    parent = parents[i]
    return parent >= 0 and rows[parent]["service"] != rows[i]["service"]


@njit(cache=True, nogil=True)
def _answering_clients(rows, parents):  # type: ignore[no-untyped-def]
    """For each span whose parent is in another service: the client span it answers, else -1."""
    clients = np.full(len(rows), -1, np.int32)
    for i in range(len(rows)):
        if _is_remote(rows, parents, i):
            clients[i] = _client_above(rows, parents, parents[i], rows[parents[i]]["service"])
    return clients


@njit(cache=True, nogil=True)
def _roles(rows, parents, clients):  # type: ignore[no-untyped-def]
    """A client span is paired when it, or one it wraps, is answered; a wrapper of one to its own peer is no call."""
    roles = np.zeros(len(rows), np.uint8)
    for i in range(len(rows)):
        if _is_client(rows[i]):
            roles[i] = LONE if rows[i]["peer"] >= 0 else NO_PEER
        elif is_far(rows[i]["kind"]) and rows[i]["peer"] >= 0 and parents[i] < 0:
            roles[i] = LONE
    for i in range(len(rows)):
        at = clients[i]
        while at >= 0 and roles[at] != PAIRED:
            roles[at] = PAIRED
            at = _client_above(rows, parents, parents[at], rows[at]["service"])
    for i in range(len(rows)):
        if _is_client(rows[i]) and (roles[i] == LONE or roles[i] == WRAPPER):
            above = _client_above(rows, parents, parents[i], rows[i]["service"])
            if above >= 0 and rows[above]["peer"] == rows[i]["peer"] and roles[above] == LONE:
                roles[above] = WRAPPER
    return roles


@njit(cache=True, nogil=True)
def _duration(row):  # type: ignore[no-untyped-def]
    """Nanoseconds; -1 when it is not known: decoders let a span without an end end at its start."""
    took = row["end_ns"] - row["start_ns"]
    return took if took > 0 else -1


@njit(cache=True, nogil=True)
def _put(out, at, row, source, target, via, protocol, view, reporter):  # type: ignore[no-untyped-def]
    call = out[at]
    call["time_ns"] = row["start_ns"]
    call["latency_ns"] = _duration(row)
    call["source"] = source
    call["target"] = target
    call["via"] = via
    call["protocol"] = protocol
    call["weight"] = row["weight"]
    call["error"] = row["flags"] & ERROR
    call["view"] = view
    call["reporter"] = reporter
    return at + 1


@njit(cache=True, nogil=True)
def _put_pair(out, at, rows, i, parent, client, topics, stops, ranks):  # type: ignore[no-untyped-def]
    """A call with both ends known; through a topic or an intermediary it is seen in the resolved view only."""
    row = rows[i]
    via = np.int32(-1)
    if row["kind"] == CONSUMER and row["peer"] >= 0 and topics[row["peer"]]:
        via = row["peer"]
    elif client >= 0 and rows[client]["peer"] >= 0 and topics[rows[client]["peer"]]:
        via = rows[client]["peer"]
    between = -1 if client < 0 or via >= 0 else _between(rows[client]["peer"], rows[parent], row, stops)
    if between >= 0:
        via = np.int32(between)
    protocol = row["protocol"]
    said = client if client >= 0 else parent
    if client >= 0 or rows[parent]["kind"] == UNSPECIFIED:
        spoken = rows[said]["protocol"]
        if ranks[spoken] >= ranks[protocol]:
            protocol = spoken
    view = RESOLVED_ONLY if via >= 0 else BOTH_VIEWS
    end = _put(out, at, row, rows[parent]["service"], row["service"], via, protocol, view, REPORTER_TARGET)
    if client >= 0 and rows[client]["kind"] != UNSPECIFIED:
        out[at]["error"] |= rows[client]["flags"] & ERROR
        if rows[client]["kind"] == CLIENT and (via < 0 or between >= 0) and _duration(rows[client]) >= 0:
            out[at]["latency_ns"] = _duration(rows[client])
            out[at]["reporter"] = REPORTER_SOURCE
    return _put_hops(out, at, end, row, between) if between >= 0 else end


@njit(cache=True, nogil=True)
def _between(peer, caller, row, stops):  # type: ignore[no-untyped-def]
    """The intermediary that a client span names as its peer while another service answers it, -1: none."""
    if peer < 0 or not stops[1, peer] or row["service"] < 0 or caller["service"] < 0:
        return np.int32(-1)
    own = stops[0, peer]
    return np.int32(-1) if own == stops[0, row["service"]] or own == stops[0, caller["service"]] else peer


@njit(cache=True, nogil=True)
def _put_hops(out, at, end, row, between):  # type: ignore[no-untyped-def]
    """The two hops of the call at `at`: to the intermediary as the caller saw it, from there as the server did."""
    out[end] = out[at]
    out[end]["target"] = between
    out[end + 1] = out[at]
    out[end + 1]["source"] = between
    out[end + 1]["latency_ns"] = _duration(row)
    out[end + 1]["reporter"] = REPORTER_TARGET
    for hop in range(end, end + 2):
        out[hop]["via"] = -1
        out[hop]["view"] = HOPS_ONLY
    return end + 2


@njit(cache=True, nogil=True)
def _put_own(out, at, row, found, role, topics, entry):  # type: ignore[no-untyped-def]
    """Emit the call that a span shows alone: the hop to or from a topic, or a half whose other half is not known.

    `found`: for a server or consumer span, whether its parent is another service.
    """
    peer, service = row["peer"], row["service"]
    topic = peer >= 0 and topics[peer]
    if row["kind"] == CONSUMER and topic:
        view = HOPS_ONLY if found else BOTH_VIEWS
        return _put(out, at, row, peer, service, -1, row["protocol"], view, REPORTER_TARGET)
    if _is_client(row):
        if topic and service >= 0:
            view = HOPS_ONLY if role == PAIRED else BOTH_VIEWS
            return _put(out, at, row, service, peer, -1, row["protocol"], view, REPORTER_SOURCE)
        if role == LONE and peer != service and row["flags"] & RELEASED:
            return _put(out, at, row, service, peer, -1, row["protocol"], BOTH_VIEWS, REPORTER_SOURCE)
        return at
    if row["flags"] & LINK or not is_far(row["kind"]):
        return at
    if role == LONE and peer != service and (row["parent"] == 0 or row["flags"] & RELEASED):
        return _put(out, at, row, peer, service, -1, row["protocol"], BOTH_VIEWS, REPORTER_TARGET)
    if role == NO_HALF and row["parent"] == 0 and not found and row["kind"] == SERVER and entry >= 0:
        return _put(out, at, row, entry, service, -1, row["protocol"], BOTH_VIEWS, REPORTER_TARGET)
    return at


@njit(cache=True, nogil=True)
def _emit(rows, parents, clients, roles, topics, stops, ranks, entry, out):  # type: ignore[no-untyped-def]
    at = 0
    for i in range(len(rows)):
        remote = _is_remote(rows, parents, i)
        if remote:
            at = _put_pair(out, at, rows, i, parents[i], clients[i], topics, stops, ranks)
        at = _put_own(out, at, rows[i], remote, roles[i], topics, entry)
    return at
