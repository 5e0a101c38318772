"""Whose addresses they were: services of both ends of flows, at each flow's start.

Invariant: a row's end is the service that its own agent says, else the one that owned the address then, else the
address itself, `external` when it is public and `unknown` when it is not: never a guess.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

import numpy as np
from numba import njit

from chronotope.ingest.flows.rows import CLIENT, SERVER, FlowVocabulary
from chronotope.ingest.identity import Identities
from chronotope.ingest.spans.spanindex import SEED, slot_of, table_size


class Attribution:
    """Sets `source` and `target` of rows. Not thread-safe: the writer of flows has one."""

    def __init__(self, vocabulary: FlowVocabulary, aliases: Mapping[str, str]) -> None:
        self._vocabulary = vocabulary
        self._aliases = aliases
        self._bare = np.empty(0, np.int32)  # node of each address that nobody owns
        self._named = np.empty(0, np.int32)  # node of each service that an agent named
        self._owners: Identities | None = None
        self._owned = np.empty(0, np.int32)

    def __call__(self, rows: np.ndarray, owners: Identities) -> None:
        """Attribute FLOW[M] in place."""
        self._prepare(owners)
        start = np.ascontiguousarray(rows["start"])
        moment = _moments(start, owners)
        for end, address, observer, ports in (
            ("source", "client", CLIENT, np.zeros(len(rows), np.uint16)),
            ("target", "server", SERVER, np.ascontiguousarray(rows["server_port"])),
        ):
            codes = np.ascontiguousarray(rows[address])
            first, asked = _questions(codes, ports, moment, SEED)
            nodes = self._nodes(codes[first], ports[first], start[first], owners)
            own = (rows["observer"] == observer) & (rows["own"] >= 0)
            rows[end] = np.where(own, self._named[rows["own"]], nodes[asked])

    def _nodes(self, codes: np.ndarray, ports: np.ndarray, times_ms: np.ndarray, owners: Identities) -> np.ndarray:
        """Return whose the addresses were, or the addresses' own nodes."""
        service = owners.owners(self._vocabulary.addresses.values, ports, times_ms, codes).service
        nodes: np.ndarray = np.where(service >= 0, self._owned[service], self._bare[codes])
        return nodes

    def _prepare(self, owners: Identities) -> None:
        addresses, names = self._vocabulary.addresses, self._vocabulary.names
        if len(self._bare) < len(addresses):
            new = [
                self._vocabulary.node(address, bare_kind(address)) for address in addresses.values[len(self._bare) :]
            ]
            self._bare = np.append(self._bare, np.array(new, np.int32))
        if owners is self._owners and len(self._named) == len(names) + 1:
            return
        if owners is not self._owners:
            owned = [self._node(service, kind) for service, kind in owners.services]
            self._owned = np.array([*owned, -1], np.int32)
            self._owners = owners
        kinds = {service: kind for service, kind in owners.services}
        named = [self._node(name, kinds.get(name, "service")) for name in names.values]
        self._named = np.array([*named, -1], np.int32)

    def _node(self, service: str, kind: str) -> int:
        return self._vocabulary.node(self._aliases.get(service, service), kind)


def _moments(times_ms: np.ndarray, owners: Identities) -> np.ndarray:
    """Return int64[N]: where it is the same, an address has the same owner."""
    if not len(times_ms):
        return times_ms
    first, last = owners.moments(np.array([times_ms.min(), times_ms.max()]))
    return np.zeros(len(times_ms), np.int64) if first == last else owners.moments(times_ms)


@njit(cache=True, nogil=True)
def _questions(codes, ports, moments, seed):  # type: ignore[no-untyped-def]
    """Return the places of the first of each distinct (address, port, moment), and which of them each row asks for."""
    mask = np.uint64(table_size(len(codes)) - 1)
    table = np.full(mask + np.uint64(1), -1, np.int32)
    first = np.empty(len(codes), np.int64)
    asked = np.empty(len(codes), np.int32)
    count = 0
    for i in range(len(codes)):
        slot = slot_of(np.uint64(codes[i]), np.uint64(moments[i]), np.uint64(ports[i]), mask, seed)
        while table[slot] >= 0:
            known = first[table[slot]]
            if codes[known] == codes[i] and ports[known] == ports[i] and moments[known] == moments[i]:
                break
            slot = (slot + 1) & np.int64(mask)
        if table[slot] < 0:
            table[slot] = count
            first[count] = i
            count += 1
        asked[i] = table[slot]
    return first[:count], asked


def bare_kind(address: str) -> str:
    """Return the kind of the node of an address that nobody owns."""
    return "external" if ipaddress.ip_address(address.partition("%")[0]).is_global else "unknown"
