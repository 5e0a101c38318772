"""Several writers on one store that take turns at every one of its operations, in an order that a test decides."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from chronotope.schema.storage.store import Store


class Turns:
    """Runs tasks one at a time, each in a thread of its own, from one operation of the store to the next."""

    def __init__(self, threads: ThreadPoolExecutor, choose: Callable[[int], int]) -> None:
        """Take threads, at least one a task, and what says which of so many tasks goes on."""
        self._threads = threads
        self._choose = choose
        self._paused = threading.Semaphore(0)
        self._go: list[threading.Semaphore] = []
        self._running = 0

    def run(self, tasks: list[Callable[[], None]]) -> None:
        """Run all tasks to their ends; raise what one raised."""
        self._go = [threading.Semaphore(0) for _ in tasks]
        ended: set[int] = set()
        futures = [self._threads.submit(self._task, number, task, ended) for number, task in enumerate(tasks)]
        while waiting := [number for number in range(len(tasks)) if number not in ended]:
            self._running = waiting[self._choose(len(waiting))]
            self._go[self._running].release()
            self._paused.acquire()
        for future in futures:
            future.result()

    def pause(self) -> None:
        """Let another task go on, if there are any; called by the one whose turn it is."""
        if self._go:
            number = self._running
            self._paused.release()
            self._go[number].acquire()

    def _task(self, number: int, task: Callable[[], None], ended: set[int]) -> None:
        self._go[number].acquire()
        try:
            task()
        finally:
            ended.add(number)
            self._paused.release()


class WatchedStore:
    """A store that tells before and after each of its operations."""

    def __init__(self, store: Store, before: Callable[[], None], after: Callable[[], None]) -> None:
        self._store = store
        self._before = before
        self._after = after
        self.location = store.location

    def __getattr__(self, name: str) -> Any:
        operation = getattr(self._store, name)

        def watched(*args: Any, **more: Any) -> Any:
            self._before()
            answer = operation(*args, **more)
            self._after()
            return answer

        return watched
