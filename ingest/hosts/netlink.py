"""Netlink dumps: one question to the kernel, and all messages of its answer.

Invariant: an answer is whole or an error. An attribute that claims more bytes than there are ends its list.

Source: https://docs.kernel.org/userspace-api/netlink/intro.html
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

ROUTE, NETFILTER = 0, 12  # protocols
_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_REQUEST_DUMP = 0x301
_ERROR, _DONE = 2, 3
_RECEIVE_BYTES = 1 << 16
_TYPE_MASK = 0x3FFF  # without "nested" and "network byte order"


def dump(protocol: int, kind: int, payload: bytes) -> Iterator[memoryview]:
    """Query in the network namespace of the calling thread. Yield the payload of each message of the answer.

    Raises:
        OSError: the kernel refuses, or has no such protocol.
    """
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol) as asking:
        asking.settimeout(10)
        asking.bind((0, 0))
        asking.send(_HEADER.pack(_HEADER.size + len(payload), kind, _REQUEST_DUMP, 1, 0) + payload)
        while True:
            for answer, message in _messages(memoryview(asking.recv(_RECEIVE_BYTES))):
                if answer == _DONE:
                    return
                if answer == _ERROR:
                    code = -struct.unpack_from("=i", message)[0]
                    raise OSError(code, f"netlink protocol {protocol} refuses request {kind}")
                yield message


def attributes(data: memoryview) -> dict[int, memoryview]:
    """Return the attributes of a message by their type."""
    found = {}
    while len(data) >= 4:
        length, kind = struct.unpack_from("=HH", data)
        if not 4 <= length <= len(data):
            break
        found[kind & _TYPE_MASK] = data[4:length]
        data = data[(length + 3) & ~3 :]
    return found


def attribute(kind: int, value: bytes) -> bytes:
    """Return an attribute as bytes."""
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def _messages(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    while len(data) >= _HEADER.size:
        length, kind, _, _, _ = _HEADER.unpack_from(data)
        if not _HEADER.size <= length <= len(data):
            return
        yield kind, data[_HEADER.size : length]
        data = data[(length + 3) & ~3 :]
