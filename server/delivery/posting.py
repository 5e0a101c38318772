"""One HTTP request with a limit for all of it, and what its answer means for trying again.

Invariant: `ask` returns or raises within its time, whatever the peer does: one that answers a byte a second is cut off.
No redirect is followed: what was meant for one address goes nowhere else.
"""

from __future__ import annotations

import http.client
import random
import socket
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from chronotope.schema.errors import ChronotopeError

_MOST_BYTES = 1024 * 1024
_LONGEST_WAIT_S = 300.0
_FIRST_WAIT_S = 1.0


class Undelivered(ChronotopeError):
    """The peer did not take it; worth trying again after a while, at the earliest after `retry_after_s`."""

    def __init__(self, message: str, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Unwanted(ChronotopeError):
    """The peer refused it for good: trying again would be refused again."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A status below 300, and the first megabyte of the body."""

    status: int
    body: bytes


def ask(method: str, url: str, body: bytes, headers: Mapping[str, str], timeout_s: float) -> Reply:
    """Send one request.

    Raises:
        Undelivered: not reachable, too slow, 408, 425, 429 or 5xx.
        Unwanted: any other status that is no success.
    """
    parts = urlsplit(url)
    connection = _connection(parts.scheme, parts.hostname or "", parts.port, timeout_s)
    overdue = threading.Timer(timeout_s, _cut, (connection,))
    overdue.daemon = True
    overdue.start()
    try:
        target = f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"
        connection.request(method, target, body, {"Content-Type": "application/json", **headers})
        answer = connection.getresponse()
        text = answer.read(_MOST_BYTES)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Undelivered(f"{method} {url}: {str(error) or type(error).__name__}") from error
    finally:
        overdue.cancel()
        connection.close()
    if 200 <= answer.status < 300:
        return Reply(answer.status, text)
    message = f"{method} {url}: {answer.status} {answer.reason}: {text[:200].decode('utf-8', 'replace')}"
    if answer.status in (408, 425, 429) or answer.status >= 500:
        raise Undelivered(message, _seconds(answer.getheader("Retry-After")))
    raise Unwanted(message)


def wait_s(failures: int, retry_after_s: float = 0.0) -> float:
    """Return how long to wait after a number of failures in a row: exponential, with full jitter, at most 5 minutes."""
    longest = min(_FIRST_WAIT_S * 2 ** min(max(failures - 1, 0), 16), _LONGEST_WAIT_S)
    return max(random.uniform(longest / 2, longest), min(retry_after_s, _LONGEST_WAIT_S))


def _connection(scheme: str, host: str, port: int | None, timeout_s: float) -> http.client.HTTPConnection:
    if scheme == "https":
        return http.client.HTTPSConnection(host, port, timeout=timeout_s, context=ssl.create_default_context())
    return http.client.HTTPConnection(host, port, timeout=timeout_s)


def _cut(connection: http.client.HTTPConnection) -> None:
    own = connection.sock
    if own is not None:
        try:
            own.shutdown(socket.SHUT_RDWR)
        except OSError:
            own.close()


def _seconds(text: str | None) -> float:
    return float(text) if text and text.isdigit() else 0.0
