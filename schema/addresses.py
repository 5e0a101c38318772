"""Addresses of an identity: an IP address, a CIDR network, or a host name.

Invariant: one address range has one spelling. IPv4 and IPv4-mapped IPv6 are one address space (an IPv4 address is the
128-bit number of its mapped form). Host names compare in lower case without a last dot. Zones (`%eth0`) are left out.
"""

from __future__ import annotations

import socket
from functools import lru_cache
from typing import NamedTuple

from chronotope.schema.errors import InvalidValue

BITS = 128
IPV4_BITS = 96  # an IPv4 prefix /n is the mapped prefix /(96 + n)
_MAPPED = 0xFFFF << 32
IPV4_PREFIX = b"\0" * 10 + b"\xff\xff"  # of an IPv4 address in 16 bytes
_NOWHERE = frozenset({"", "-"})


class AddressRange(NamedTuple):
    """A network of `bits` leading bits of `number`, or a host name (`bits` is -1). Bits 128: one address."""

    bits: int
    number: int = 0
    host: str = ""


NOWHERE = AddressRange(-1)


def parse_ip(text: str) -> int | None:
    """Return an IP address as a 128-bit number, None when the text is none."""
    try:
        if ":" not in text:
            return _MAPPED | int.from_bytes(socket.inet_pton(socket.AF_INET, text))
        return int.from_bytes(socket.inet_pton(socket.AF_INET6, text.partition("%")[0].strip("[]")))
    except (OSError, UnicodeError, ValueError):
        return None


@lru_cache(maxsize=262144)
def observed_range(text: str) -> AddressRange:
    """Return the place that an observed address names; `NOWHERE` for none and for the unspecified address."""
    text = text.strip()
    number = parse_ip(text)
    if number is not None:
        return NOWHERE if number in (0, _MAPPED) else AddressRange(BITS, number)
    host = text.lower().rstrip(".")
    return NOWHERE if host in _NOWHERE else AddressRange(-1, 0, host)


def parse_address_range(text: str) -> AddressRange:
    """Return the place an identity claims: like `observed_range`, and CIDR networks (host bits are ignored).

    Raises:
        InvalidValue: no address, or a network that is none.
    """
    network, slash, length = text.strip().partition("/")
    if not slash:
        place = observed_range(text)
        if place == NOWHERE:
            raise InvalidValue(f"address {text!r} is no place; use an IP address, CIDR network or host name")
        return place
    number = parse_ip(network)
    bits = int(length) + (IPV4_BITS if ":" not in network else 0) if _is_length(length) else BITS + 1
    if number is None or bits > BITS:
        raise InvalidValue(f"address {text!r} is not a network; use CIDR such as 10.0.0.0/8 or fd00::/8")
    return AddressRange(bits, number >> (BITS - bits) << (BITS - bits))


def is_ipv4(number: int) -> bool:
    """Whether a 128-bit number is the mapped form of an IPv4 address."""
    return number >> 32 == 0xFFFF


def _is_length(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 3
