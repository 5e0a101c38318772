"""One packet stream that another collector observed, as a flow record.

Such sources report packets from a source to a destination. This module finds which of the two is the client: by who
sent SYN where that is known, else by the ports (`ingest.flows.ports`). Names that the source gives to addresses become
claims of ownership.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from chronotope.ingest.flows.ports import second_serves

FIN, SYN, RST, ACK = 1, 2, 4, 16
TCP_NUMBER, UDP_NUMBER = 6, 17


@dataclass(slots=True)
class End:
    """One end of the packets: its address and port, and the source's name for it (empty: none)."""

    address: str
    port: int
    service: str = ""


@dataclass(slots=True)
class ForeignFlow:
    """Packets from one end to the other, in an interval of Unix milliseconds.

    Attributes:
        seen_at_source: whether the host of the packets' source saw them; None: not known.
        seen_at_client: whether the client's host saw them, where the source of data says that; it goes before.
        from_client: whether the packets' source is the client; None: not known.
        opened, failed: connections.
    """

    source: End
    destination: End
    udp: bool
    start_ms: int
    end_ms: int
    bytes: int = 0
    opened: int = 0
    failed: int = 0
    seen_at_source: bool | None = None
    seen_at_client: bool | None = None
    from_client: bool | None = None
    rtt_us: int = 0

    def record(self) -> dict[str, Any]:
        """Return the flow record."""
        from_client, ports_tell = self.from_client, False
        if from_client is None:
            from_client, ports_tell = map(bool, second_serves(self.source.port, self.destination.port))
        client, server = (self.source, self.destination) if from_client else (self.destination, self.source)
        at_client = self.seen_at_client
        if at_client is None:
            at_client = from_client if self.seen_at_source in (True, None) else not from_client
        return {
            "start": self.start_ms,
            "end": max(self.end_ms, self.start_ms),
            "client_address": client.address,
            "client_port": client.port,
            "server_address": server.address,
            "server_port": server.port,
            "transport": "udp" if self.udp else "tcp",
            "observer": "client" if at_client else "server",
            "direction": self._direction(ports_tell=ports_tell),
            "connections": self.opened,
            "failed_connections": self.failed,
            "active": 1,
            "bytes_sent" if from_client else "bytes_received": self.bytes,
            "rtt_us_sum": self.rtt_us,
            "rtt_count": int(self.rtt_us > 0),
        }

    def _direction(self, *, ports_tell: bool) -> str:
        """Return how the client is known. Of two ports with the same rank, the lower one is no evidence."""
        if self.from_client is not None:
            return "port" if self.udp else "syn"
        return "port" if ports_tell else "unknown"


def client_by_flags(flags: int, both: int = SYN | ACK) -> bool | None:
    """Return whether the packets' source is the client, by TCP flags; None: they do not say.

    Args:
        flags: all flags of the packets, OR-ed.
        both: how the source of data marks an answer to SYN.
    """
    if flags & both == both:
        return False
    return True if flags & SYN else None
