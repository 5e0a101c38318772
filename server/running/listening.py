"""Sockets of the server. They are opened before anything else, so that a taken port is known at once."""

from __future__ import annotations

import errno
import logging
import socket
from dataclasses import dataclass

from chronotope.schema.errors import ChronotopeError, InvalidValue

logger = logging.getLogger(__name__)


class PortTaken(ChronotopeError):
    """An address that was asked for is in use."""


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a port; port 0 lets the system choose."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str, option: str) -> Address | None:
    """Parse `HOST:PORT`, `:PORT`, `PORT` or `none`.

    Raises:
        InvalidValue: naming the option, the value and what is accepted.
    """
    if text.lower() == "none":
        return None
    host, _, port = text.rpartition(":")
    host = host.strip("[]") or "127.0.0.1"
    if not port.isdigit() or int(port) > 65535:
        raise InvalidValue(f"{option} {text!r}: use HOST:PORT, such as 0.0.0.0:8428, or a port, or none")
    return Address(host, int(port))


def bind(address: Address | None, option: str, *, asked: bool) -> socket.socket | None:
    """Open a listening socket. A taken default port gives a warning and None; a port that was asked for is an error.

    Raises:
        PortTaken: naming the option that changes it.
    """
    if address is None:
        return None
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        return socket.create_server((address.host, address.port), family=family, backlog=1024)
    except OSError as error:
        why = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be opened ({_reason(error)})"
        if asked:
            raise PortTaken(f"{option} {address} {why}: choose another with {option} HOST:PORT") from error
        logger.warning("%s: %s %s; nothing listens there (change it with %s)", option, address, why, option)
        return None


def _reason(error: OSError) -> str:
    """The system's reason, without the address that Python adds: the message has it already."""
    return (error.strerror or str(error)).partition(" (while ")[0]


def bound(listening: socket.socket) -> Address:
    """The address a socket got."""
    host, port = listening.getsockname()[:2]
    return Address(host, port)
