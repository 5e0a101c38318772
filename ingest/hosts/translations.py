"""Address translation by connection tracking: the server that really answers behind a virtual address.

Invariant: a translation is reported only where the kernel says that the destination of a connection was changed.

Source: include/uapi/linux/netfilter/nfnetlink_conntrack.h
"""

from __future__ import annotations

import struct
from pathlib import Path

from chronotope.ingest.hosts import netlink
from chronotope.schema.addresses import IPV4_PREFIX

Connection = tuple[bytes, int, bytes, int, int]  # client address and port, server address and port, IP protocol
Translations = dict[Connection, tuple[bytes, int]]

_GET = 1 << 8 | 1  # subsystem of connection tracking, IPCTNL_MSG_CT_GET
_ORIGINAL, _REPLY, _STATUS, _MASK = 1, 2, 3, 26  # CTA_TUPLE_ORIG, _TUPLE_REPLY, _STATUS, _STATUS_MASK
_CHANGED = 1 << 5  # IPS_DST_NAT
_ENDS, _PORTS = 1, 2  # CTA_TUPLE_IP, CTA_TUPLE_PROTO
_COUNT = Path("/proc/sys/net/netfilter/nf_conntrack_count")  # of the namespace of the thread that reads it


def read_translations() -> Translations:
    """Return the translated connections of the calling thread's network namespace; addresses are 16 bytes.

    Raises:
        OSError: the kernel tracks no connections, or does not let us look (CAP_NET_ADMIN).
    """
    found: Translations = {}
    if _tracks_nothing():
        return found
    changed = struct.pack(">I", _CHANGED)
    wanted = netlink.attribute(_STATUS, changed) + netlink.attribute(_MASK, changed)
    for message in netlink.dump(netlink.NETFILTER, _GET, struct.pack("=BBH", 0, 0, 0) + wanted):
        entry = netlink.attributes(message[4:])
        status = bytes(entry.get(_STATUS, b""))
        if len(status) < 4 or not struct.unpack(">I", status[:4])[0] & _CHANGED:
            continue  # an older kernel does not filter
        asked, answered = _tuple(entry.get(_ORIGINAL)), _tuple(entry.get(_REPLY))
        if asked and answered:
            found[asked] = answered[0], answered[1]
    return found


def _tracks_nothing() -> bool:
    """Return whether the namespace tracks no connection. A query would then cost the kernel milliseconds."""
    try:
        return int(_COUNT.read_text()) == 0
    except (OSError, ValueError):  # the kernel will say whether it tracks any
        return False


def _tuple(data: memoryview | None) -> Connection | None:
    """Return source, its port, destination, its port and protocol of one direction."""
    parts = netlink.attributes(data) if data is not None else {}
    ends = netlink.attributes(parts.get(_ENDS, memoryview(b"")))
    ports = netlink.attributes(parts.get(_PORTS, memoryview(b"")))
    source, target = bytes(ends.get(1, ends.get(3, b""))), bytes(ends.get(2, ends.get(4, b"")))
    if len(source) not in (4, 16) or len(source) != len(target) or not {1, 2, 3} <= ports.keys():
        return None
    if len(ports[1]) < 1 or len(ports[2]) < 2 or len(ports[3]) < 2:
        return None
    source_port, target_port = (struct.unpack_from(">H", ports[place])[0] for place in (2, 3))
    return _wide(source), source_port, _wide(target), target_port, ports[1][0]


def _wide(address: bytes) -> bytes:
    return IPV4_PREFIX + address if len(address) == 4 else address
