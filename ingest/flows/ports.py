"""What ports say: which protocol is spoken at a service port, and which of two ports is the service's."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from chronotope.ingest.flows.rows import TCP, TRANSPORTS, UDP, FlowVocabulary
from chronotope.schema.config.flows import PORT_PROTOCOLS

MAX_PORT = 65535
WELL_KNOWN_BELOW, EPHEMERAL_FROM = 1024, 32768  # Linux's own range of ephemeral ports, and IANA's, begin here


def _service_ranks() -> np.ndarray:
    """Return uint8[65536]: 3 a port with a known protocol, 2 well-known, 1 registered, 0 ephemeral or no port."""
    ranks = np.zeros(MAX_PORT + 1, np.uint8)
    ranks[1:EPHEMERAL_FROM] = 1
    ranks[1:WELL_KNOWN_BELOW] = 2
    ranks[[int(key.partition("/")[0]) for key in PORT_PROTOCOLS]] = 3
    return ranks


_RANKS = _service_ranks()


def second_serves(first: np.ndarray | int, second: np.ndarray | int) -> tuple[np.ndarray, np.ndarray]:
    """Tell from the ports alone which of two ends is the server.

    Args:
        first, second: ports, one or N of them; 0: not known.

    Returns:
        Whether the second port is the server's: the one of higher rank, else the lower one. And whether the ranks tell
        this: of two ports of one rank, the lower one is a guess.
    """
    one, other = _RANKS[first], _RANKS[second]
    return (other > one) | ((other == one) & (np.asarray(second) <= first)), other != one


class PortProtocols:
    """Protocols by transport and service port. An unknown port has the protocol `tcp` or `udp`."""

    def __init__(self, ports: Mapping[str, str], vocabulary: FlowVocabulary) -> None:
        """Take a table of `5432` (TCP) or `53/udp` → protocol."""
        code = vocabulary.protocols.code
        self._codes = np.array([[code(name)] * (MAX_PORT + 1) for name in TRANSPORTS], np.int32)
        for key, protocol in ports.items():
            port, _, transport = key.partition("/")
            self._codes[UDP if transport == "udp" else TCP, int(port)] = code(protocol)

    def __call__(self, transport: np.ndarray, port: np.ndarray) -> np.ndarray:
        """Return the protocol of each row, int32[M] into FlowVocabulary.protocols."""
        found: np.ndarray = self._codes[transport, port]
        return found
