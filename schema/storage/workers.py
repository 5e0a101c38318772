"""A few threads that run calls beside the caller's.

Invariant: no call, however long it takes, holds up the end of the process: the threads are daemons. Those of the
standard library's executor are waited for at the exit, and a peer that never answers would keep them for minutes.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


class Beside:
    """Threads that start when they are needed, `most` of them. `submit` and `close` are for one thread at a time."""

    def __init__(self, most: int, name: str) -> None:
        self._most, self._name = most, name
        self._threads = 0
        self._idle = threading.Semaphore(0)
        self._waiting: queue.SimpleQueue[tuple[Future[object], Callable[[], object]] | None] = queue.SimpleQueue()

    def submit(self, call: Callable[[], T]) -> Future[T]:
        """Run a call in a free thread, or later; until it has begun it can be cancelled."""
        future: Future[T] = Future()
        self._waiting.put((future, call))  # type: ignore[arg-type]
        if not self._idle.acquire(blocking=False) and self._threads < self._most:
            self._threads += 1
            threading.Thread(target=self._work, name=f"{self._name}_{self._threads}", daemon=True).start()
        return future

    def close(self) -> None:
        """Cancel what has not begun, and end each thread after its call; take no more calls."""
        with suppress(queue.Empty):
            while (asked := self._waiting.get_nowait()) is not None:
                asked[0].cancel()
        for _ in range(self._threads):
            self._waiting.put(None)

    def _work(self) -> None:
        while (asked := self._next()) is not None:
            _answer(*asked)
            del asked  # an answer is not kept until the next

    def _next(self) -> tuple[Future[object], Callable[[], object]] | None:
        try:
            return self._waiting.get_nowait()
        except queue.Empty:
            self._idle.release()
            return self._waiting.get()


def _answer(future: Future[object], call: Callable[[], object]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(call())
    except BaseException as error:  # noqa: BLE001 - it is for whoever waits
        future.set_exception(error)
