"""Parse hosts and ports in the many forms that instrumentations write.

Invariant: one host has one spelling: lower case, no zone, IPv4 wherever IPv6 only maps it. An address of nothing
(`0.0.0.0`, `::`, `-`) is the empty string.
"""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, ip_address

from chronotope.schema.names import clean_name

_SCHEME_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
_NOWHERE = frozenset({"", "-", "0.0.0.0", "::", "unknown"})
_AUTHORITY = re.compile(r"([A-Za-z][A-Za-z0-9+.-]{0,30})://([^/?#\\;]*)")
_GRPC_TARGET = re.compile(r"(?:ipv4:|ipv6:|dns:(?://[^/]*/)?)(?=.)")


def split_host_port(text: str) -> tuple[str, int]:
    """Return (host, port) of `host`, `host:port`, `[v6]:port`, IPv6, a URL, a gRPC target; 0: unknown."""
    target = _GRPC_TARGET.match(text)
    if target:
        return split_host(text[target.end() :])
    return split_url(text) if "://" in text else split_host(text)


def url_authority(url: str) -> str:
    """Return `scheme://authority` of a URL, the only part that matters here; empty when it has no scheme."""
    found = _AUTHORITY.match(url)
    return found.group(0) if found else ""


def split_url(url: str) -> tuple[str, int]:
    """Return (host, port) of a URL, without its credentials; the port defaults to the scheme's."""
    scheme, _, rest = url_authority(url).lower().partition("://")
    host, port = split_host(rest.rpartition("@")[2])
    return host, port or _SCHEME_PORTS.get(scheme, 0)


def default_port(scheme: str) -> int:
    """Return the port of a URL scheme, 0 when it has none that everybody knows."""
    return _SCHEME_PORTS.get(scheme.lower(), 0)


def unpack_ipv4(number: int) -> str:
    """Return the IPv4 address that a Jaeger client packed into 32 bits, signed or not."""
    return normal_host(str(IPv4Address(number & 0xFFFFFFFF)))


def split_host(text: str) -> tuple[str, int]:
    """Split `host`, `host:port`, `[v6]:port` or an IPv6 address alone."""
    if text.startswith("["):
        host, _, port = text[1:].partition("]")
        return normal_host(host), parse_port(port.removeprefix(":"))
    host, colon, port = text.partition(":")
    if colon and ":" not in port and parse_port(port):
        return normal_host(host), parse_port(port)
    return normal_host(text), 0


def normal_host(host: str) -> str:
    """Return the one spelling of a host: see the module's invariant."""
    host = host.strip().lower().rstrip(".")
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return "" if host in _NOWHERE else clean_name(host)
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address
    host = str(address)
    return "" if host in _NOWHERE else host


def parse_port(text: str) -> int:
    """Return a port, 0 for anything that is none."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 5):
        return 0
    port = int(text)
    return port if port <= 65535 else 0
