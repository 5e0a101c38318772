"""What a service port says: the protocol that is spoken there."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from chronotope.ingest.flows.rows import TCP, TRANSPORTS, UDP, FlowVocabulary

MAX_PORT = 65535


class PortProtocols:
    """Protocols by transport and service port; what no table knows is `tcp` or `udp`."""

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
