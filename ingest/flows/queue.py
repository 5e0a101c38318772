"""The queue in front of the only writer of flows: many requests put flows in, one thread stores them in groups.

Invariant: `put` returns only after the flows' edges are in the store. A refusal comes before queueing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import pyarrow as pa

from chronotope.ingest.flows.writer import FlowWriter, Outcome, Sent
from chronotope.ingest.writing.queue import GroupQueue, Limits

_LIMITS = Limits(queued=3_000_000, a_group=400_000)


class FlowQueue:
    """Groups the flows of requests, and writes them in a thread of its own."""

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
        limits = replace(_LIMITS, tick_s=writer.follow_every_s)
        self._queue = GroupQueue[Sent](
            "flows",
            lambda sent: len(sent.flows.rows),
            self._write,
            limits,
            regularly=self._follow_others,
            store_fails=store_fails,
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

    def _follow_others(self) -> None:
        """Let the writer see what other servers did."""
        with self._writing:
            self._writer.follow_others()
