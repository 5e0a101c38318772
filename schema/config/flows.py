"""The sections of the configuration for network flows.

Invariant: port keys are ports 1 to 65535, of TCP unless they end in `/udp`.
"""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from chronotope.schema.config.section import Address, Section
from chronotope.schema.names import clean_name

# What is spoken at a port when nothing else says so: only ports that hardly ever mean anything else.
PORT_PROTOCOLS = {
    "80": "http", "443": "tls", "22": "ssh", "25": "smtp", "389": "ldap", "636": "ldap", "53": "dns", "53/udp": "dns",
    "123/udp": "ntp", "443/udp": "quic", "1433": "mssql", "1521": "oracle", "2049": "nfs", "2181": "zookeeper",
    "2379": "etcd", "2380": "etcd", "3306": "mysql", "4222": "nats", "5432": "postgresql", "5671": "amqp",
    "5672": "amqp", "6379": "redis", "6380": "redis", "9042": "cassandra", "9092": "kafka", "9093": "kafka",
    "9200": "elasticsearch", "9300": "elasticsearch", "11211": "memcached", "27017": "mongodb", "50051": "grpc",
}  # fmt: skip

_PORT = re.compile(r"([1-9][0-9]{0,4})(/udp|/tcp)?", re.ASCII)


def _port_key(value: object) -> str:
    found = _PORT.fullmatch(str(value))
    if not found or int(found[1]) > 65535:
        raise ValueError(f"{str(value)[:80]!r} is no port; write 5432, or 53/udp")
    return found[1] + ("/udp" if found[2] == "/udp" else "")


def _protocol(value: str) -> str:
    cleaned = clean_name(value).lower()
    if not cleaned:
        raise ValueError("is empty; write the name of a protocol, such as postgresql")
    return cleaned


PortKey = Annotated[str, BeforeValidator(_port_key)]
Protocol = Annotated[str, AfterValidator(_protocol)]
Port = Annotated[int, Field(ge=1, le=65535)]


class FlowsSection(Section):
    """How network flows become edges."""

    ports: dict[PortKey, Protocol] = Field(
        default_factory=dict, description="service port (`5432`, `53/udp`) → protocol, beside the well-known ones"
    )

    @property
    def protocols(self) -> dict[str, str]:
        """Well-known ports, and over them the file's."""
        return {**PORT_PROTOCOLS, **self.ports}


class TelemetrySection(Section):
    """Traffic of observability itself: flows that are left out of the graph, and counted."""

    ports: list[Port] = Field(default=[4317, 4318, 8428], description="service ports (default: OTLP and our own)")
    addresses: list[Address] = Field(default_factory=list, description="IP addresses or CIDR networks of either end")
    services: list[str] = Field(default_factory=list, description="service ids of either end")
