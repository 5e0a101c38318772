"""Addresses that resources of OpenTelemetry say are their own, as claims of ownership.

Invariant: what is claimed depends on the resources' spans alone, not on the order in which they come: a heartbeat in
each half minute in which a resource's spans of one request begin first and last.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping, Sequence

import numpy as np

BEAT_S = 30  # as often as agents claim what is their host's
_POD_KEYS = ("k8s.pod.ip", "container.ip")
_HOST_KEYS = ("host.ip", "net.host.ip")
_MOST_ADDRESSES = 16  # of one resource

Beat = tuple[str, str, int]  # address, service id, begin of a half minute in Unix seconds


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


def beats_of(
    owned: Sequence[tuple[str, Sequence[str]]], resource: np.ndarray, start_ns: np.ndarray, usable: np.ndarray
) -> set[Beat]:
    """Return the heartbeats of a batch.

    Args:
        owned: service id and addresses of each resource, R of them.
        resource: int[N], which resource a span has, rising; start_ns: int64[N]; usable: bool[N].
    """
    telling = np.array([bool(service and addresses) for service, addresses in owned], np.bool_)
    rows = np.flatnonzero(usable & telling[resource])
    if not len(rows):
        return set()
    of_row = resource[rows]
    firsts = np.flatnonzero(np.append(True, of_row[1:] != of_row[:-1]))
    bounds = (np.minimum.reduceat(start_ns[rows], firsts), np.maximum.reduceat(start_ns[rows], firsts))
    return {
        (address, owned[code][0], at // (BEAT_S * 10**9) * BEAT_S)
        for code, *instants in zip(of_row[firsts].tolist(), *(bound.tolist() for bound in bounds), strict=True)
        for address in owned[code][1]
        for at in instants
    }
