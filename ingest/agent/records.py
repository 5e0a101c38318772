"""The kernel's flows as flow records of the HTTP API.

Invariant: a record's client is the end that opened the connection, whether it is local or remote; bytes are counted
from the client's view. A flow with no news (no bytes, nothing opened or failed) makes no record.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from chronotope.bpf.records import CLIENT, PORT, SERVER, SYN, UDP
from chronotope.ingest.flows.ports import second_serves
from chronotope.ingest.hosts.naming import Owner
from chronotope.ingest.hosts.translations import Translations
from chronotope.schema.addresses import IPV4_PREFIX
from chronotope.schema.observations import BY_ORDER, BY_PORT, BY_SYN, DIRECTIONS

_MS = 1_000_000
_TIME = pa.timestamp("ms", tz="UTC")
_OBSERVERS, _TRANSPORTS = ("client", "server"), ("tcp", "udp")


class Interval(NamedTuple):
    """Unix milliseconds, `start <= t < end`; within ten seconds on the clock unless asked for longer ones."""

    start_ms: int
    end_ms: int


class Observer(NamedTuple):
    """The observing host: its name, its own network namespace, and its clock."""

    host: str
    netns: int
    wall_less_monotonic_ns: int


class DirectedFlows(NamedTuple):
    """Flows of one interval with client and server: FLOW[N], and columns of N."""

    flows: np.ndarray
    is_server: np.ndarray  # bool: the local end is the server
    direction: np.ndarray  # index into DIRECTIONS
    client: np.ndarray  # V16
    server: np.ndarray
    client_port: np.ndarray
    server_port: np.ndarray


def directed_flows(flows: np.ndarray, ours: Collection[tuple[str, int]] = (), own_pid: int = 0) -> DirectedFlows:
    """Return the flows that have news, without our own.

    Args:
        flows: FLOW[N] without listeners.
        ours: addresses and ports from which we talk to our server: it may be on this very host.
        own_pid: our process.
    """
    news = ("bytes_out", "bytes_in", "retransmits", "connections", "failed")
    keep = np.logical_or.reduce([flows[name] > 0 for name in news])
    if own_pid:
        keep &= flows["pid"] != own_pid
    for (
        address,
        port,
    ) in ours:  # either end: for our own connections that were already open, the process may not be known
        for end in ("local", "remote"):
            keep &= (flows[f"{end}_port"] != port) | (flows[f"{end}_address"] != _packed(address))
    flows = flows[keep]
    is_server, direction = _roles(flows)
    local, remote = flows["local_address"], flows["remote_address"]
    own, other = flows["local_port"], flows["remote_port"]
    return DirectedFlows(
        flows,
        is_server,
        direction,
        client=np.where(is_server, remote, local),
        server=np.where(is_server, local, remote),
        client_port=np.where(is_server, other, own),
        server_port=np.where(is_server, own, other),
    )


def flow_table(
    seen: DirectedFlows,
    owners: Callable[[np.ndarray], tuple[np.ndarray, list[Owner]]],
    interval: Interval,
    observer: Observer,
    translations: Mapping[int, Translations],
) -> pa.Table:
    """Return the records as columns of the API.

    Args:
        seen: N flows.
        owners: gets FLOW[N]; returns the owner of each local end: int[N] into the list.
        interval: when they were seen.
        observer: who saw them.
        translations: translated connections.
    """
    flows, of_server = seen.flows, seen.is_server
    owner, names = owners(flows)
    start, end = _times(flows, interval, observer.wall_less_monotonic_ns)
    clients, servers = _address_texts(seen.client), _address_texts(seen.server)
    behind, behind_port = _behind(seen, translations)
    return pa.table(
        {
            "start": pa.array(start).view(_TIME),
            "end": pa.array(end).view(_TIME),
            "client_address": clients,
            "client_port": pa.array(seen.client_port, mask=seen.client_port == 0),
            "server_address": servers,
            "server_port": pa.array(seen.server_port),
            "transport": _named(flows["transport"] == UDP, _TRANSPORTS),
            "observer": _named(of_server, _OBSERVERS),
            "direction": _named(seen.direction, DIRECTIONS),
            "connections": pa.array(flows["connections"]),
            "failed_connections": pa.array(flows["failed"]),
            "active": pa.array(flows["alive"].astype(np.uint32)),
            "bytes_sent": pa.array(np.where(of_server, flows["bytes_in"], flows["bytes_out"])),
            "bytes_received": pa.array(np.where(of_server, flows["bytes_out"], flows["bytes_in"])),
            "retransmits": pa.array(flows["retransmits"]),
            "rtt_us_sum": pa.array(flows["rtt_us_sum"]),
            "rtt_count": pa.array(flows["rtt_count"]),
            "translated_server_address": behind,
            "translated_server_port": behind_port,
            "service": _named(owner, [each.service or None for each in names]),
            "namespace": _named(owner, [each.namespace or None for each in names]),
            "instance": _named(owner, [each.instance or observer.host for each in names]),
            "host": _hosts(seen, observer),
        }
    )


def _roles(flows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(whether the local end serves, how that is known). UDP does not always tell: then the ports decide."""
    role, origin = flows["role"], flows["origin"]
    guessed = (role != CLIENT) & (role != SERVER)
    remote_serves, ports_tell = second_serves(flows["local_port"], flows["remote_port"])
    known = (origin == PORT) | ~guessed | ports_tell
    direction = np.select([origin == SYN, known], [BY_SYN, BY_PORT], BY_ORDER)
    return (role == SERVER) | (guessed & ~remote_serves), direction


def _times(flows: np.ndarray, interval: Interval, offset_ns: int) -> tuple[np.ndarray, np.ndarray]:
    opened = (flows["opened_ns"].astype(np.int64) + offset_ns) // _MS
    last = (flows["at_ns"].astype(np.int64) + offset_ns) // _MS
    within = np.clip(opened, interval.start_ms, interval.end_ms - 1)
    start = np.where(flows["opened_ns"] > 0, within, interval.start_ms)
    summed = (flows["transport"] == UDP) | (flows["remote_port"] == 0) | (flows["local_port"] == 0)
    end = np.where(summed | (flows["alive"] > 0), interval.end_ms, np.clip(last, start, interval.end_ms))
    return start, end


def _behind(seen: DirectedFlows, translations: Mapping[int, Translations]) -> tuple[pa.Array, pa.Array]:
    """Return address and port of the real server, for clients' flows that were translated."""
    count = len(seen.flows)
    address, port = np.full(count, None, object), np.zeros(count, np.uint16)
    known = {connection: real for table in translations.values() for connection, real in table.items()}
    for row in np.flatnonzero(~seen.is_server & (seen.client_port > 0)).tolist() if known else ():
        real = known.get(
            (
                seen.client[row].tobytes(),
                int(seen.client_port[row]),
                seen.server[row].tobytes(),
                int(seen.server_port[row]),
                int(seen.flows["transport"][row]),
            )
        )
        if real:
            address[row], port[row] = address_text(real[0]), real[1]
    return pa.array(address, pa.string()), pa.array(port, mask=port == 0)


def _hosts(seen: DirectedFlows, observer: Observer) -> pa.DictionaryArray:
    """Return the host of each flow. Loopback of another namespace counts as another machine."""
    inside = (seen.flows["netns"] != observer.netns) & _is_loopback(seen.server)
    spaces, code = np.unique(np.where(inside, seen.flows["netns"], 0), return_inverse=True)
    return _named(code, [f"{observer.host}/{space}" if space else observer.host for space in spaces.tolist()])


def _is_loopback(addresses: np.ndarray) -> np.ndarray:
    """bool[N]: 127.0.0.0/8 and ::1."""
    octets = np.ascontiguousarray(addresses).view(np.uint8).reshape(-1, 16)
    of_ipv4 = (octets[:, :12] == np.frombuffer(IPV4_PREFIX, np.uint8)).all(axis=1)
    of_ipv6 = (octets == np.frombuffer(bytes(15) + b"\1", np.uint8)).all(axis=1)
    found: np.ndarray = np.where(of_ipv4, octets[:, 12] == 127, of_ipv6)
    return found


def _named(codes: np.ndarray, names: Sequence[str | None]) -> pa.DictionaryArray:
    """Return the names of codes, each written once. A code whose name is None is null."""
    absent = np.array([name is None for name in names] or [True])
    texts = pa.array([name or "" for name in names], pa.string())
    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32), mask=absent[codes.astype(np.int64)]), texts)


def _address_texts(addresses: np.ndarray) -> pa.DictionaryArray:
    """V16[N] as text, formatted once for each address."""
    halves = np.ascontiguousarray(addresses).view("<u8").reshape(-1, 2)
    high, high_code = np.unique(halves[:, 0], return_inverse=True)
    low, low_code = np.unique(halves[:, 1], return_inverse=True)
    pairs, code = np.unique(high_code * max(len(low), 1) + low_code, return_inverse=True)
    texts = [address_text(high[pair // len(low)].tobytes() + low[pair % len(low)].tobytes()) for pair in pairs.tolist()]
    return _named(code, texts)


def address_text(address: bytes) -> str:
    """Return 16 bytes as text, IPv4 in its own form."""
    full = ipaddress.IPv6Address(address)
    return str(full.ipv4_mapped or full)


def _packed(address: str) -> np.void:
    parsed = ipaddress.ip_address(address.partition("%")[0])
    packed = parsed.packed if parsed.version == 6 else IPV4_PREFIX + parsed.packed
    return np.void(packed)
