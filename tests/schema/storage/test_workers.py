"""Calls beside the caller's: done by a few threads, cancelled or failed like any other, and never in the way."""

from __future__ import annotations

import gc
import threading
import weakref

import pytest

from chronotope.schema.storage.workers import Beside

WAIT_S = 60.0  # no test waits for it but one that fails


def threads_of(name: str) -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith(f"{name}_")]


def test_calls_are_answered_and_failures_go_to_who_waits() -> None:
    beside = Beside(2, "answers")
    answers = [beside.submit(lambda number=number: 10 // number) for number in (5, 0, 2)]  # type: ignore[misc]
    assert [answers[at].result(WAIT_S) for at in (0, 2)] == [2, 5]
    with pytest.raises(ZeroDivisionError):
        answers[1].result(WAIT_S)
    beside.close()


def test_threads_start_as_they_are_needed_and_end_when_closed() -> None:
    beside, released = Beside(3, "needed"), threading.Event()
    assert threads_of("needed") == []
    held = [beside.submit(lambda: released.wait(WAIT_S)) for _ in range(5)]
    own = threads_of("needed")
    assert len(own) == 3
    assert all(thread.daemon for thread in own)
    released.set()
    assert all(one.result(WAIT_S) for one in held)
    beside.close()
    for thread in own:
        thread.join(WAIT_S)
    assert threads_of("needed") == []


def test_what_has_not_begun_can_be_cancelled_and_is_when_closed() -> None:
    beside, begun, released = Beside(1, "cancelled"), threading.Event(), threading.Event()

    def hold() -> str:
        begun.set()
        released.wait(WAIT_S)
        return "held"

    first, second, third = beside.submit(hold), beside.submit(hold), beside.submit(hold)
    assert begun.wait(WAIT_S)
    assert (first.cancel(), second.cancel()) == (False, True)
    beside.close()
    assert third.cancelled()
    released.set()
    assert first.result(WAIT_S) == "held"


def test_an_idle_thread_keeps_no_answer() -> None:
    class Answer:
        pass

    beside = Beside(1, "kept")
    answer = beside.submit(Answer)
    known = weakref.ref(answer.result(WAIT_S))
    del answer
    beside.submit(lambda: None).result(WAIT_S)
    gc.collect()
    assert known() is None
    beside.close()
