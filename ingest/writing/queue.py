"""A queue: many threads put items in, one thread writes them in groups.

Invariant: `put` returns only after its item's group was written. An item is refused before it is queued, or not at all.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from typing import Generic, TypeVar

from chronotope.schema.errors import Busy

logger = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of a queue.

    Attributes:
        queued: rows that may wait; a single item may have more.
        a_group: rows of a group; a single item may have more.
        timeout_s: how long `put` waits for the store.
        tick_s: how often the writer runs its regular task; None: never.
    """

    queued: int
    a_group: int
    timeout_s: float = 30.0
    tick_s: float | None = None


class GroupQueue(Generic[T]):
    """Items in the order of their arrival, and the thread that writes them."""

    def __init__(
        self,
        what: str,
        rows: Callable[[T], int],
        write: Callable[[list[T]], None],
        limits: Limits,
        *,
        regularly: Callable[[], None] = lambda: None,
        store_fails: Callable[[], bool] = lambda: False,
    ) -> None:
        """Start with nothing.

        Args:
            what: what the rows are, as messages name them: `spans`.
            rows: how many rows an item has.
            write: makes a group durable; what it raises goes to all who handed in its items.
            regularly: runs in the writer's thread every `tick_s`. An error is logged, and the next run may succeed.
            store_fails: whether the store takes no inserts now, so that nobody needs to wait for it.
        """
        self._what = what
        self._rows = rows
        self._write = write
        self._limits = limits
        self._regularly = regularly
        self._next_at = 0.0
        self._store_fails = store_fails
        self._items: deque[tuple[T, Future[None]]] = deque()
        self._queued = 0
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=f"{what}-writer", daemon=True)

    @property
    def queued(self) -> int:
        """Rows that wait for the writer."""
        return self._queued

    def start(self) -> None:
        """Start the writer's thread."""
        self._thread.start()

    def stop(self) -> None:
        """Write what is queued, then end."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join()

    def check(self) -> None:
        """Raise Busy when nothing is taken now: the server stops, or the store takes no inserts."""
        if self._stopping:
            raise Busy("the server is stopping; send this again later", 5)
        if self._store_fails():  # at once, because requests that wait for the store would block readers
            raise Busy("the store does not take inserts now; send this again later", 5)

    def put(self, item: T) -> None:
        """Hand an item in and wait until it is written.

        Raises:
            Busy: nothing is taken now, the queue is full, or the store did not take it in time; send it again later.
            Exception: what `write` raised.
        """
        done: Future[None] = Future()
        rows = self._rows(item)
        with self._changed:
            self.check()
            if self._queued and self._queued + rows > self._limits.queued:
                raise Busy(f"{self._queued} {self._what} are waiting for the store already; send this again later", 2)
            self._items.append((item, done))
            self._queued += rows
            self._changed.notify()
        try:
            done.result(self._limits.timeout_s)
        except FutureTimeoutError as error:
            waited = f"{self._limits.timeout_s:.0f} s"
            raise Busy(f"the store did not take the {self._what} within {waited}; send them again later", 5) from error

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._items and not self._stopping:
                    self._changed.wait(self._limits.tick_s)
                group = self._take()
                if not group and self._stopping:
                    return
            if group:
                self._finish(group)
            self._tick()

    def _take(self) -> list[tuple[T, Future[None]]]:
        group: list[tuple[T, Future[None]]] = []
        rows = 0
        while self._items and (not group or rows + self._rows(self._items[0][0]) <= self._limits.a_group):
            group.append(self._items.popleft())
            rows += self._rows(group[-1][0])
        self._queued -= rows
        return group

    def _tick(self) -> None:
        if self._limits.tick_s is None or time.monotonic() < self._next_at:
            return
        self._next_at = time.monotonic() + self._limits.tick_s
        try:
            self._regularly()
        except Exception as error:  # noqa: BLE001 - the next run may succeed, and the writer must live on
            logger.warning("the regular task failed", extra={"what": self._what, "error": str(error)})

    def _finish(self, group: list[tuple[T, Future[None]]]) -> None:
        try:
            self._write([item for item, _ in group])
        except Exception as error:  # noqa: BLE001 - the senders get it, and the writer must live on
            logger.warning("a group could not be written", extra={"what": self._what, "error": str(error)})
            for _, done in group:
                done.set_exception(error)
            return
        for _, done in group:
            done.set_result(None)
