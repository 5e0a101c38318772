"""The addresses that resources of OpenTelemetry name as their own, as claims of ownership.

Invariant: the claims depend on the resources' spans alone, not on their order. A resource has a heartbeat in each half
minute in which its spans of one request begin first and last. A heartbeat is written once, as long as it is
remembered.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b

import numpy as np
import pyarrow as pa

from chronotope.ingest.identity.owners import RESOURCE, Ownership
from chronotope.ingest.records.identities import HEARTBEAT_S, claims_table

INTERVAL_S = 30  # as often as agents claim what is their host's
_POD_KEYS = ("k8s.pod.ip", "container.ip")
_HOST_KEYS = ("host.ip", "net.host.ip")
_MOST_ADDRESSES = 16  # of one resource
_MOST_REMEMBERED = 262_144  # heartbeats

Heartbeat = tuple[str, str, int]  # address, service id, begin of a half minute in Unix seconds


def own_addresses(attributes: Mapping[str, object], listed: Callable[[str], Sequence[str]]) -> tuple[str, ...]:
    """Return the addresses of a resource that others may reach it by.

    A pod's own address goes before those of its host, which it may share.

    Args:
        attributes: of the resource; a list is None there.
        listed: the texts of an attribute that is a list.
    """
    for keys in (_POD_KEYS, _HOST_KEYS):
        said = [one for key in keys if key in attributes for one in _said(attributes[key], key, listed)]
        found = dict.fromkeys(text for one in said if (text := _reachable(one)))
        if found:
            return tuple(found)[:_MOST_ADDRESSES]
    return ()


def _said(value: object, key: str, listed: Callable[[str], Sequence[str]]) -> Sequence[str]:
    return [value] if isinstance(value, str) else listed(key) if value is None else []


def _reachable(text: str) -> str:
    try:
        address = ipaddress.ip_address(text.strip())
    except ValueError:
        return ""
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    local = address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified
    return "" if local else str(address)


def heartbeats_of(
    owned: Sequence[tuple[str, Sequence[str]]], resource: np.ndarray, start_ns: np.ndarray, usable: np.ndarray
) -> set[Heartbeat]:
    """Return the heartbeats of a batch.

    Args:
        owned: service id and addresses of each resource, R of them.
        resource: int[N], which resource a span has, rising; start_ns: int64[N]; usable: bool[N].
    """
    claiming = np.array([bool(service and addresses) for service, addresses in owned], np.bool_)
    rows = np.flatnonzero(usable & claiming[resource])
    if not len(rows):
        return set()
    of_row = resource[rows]
    firsts = np.flatnonzero(np.append(True, of_row[1:] != of_row[:-1]))
    bounds = (np.minimum.reduceat(start_ns[rows], firsts), np.maximum.reduceat(start_ns[rows], firsts))
    return {
        (address, owned[code][0], at // (INTERVAL_S * 10**9) * INTERVAL_S)
        for code, *instants in zip(of_row[firsts].tolist(), *(bound.tolist() for bound in bounds), strict=True)
        for address in owned[code][1]
        for at in instants
    }


class ResourceClaims:
    """Writes what resources claim, each half minute of an address once. Not thread-safe."""

    def __init__(self, claim: Callable[[pa.Table, str], object]) -> None:
        """Take what makes columns of the table `identities` durable, under a token, and attributes by them."""
        self._claim = claim
        self._written: set[Heartbeat] = set()

    def __call__(self, heartbeats: Iterable[Heartbeat]) -> None:
        """Write heartbeats that were not written before."""
        new = sorted(set(heartbeats) - self._written)
        if not new:
            return
        claims = [
            Ownership(address, service, 0, "service", at * 1000, (at + HEARTBEAT_S) * 1000, True, RESOURCE)
            for address, service, at in new
        ]
        self._claim(claims_table(claims), blake2b(repr(new).encode(), digest_size=16).hexdigest())
        if len(self._written) + len(new) > _MOST_REMEMBERED:
            self._written.clear()
        self._written.update(new)
