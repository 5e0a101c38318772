"""Send batches to the server, one after the other, until each was taken.

Invariant: a batch is removed only when the server has taken it, or says that it never will. While the server is away,
the sender tries again after one second, then less and less often, at least every half minute.
"""

from __future__ import annotations

import http.client
import json
import logging
import random
import threading
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import SplitResult, urlsplit

from chronotope.ingest.agent.spool import Batch, Spool
from chronotope.schema.errors import InvalidValue

ARROW_TYPE = "application/vnd.apache.arrow.stream"
_TIMEOUT_S = 30
_FIRST_WAIT_S, _LONGEST_WAIT_S = 1.0, 30.0
_GONE = (OSError, http.client.HTTPException)
# Answers that another try cannot change: the batch itself is wrong.
_NEVER = frozenset(
    {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
    }
)

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Sent:
    """Counts of batches and records by outcome."""

    batches: int = 0
    records: int = 0
    rejected_records: int = 0
    refused_batches: int = 0
    failures: int = 0
    ours: set[tuple[str, int]] = field(default_factory=set)  # ends of our connections to the server


class Sender:
    """A thread that empties a spool."""

    def __init__(self, server: str, spool: Spool) -> None:
        """Remember where to.

        Raises:
            InvalidValue: the server's address is none.
        """
        self._server = _parse(server)
        self._spool = spool
        self._connection: http.client.HTTPConnection | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sender", daemon=True)
        self.sent = Sent()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Send what is left as long as the server takes it and time remains. The rest stays in the spool."""
        self._stopping.set()
        self._spool.wake()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            self._empty()
        finally:
            self._disconnect()

    def _empty(self) -> None:
        """Send what comes, until the sender stops and nothing is left, or the server takes nothing."""
        wait_s = _FIRST_WAIT_S
        while True:
            batch = self._spool.oldest(timeout_s=1.0)
            if batch is None:
                if self._stopping.is_set():
                    return
                continue
            failure = self._send(batch)
            if failure is None:
                self._spool.done(batch)
                wait_s = _FIRST_WAIT_S
                continue
            self.sent.failures += 1
            logger.warning("the server took nothing", extra={"reason": failure, "waiting_batches": len(self._spool)})
            if self._stopping.is_set():
                return
            if not self._stopping.wait(wait_s * random.uniform(0.8, 1.2)):
                wait_s = min(2 * wait_s, _LONGEST_WAIT_S)

    def _send(self, batch: Batch) -> str | None:
        """Send one batch; return why it must be tried again, None when it is over."""
        try:
            body = batch.read()
        except OSError as error:
            logger.error("a batch is gone from the spool", extra={"batch": batch.key, "reason": str(error)})
            return None
        try:
            status, answer = self._post(batch, body)
        except _GONE as error:
            self._disconnect()
            return str(error) or type(error).__name__
        if status == HTTPStatus.OK:
            self._count(answer)
            return None
        detail = f"HTTP {status}: {answer[:300].decode(errors='replace')}"
        if status not in _NEVER:
            return detail
        self.sent.refused_batches += 1
        logger.error("the server refuses a batch for ever", extra={"batch": batch.key, "reason": detail})
        return None

    def _post(self, batch: Batch, body: bytes) -> tuple[int, bytes]:
        connection = self._connection or self._connect()
        headers = {"Content-Type": ARROW_TYPE, "Idempotency-Key": batch.key}
        connection.request("POST", f"{self._server.path.rstrip('/')}/api/v1/{batch.route}", body, headers)
        with connection.getresponse() as response:
            answer = response.read()
        if response.will_close:
            self._disconnect()
        return response.status, answer

    def _connect(self) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._server.scheme == "https" else http.client.HTTPConnection
        connection = kind(self._server.hostname or "", self._server.port, timeout=_TIMEOUT_S)
        connection.connect()
        address, port = connection.sock.getsockname()[:2]
        self.sent.ours = {*list(self.sent.ours)[-15:], (str(address), int(port))}
        self._connection = connection
        return connection

    def _disconnect(self) -> None:
        if self._connection:
            self._connection.close()
        self._connection = None

    def _count(self, answer: bytes) -> None:
        self.sent.batches += 1
        try:
            counts = json.loads(answer)
            self.sent.records += int(counts["accepted"])
            self.sent.rejected_records += int(counts["rejected"])
        except (ValueError, KeyError, TypeError):
            logger.warning("the server's answer is not understood", extra={"answer": answer[:200]})
            return
        if counts["rejected"]:
            logger.warning("the server refused some records", extra={"errors": counts.get("errors", [])[:3]})


def _parse(server: str) -> SplitResult:
    parts = urlsplit(server)
    try:
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise InvalidValue(f"--server {server!r} is not an address; accepted: http://host:port")
    return parts
