"""The one writer of spans: many receivers hand batches in, one thread makes them durable in groups.

Invariant: `put` returns only after the batch's edges are in the store; a batch is refused before it is queued or not at
all.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError

import pyarrow as pa

from chronotope.ingest.spans.columns import SpanBatch, join_batches
from chronotope.ingest.spans.pairer import Outcome, Pairer
from chronotope.schema.errors import Busy, ChronotopeError, StoreError
from chronotope.schema.store import Store

logger = logging.getLogger(__name__)

MAX_QUEUED_SPANS = 1_000_000
_MAX_GROUP_SPANS = 200_000
_TICK_S = 0.5


class PatientInsert:
    """An insert that repeats until the store takes it, and gives up only when the process stops.

    A batch is half written when its second insert fails: nothing may come after it before it is whole.
    """

    def __init__(self, store: Store, stopping: threading.Event, longest_wait_s: float = 10.0) -> None:
        self._store = store
        self._stopping = stopping
        self._longest_wait_s = longest_wait_s
        self.failing = False

    def __call__(self, table: str, columns: pa.Table, token: str) -> None:
        """Insert as `Store.insert` does; raise its error only when the process stops."""
        wait_s = 0.25
        while True:
            try:
                self._store.insert(table, columns, token)
                self.failing = False
                return
            except StoreError as error:
                self.failing = True
                logger.warning("insert failed, trying again", extra={"table": table, "error": str(error)})
                if self._stopping.wait(wait_s):
                    raise
                wait_s = min(wait_s * 2, self._longest_wait_s)


class Intake:
    """Groups batches, resolves their peers, pairs and stores them. `resolve` runs in the writer thread."""

    def __init__(
        self,
        pairer: Pairer,
        resolve: Callable[[SpanBatch], None],
        *,
        on_outcome: Callable[[Outcome], None] = lambda _: None,
        write_attributes: Callable[[SpanBatch], None] = lambda _: None,
        clock: Callable[[], float] = time.time,
        timeout_s: float = 30.0,
        max_queued_spans: int = MAX_QUEUED_SPANS,
        store_fails: Callable[[], bool] = lambda: False,
    ) -> None:
        self._pairer = pairer
        self._resolve = resolve
        self._on_outcome = on_outcome
        self._write_attributes = write_attributes
        self._clock = clock
        self._timeout_s = timeout_s
        self._max_queued = max_queued_spans
        self._store_fails = store_fails
        self._queue: deque[tuple[SpanBatch, Future[None]]] = deque()
        self._queued = 0
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="span-writer", daemon=True)

    @property
    def queued_spans(self) -> int:
        """Spans that wait for the writer."""
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

    def put(self, batch: SpanBatch) -> None:
        """Hand a batch in and wait until its edges are stored.

        Raises:
            Busy: the queue is full, the server stops, or the store did not take it in time; send it again later (it
                then counts once).
        """
        if not len(batch.rows):
            self._on_outcome(Outcome(skipped=batch.skipped))
            return
        done: Future[None] = Future()
        with self._changed:
            if self._stopping:
                raise Busy("the server is stopping; send this again later", 5)
            if self._store_fails():  # at once: requests that wait for it would keep readers from their answers
                raise Busy("the store does not take inserts now; send this again later", 5)
            if self._queued and self._queued + len(batch.rows) > self._max_queued:
                raise Busy(f"{self._queued} spans are waiting for the store already; send this again later", 2)
            self._queue.append((batch, done))
            self._queued += len(batch.rows)
            self._changed.notify()
        try:
            done.result(self._timeout_s)
        except FutureTimeoutError as error:
            raise Busy(
                f"the store did not take the spans within {self._timeout_s:.0f} s; send them again later", 5
            ) from error

    def _run(self) -> None:
        released_at = 0.0
        while True:
            with self._changed:
                if not self._queue and not self._stopping:
                    self._changed.wait(_TICK_S)
                group = self._take()
                if not group and self._stopping:
                    return
            if group:
                self._write(group)
            if self._clock() - released_at >= _TICK_S:
                released_at = self._clock()
                self._release()

    def _take(self) -> list[tuple[SpanBatch, Future[None]]]:
        group: list[tuple[SpanBatch, Future[None]]] = []
        spans = 0
        while self._queue and (not group or spans + len(self._queue[0][0].rows) <= _MAX_GROUP_SPANS):
            group.append(self._queue.popleft())
            spans += len(group[-1][0].rows)
        self._queued -= spans
        return group

    def _release(self) -> None:
        try:
            self._on_outcome(self._pairer.release(self._clock()))
        except ChronotopeError as error:
            logger.warning("lone halves stay on hold: the store does not answer", extra={"error": str(error)})

    def _write(self, group: list[tuple[SpanBatch, Future[None]]]) -> None:
        try:
            batch = join_batches([batch for batch, _ in group])
            self._resolve(batch)
            self._write_attributes(batch)
            self._on_outcome(self._pairer.accept(batch))
        except Exception as error:  # noqa: BLE001 - the senders get it, and the writer must live on
            logger.warning("a group of spans could not be written", extra={"error": str(error)})
            for _, done in group:
                done.set_exception(error)
            return
        for _, done in group:
            done.set_result(None)
