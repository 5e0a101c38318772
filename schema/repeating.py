"""Work that a thread repeats until it is stopped or the store is closed.

Invariant: whatever one round raises, the next is tried; only a closed store ends the thread by itself, and in silence,
for a stop does not wait for long work: it meets the closed store.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from chronotope.schema.errors import ChronotopeError, StoreClosed


class Repeating:
    """Rounds of work with pauses between them.

    Args:
        name: of the thread.
        work: one round.
        failed: is told what a round raised, in the thread, before the pause.
        pause_s: returns the seconds until the next round; it is asked after each one.
        pause_first: the first round comes after a pause, not at once.
        at_end: runs once after the last round, when it was not the closed store that ended them.

    Attributes:
        stopping: set when no round will begin any more; long work may look at it, or wait for it.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[], object],
        failed: Callable[[Exception], None],
        pause_s: Callable[[], float],
        *,
        pause_first: bool = False,
        at_end: Callable[[], None] = lambda: None,
    ) -> None:
        self.stopping = threading.Event()
        self._work, self._failed, self._pause_s = work, failed, pause_s
        self._pause_first, self._at_end = pause_first, at_end
        self._woken = threading.Event()
        self._thread = threading.Thread(target=self.run, name=name, daemon=True)

    def start(self) -> None:
        """Begin in a thread; once, and not at all after a stop."""
        if not self.stopping.is_set():
            self._thread.start()

    def wake(self) -> None:
        """End the present pause, or leave out the next; one that follows a failure lasts, whoever wakes."""
        self._woken.set()

    def stop(self, timeout_s: float) -> None:
        """Begin no more rounds, and wait so long for the thread to end: 0 only asks."""
        self.stopping.set()
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def run(self, rounds: int | None = None) -> None:
        """Repeat in the caller's thread, so many rounds or until it is stopped."""
        try:
            if self._pause_first:
                self.stopping.wait(self._pause_s())
            while rounds != 0:
                self._woken.clear()  # before the look at `stopping`: a stop sets that first, so it is never missed
                if self.stopping.is_set():
                    break
                ends_pause = self._round()
                rounds = None if rounds is None else rounds - 1
                if rounds != 0:
                    ends_pause.wait(self._pause_s())
            self._at_end()
        except StoreClosed:
            return

    def _round(self) -> threading.Event:
        """Work once; return what may end the pause that follows."""
        try:
            self._work()
        except StoreClosed:
            raise
        except Exception as error:  # noqa: BLE001 - the next round may succeed: the thread must live on
            self._failed(error)
            return self.stopping
        return self._woken


def log_failure(logger: logging.Logger, message: str, error: Exception, **about: object) -> None:
    """Log why a round failed: an error raised on purpose by its reason, any other one with where it came from."""
    expected = isinstance(error, ChronotopeError)
    level = logging.WARNING if expected else logging.ERROR
    logger.log(level, message, extra={**about, "reason": str(error)}, exc_info=None if expected else error)
