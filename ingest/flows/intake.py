"""The one writer of flows: many requests hand theirs in, one thread makes them durable in groups.

Invariant: `put` returns only after the flows' edges are in the store; what is refused is refused before it is queued.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError

import pyarrow as pa

from chronotope.ingest.flows.writer import FlowWriter, Outcome, Sent
from chronotope.schema.errors import Busy

logger = logging.getLogger(__name__)

MAX_QUEUED_ROWS = 3_000_000
_MOST_ROWS = 400_000  # of a group


class FlowIntake:
    """Groups what requests bring, and writes it in a thread of its own."""

    def __init__(
        self,
        writer: FlowWriter,
        *,
        on_outcome: Callable[[Outcome], None] = lambda _: None,
        store_fails: Callable[[], bool] = lambda: False,
        timeout_s: float = 30.0,
    ) -> None:
        self._writer = writer
        self._on_outcome = on_outcome
        self._store_fails = store_fails
        self._timeout_s = timeout_s
        self._queue: deque[tuple[Sent, Future[None]]] = deque()
        self._queued = 0
        self._changed = threading.Condition()
        self._writing = threading.Lock()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="flow-writer", daemon=True)

    @property
    def queued_rows(self) -> int:
        """Rows that wait for the writer."""
        return self._queued

    def start(self) -> None:
        """Start the writer thread."""
        self._thread.start()

    def stop(self) -> None:
        """Write what is queued, then end."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()

    def put(self, sent: Sent) -> None:
        """Hand flows in and wait until their edges are stored.

        Raises:
            Busy: the queue is full, the server stops, or the store did not take it in time; send it again later (with
                the same Idempotency-Key it then counts once).
        """
        done: Future[None] = Future()
        with self._changed:
            if self._stopping:
                raise Busy("the server is stopping; send this again later", 5)
            if self._store_fails():
                raise Busy("the store does not take inserts now; send this again later", 5)
            if self._queued and self._queued + len(sent.flows.rows) > MAX_QUEUED_ROWS:
                raise Busy(f"{self._queued} flows are waiting for the store already; send this again later", 2)
            self._queue.append((sent, done))
            self._queued += len(sent.flows.rows)
            self._changed.notify()
        try:
            done.result(self._timeout_s)
        except FutureTimeoutError as error:
            raise Busy(
                f"the store did not take the flows within {self._timeout_s:.0f} s; send them again later", 5
            ) from error

    def claim(self, table: pa.Table, token: str) -> None:
        """Make ownership ranges durable, columns of the table `identities`; flows that they concern follow at once.

        Raises:
            Busy: the server stops, or the store takes no inserts.
        """
        if self._stopping or self._store_fails():
            raise Busy("the store does not take inserts now; send this again later", 5)
        with self._writing:
            self._on_outcome(self._writer.claim(table, token))

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._queue and not self._stopping:
                    self._changed.wait()
                group = self._take()
            if not group:
                return
            self._write(group)

    def _take(self) -> list[tuple[Sent, Future[None]]]:
        group: list[tuple[Sent, Future[None]]] = []
        rows = 0
        while self._queue and (not group or rows + len(self._queue[0][0].flows.rows) <= _MOST_ROWS):
            group.append(self._queue.popleft())
            rows += len(group[-1][0].flows.rows)
        self._queued -= rows
        return group

    def _write(self, group: list[tuple[Sent, Future[None]]]) -> None:
        try:
            with self._writing:
                self._on_outcome(self._writer.accept([sent for sent, _ in group]))
        except Exception as error:  # noqa: BLE001 - the senders get it, and the writer must live on
            logger.warning("a group of flows could not be written", extra={"error": str(error)})
            for _, done in group:
                done.set_exception(error)
            return
        for _, done in group:
            done.set_result(None)
