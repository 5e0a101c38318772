"""Claims of ownership for the host's own addresses, sent to the server as heartbeats.

Invariant: an address is claimed for a service without a port only if its network namespace has shown one service and no
other. Otherwise each address and port is claimed for the process that listens there. Loopback is never claimed.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from chronotope.ingest.agent.records import address_text
from chronotope.ingest.hosts.naming import Owner

_TIME = pa.timestamp("ms", tz="UTC")


class Claim(NamedTuple):
    """An address, and a port or 0 for any, of a service."""

    address: str
    port: int
    service: str
    namespace: str


class Listener(NamedTuple):
    """A listening socket: its namespace, its address and port, and its owner."""

    netns: int
    address: str  # also the unspecified one
    port: int
    takes_ipv4: bool  # an IPv6 socket that serves IPv4 as well
    owner: Owner


def listeners_from(found: np.ndarray, owners: Iterable[Owner]) -> list[Listener]:
    """Return the listeners in an answer of FlowProgram.read: FLOW[N], with N owners."""
    return [
        Listener(
            int(row["netns"]),
            address_text(row["local_address"].tobytes()),
            int(row["local_port"]),
            bool(row["failed"]),
            owner,
        )
        for row, owner in zip(found, owners, strict=True)
    ]


def claims(
    listeners: Iterable[Listener], addresses: Mapping[int, Collection[str]], seen: Mapping[int, Collection[Owner]]
) -> frozenset[Claim]:
    """Return the claims for now.

    Args:
        listeners: all of the host.
        addresses: of each network namespace.
        seen: whose connections were seen in each namespace, listeners' owners included.
    """
    found = set()
    alone = {netns: _only(owners) for netns, owners in seen.items()}
    for netns, owner in alone.items():
        if owner:
            found |= {Claim(address, 0, *owner) for address in addresses.get(netns, ())}
    for listener in listeners:
        service = listener.owner.service
        if service and not alone.get(listener.netns):
            for address in _served(listener, addresses.get(listener.netns, ())):
                found.add(Claim(address, listener.port, service, listener.owner.namespace))
    return frozenset(found)


def claim_table(of: Iterable[Claim], from_ms: int) -> pa.Table:
    """Return claims as the columns of `POST /api/v1/identities`; without an end, each is a heartbeat."""
    rows = sorted(of)
    columns = list(zip(*rows, strict=True)) or [(), (), (), ()]
    return pa.table(
        {
            "address": pa.array(columns[0], pa.string()),
            "port": pa.array([port or None for port in columns[1]], pa.uint16()),
            "service": pa.array(columns[2], pa.string()),
            "namespace": pa.array(columns[3], pa.string()),
            "from": pa.array([from_ms] * len(rows), pa.int64()).view(_TIME),
        }
    )


def _only(owners: Collection[Owner]) -> tuple[str, str] | None:
    services = {(owner.service, owner.namespace) for owner in owners}
    only = next(iter(services)) if len(services) == 1 else ("", "")
    return only if only[0] else None


def _served(listener: Listener, addresses: Collection[str]) -> Collection[str]:
    """Return the addresses of a listener's namespace that it serves."""
    bound = ipaddress.ip_address(listener.address)
    if not bound.is_unspecified:
        return [listener.address] if listener.address in addresses else []
    if bound.version == 6:
        return [address for address in addresses if ":" in address or listener.takes_ipv4]
    return [address for address in addresses if ":" not in address]
