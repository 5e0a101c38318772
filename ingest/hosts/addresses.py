"""The addresses of a network namespace's own interfaces.

Invariant: loopback, link-local and other addresses without a meaning elsewhere are left out.
"""

from __future__ import annotations

import ipaddress
import struct

from chronotope.ingest.hosts import netlink

_GET_ADDRESSES = 22  # RTM_GETADDR
_ADDRESS, _LOCAL = 1, 2  # IFA_ADDRESS, IFA_LOCAL


def read_addresses() -> frozenset[str]:
    """Return the addresses of the calling thread's network namespace.

    Raises:
        OSError: the kernel refuses.
    """
    found = set()
    for message in netlink.dump(netlink.ROUTE, _GET_ADDRESSES, struct.pack("=BBBBI", 0, 0, 0, 0, 0)):
        said = netlink.attributes(message[8:])
        value = bytes(said.get(_LOCAL, said.get(_ADDRESS, b"")))  # on a point-to-point link _ADDRESS is the peer's
        if len(value) in (4, 16):
            address = ipaddress.ip_address(value)
            if not (address.is_loopback or address.is_link_local or address.is_multicast or address.is_unspecified):
                found.add(str(address))
    return frozenset(found)
