"""The one writer of flows: many requests hand theirs in, one thread makes them durable in groups.

Invariant: `put` returns only after the flows' edges are in the store; what is refused is refused before it is queued.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace

import pyarrow as pa

from chronotope.ingest.flows.writer import FlowWriter, Outcome, Sent
from chronotope.ingest.writing.queue import GroupQueue, Limits

logger = logging.getLogger(__name__)

_LIMITS = Limits(queued=3_000_000, a_group=400_000)


class FlowIntake:
    """Groups what requests bring, and writes it in a thread of its own."""

    def __init__(
        self,
        writer: FlowWriter,
        *,
        on_outcome: Callable[[Outcome], None] = lambda _: None,
        store_fails: Callable[[], bool] = lambda: False,
    ) -> None:
        self._writer = writer
        self._on_outcome = on_outcome
        self._writing = threading.Lock()
        self._rested_at = 0.0
        limits = replace(_LIMITS, tick_s=writer.rest_every_s)
        self._queue = GroupQueue[Sent](
            "flows", lambda sent: len(sent.flows.rows), self._write, limits, between=self._rest, store_fails=store_fails
        )
        self.start, self.stop, self.put = self._queue.start, self._queue.stop, self._queue.put

    @property
    def queued_rows(self) -> int:
        """Rows that wait for the writer."""
        return self._queue.queued

    def claim(self, table: pa.Table, token: str) -> None:
        """Make ownership ranges durable, columns of the table `identities`; flows that they concern follow at once.

        Raises:
            Busy: the server stops, or the store takes no inserts.
        """
        self._queue.check()
        with self._writing:
            self._on_outcome(self._writer.claim(table, token))

    def _write(self, group: list[Sent]) -> None:
        with self._writing:
            self._on_outcome(self._writer.accept(group))

    def _rest(self) -> None:
        """Let the writer see what other servers did, now and then."""
        every_s = self._writer.rest_every_s
        if every_s is None or time.monotonic() - self._rested_at < every_s:
            return
        self._rested_at = time.monotonic()
        try:
            with self._writing:
                self._writer.rest()
        except Exception as error:  # noqa: BLE001 - the next one may succeed, and the writer's thread must live on
            logger.warning("flows of other servers are not followed", extra={"error": str(error)})
