"""Whose addresses they were: services of both ends of flows, at each flow's start.

Invariant: a row's end is the service that its own agent says, else the one that owned the address then, else the
address itself, `external` when it is public and `unknown` when it is not: never a guess.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

import numpy as np

from chronotope.ingest.flows.rows import CLIENT, FlowVocabulary
from chronotope.ingest.identity import Identities


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
        texts = self._vocabulary.addresses.values
        for end, address, observer, ports in (
            ("source", "client", CLIENT, np.zeros(len(rows), np.int64)),
            ("target", "server", CLIENT + 1, rows["server_port"].astype(np.int64)),
        ):
            codes = rows[address]
            service = owners.owners(texts, ports, rows["start"], codes).service
            nodes = np.where(service >= 0, self._owned[service], self._bare[codes])
            own = (rows["observer"] == observer) & (rows["own"] >= 0)
            rows[end] = np.where(own, self._named[rows["own"]], nodes)

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


def bare_kind(address: str) -> str:
    """Return the kind of the node of an address that nobody owns."""
    return "external" if ipaddress.ip_address(address.partition("%")[0]).is_global else "unknown"
