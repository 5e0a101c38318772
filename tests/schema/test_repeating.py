"""Work is repeated whatever a round raises, until it is stopped or meets the closed store."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from chronotope.schema.errors import StoreClosed, StoreError
from chronotope.schema.repeating import Repeating, log_failure

WAIT_S = 60.0  # no test waits for it but one that fails


class Rounds:
    """Work that does what it is told, round by round, and counts."""

    def __init__(self, *does: Callable[[], object]) -> None:
        self.does = list(does)
        self.begun = threading.Semaphore(0)
        self.count = 0
        self.failures: list[str] = []

    def work(self) -> None:
        self.count += 1
        self.begun.release()
        if self.count <= len(self.does):
            self.does[self.count - 1]()

    def failed(self, error: Exception) -> None:
        self.failures.append(str(error))


@contextmanager
def started(rounds: Rounds, pause_s: float, **options: object) -> Iterator[Repeating]:
    own = Repeating("own", rounds.work, rounds.failed, lambda: pause_s, **options)  # type: ignore[arg-type]
    own.start()
    try:
        yield own
    finally:
        own.stop(WAIT_S)
        assert "own" not in {thread.name for thread in threading.enumerate()}


def raising(error: Exception) -> Callable[[], object]:
    def fail() -> None:
        raise error

    return fail


def test_rounds_follow_each_other() -> None:
    rounds = Rounds()
    with started(rounds, 0.001):
        for _ in range(5):
            assert rounds.begun.acquire(timeout=WAIT_S)


def test_a_stop_while_it_waits_ends_the_pause() -> None:
    rounds = Rounds()
    with started(rounds, 10 * WAIT_S):
        assert rounds.begun.acquire(timeout=WAIT_S)
    assert rounds.count == 1


def test_a_stop_before_the_first_of_late_rounds_leaves_it_out() -> None:
    rounds = Rounds()
    with started(rounds, 10 * WAIT_S, pause_first=True):
        pass
    assert rounds.count == 0


def test_a_stop_while_it_works_lets_the_round_end_and_begins_no_other() -> None:
    released, ended = threading.Event(), threading.Event()
    rounds = Rounds(lambda: released.wait(WAIT_S))
    with started(rounds, 0.0, at_end=ended.set) as own:
        assert rounds.begun.acquire(timeout=WAIT_S)
        own.stop(0)
        assert own.stopping.is_set()
        assert not ended.is_set(), "a stop that only asks does not wait"
        released.set()
    assert rounds.count == 1
    assert ended.is_set()


def test_a_stop_before_the_start_lets_nothing_begin() -> None:
    ended: list[bool] = []
    rounds = Rounds()
    own = Repeating("own", rounds.work, rounds.failed, lambda: 0.0, at_end=lambda: ended.append(True))
    own.stop(WAIT_S)
    own.start()
    own.stop(WAIT_S)  # would wait for a thread
    assert (rounds.count, ended) == (0, [])


def test_after_a_failure_the_next_round_is_tried() -> None:
    rounds = Rounds(raising(StoreError("full")), raising(KeyError("bug")))
    with started(rounds, 0.001):
        for _ in range(4):
            assert rounds.begun.acquire(timeout=WAIT_S)
    assert rounds.failures == ["full", "'bug'"]


def test_a_closed_store_ends_it_in_silence() -> None:
    ended: list[bool] = []
    rounds = Rounds(lambda: None, raising(StoreClosed("closed")))
    own = Repeating("own", rounds.work, rounds.failed, lambda: 0.0, at_end=lambda: ended.append(True))
    own.run()
    assert (rounds.count, rounds.failures, ended) == (2, [], [])


def test_a_closed_store_that_the_end_meets_is_silent_too() -> None:
    rounds = Rounds()
    Repeating("own", rounds.work, rounds.failed, lambda: 0.0, at_end=raising(StoreClosed("closed"))).run(1)  # type: ignore[arg-type]
    assert (rounds.count, rounds.failures) == (1, [])


def test_who_wakes_ends_a_pause_or_leaves_out_the_next() -> None:
    released = threading.Event()
    rounds = Rounds(lambda: None, lambda: released.wait(WAIT_S))
    with started(rounds, 10 * WAIT_S) as own:
        assert rounds.begun.acquire(timeout=WAIT_S)
        own.wake()
        assert rounds.begun.acquire(timeout=WAIT_S)
        own.wake()  # while it works: what it says may have come too late for this round
        released.set()
        assert rounds.begun.acquire(timeout=WAIT_S)


def test_nobody_wakes_it_from_the_pause_after_a_failure() -> None:
    rounds = Rounds(raising(StoreError("full")))
    with started(rounds, 10 * WAIT_S) as own:
        assert rounds.begun.acquire(timeout=WAIT_S)
        own.wake()
        assert not rounds.begun.acquire(timeout=0.2)
    assert rounds.count == 1


def test_so_many_rounds_run_in_the_callers_thread() -> None:
    threads: list[threading.Thread] = []
    rounds = Rounds(*[lambda: threads.append(threading.current_thread())] * 3)
    pauses: list[int] = []
    Repeating("own", rounds.work, rounds.failed, lambda: pauses.append(0) or 0.0).run(3)  # type: ignore[func-returns-value]
    assert threads == [threading.current_thread()] * 3
    assert len(pauses) == 2, "none after the last"


@pytest.mark.parametrize(
    ("error", "level", "traced"), [(StoreError("full"), logging.WARNING, False), (KeyError("x"), logging.ERROR, True)]
)
def test_only_an_unexpected_failure_is_logged_with_its_trace(
    error: Exception, level: int, traced: bool, caplog: pytest.LogCaptureFixture
) -> None:
    log_failure(logging.getLogger("own"), "100% of it failed", error, receiver="ops")
    (record,) = caplog.records
    assert (record.getMessage(), record.levelno, bool(record.exc_info)) == ("100% of it failed", level, traced)
    assert (vars(record)["reason"], vars(record)["receiver"]) == (str(error), "ops")
