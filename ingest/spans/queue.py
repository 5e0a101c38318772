"""The queue in front of the only writer of spans: many receivers put batches in, one thread stores them in groups.

Invariant: `put` returns only after the batch's edges are in the store. A refusal comes before queueing.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from chronotope.ingest.spans.columns import SpanBatch, join_batches
from chronotope.ingest.spans.pairer import Outcome, Pairer
from chronotope.ingest.writing.queue import GroupQueue, Limits

MAX_QUEUED_SPANS = 1_000_000
_MAX_GROUP_SPANS = 200_000
_TICK_S = 0.5


class SpanQueue:
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
        limits = Limits(queued=max_queued_spans, a_group=_MAX_GROUP_SPANS, timeout_s=timeout_s, tick_s=_TICK_S)
        self._queue = GroupQueue[SpanBatch](
            "spans",
            lambda batch: len(batch.rows),
            self._write,
            limits,
            regularly=self._release,
            store_fails=store_fails,
        )
        self.start, self.stop = self._queue.start, self._queue.stop

    @property
    def queued_spans(self) -> int:
        """Spans that wait for the writer."""
        return self._queue.queued

    def put(self, batch: SpanBatch) -> None:
        """Hand a batch in and wait until its edges are stored.

        Raises:
            Busy: the queue is full, the server stops, or the store did not take it in time; send it again later (it
                then counts once).
        """
        if len(batch.rows):
            self._queue.put(batch)
        else:
            self._on_outcome(Outcome(skipped=batch.skipped))

    def _write(self, group: list[SpanBatch]) -> None:
        batch = join_batches(group)
        self._resolve(batch)
        self._write_attributes(batch)
        self._on_outcome(self._pairer.accept(batch))

    def _release(self) -> None:
        """Stop waiting for the other halves of old spans."""
        self._on_outcome(self._pairer.release(self._clock()))
