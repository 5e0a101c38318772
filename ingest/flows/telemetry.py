"""Traffic of observability itself: flows that are no dependency of the observed system.

Invariant: a flow is telemetry when its service port, one of its addresses or one of its services is declared so.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from chronotope.ingest.flows.rows import FlowVocabulary
from chronotope.schema.addresses import BITS, AddressRange, observed_range, parse_address_range


class Telemetry:
    """The rules of the configuration's section `telemetry`."""

    def __init__(
        self, ports: Collection[int], addresses: Sequence[str], services: Collection[str], vocabulary: FlowVocabulary
    ) -> None:
        self._vocabulary = vocabulary
        self._ports = np.zeros(65536, np.bool_)
        self._ports[list(ports)] = True
        self._places = [parse_address_range(address) for address in addresses]
        self._services = frozenset(services)
        self._addresses = np.empty(0, np.bool_)
        self._nodes = np.empty(0, np.bool_)

    def rows(self, rows: np.ndarray, target: np.ndarray, port: np.ndarray) -> np.ndarray:
        """Return bool[M]: which rows are telemetry, given their real server and its port. Their callers are settled."""
        addresses, nodes = self._known()
        found: np.ndarray = self._ports[port] | nodes[rows["caller"]] | nodes[target]
        if self._places:
            found |= addresses[rows["client"]] | addresses[rows["server"]]
        return found

    def _known(self) -> tuple[np.ndarray, np.ndarray]:
        addresses, nodes = self._vocabulary.addresses.values, self._vocabulary.nodes.values
        more = [self._covers(address) for address in addresses[len(self._addresses) :]]
        self._addresses = np.append(self._addresses, np.array(more, np.bool_))
        named = [node in self._services for node in nodes[len(self._nodes) :]]
        self._nodes = np.append(self._nodes, np.array(named, np.bool_))
        return self._addresses, self._nodes

    def _covers(self, address: str) -> bool:
        return any(_holds(place, observed_range(address)) for place in self._places)


def _holds(network: AddressRange, place: AddressRange) -> bool:
    if network.bits < 0 or place.bits != BITS:
        return network == place
    return place.number >> (BITS - network.bits) == network.number >> (BITS - network.bits)
