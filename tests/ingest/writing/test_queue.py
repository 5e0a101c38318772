from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.ingest.spans.test_queue import eventually

from chronotope.ingest.writing.queue import GroupQueue, Limits
from chronotope.schema.errors import Busy, StoreError


class Gate:
    """Writes groups of numbers once it is open; a number is its own size, and a negative one cannot be written."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.entered = threading.Event()
        self.groups: list[list[int]] = []

    def write(self, group: list[int]) -> None:
        self.entered.set()
        assert self.open.wait(20)
        if min(group) < 0:
            raise StoreError("no space left on device")
        self.groups.append(group)


def queue_before(gate: Gate, **limits) -> GroupQueue[int]:
    return GroupQueue("rows", abs, gate.write, Limits(**{"queued": 10, "a_group": 6, **limits}))


def outcomes(queue: GroupQueue[int], gate: Gate, items: list[int]) -> list[type[Exception] | None]:
    """Hand in one item, which keeps the writer, then the others in their order; open the gate, see what came back."""
    with ThreadPoolExecutor(len(items)) as pool:
        waiting = [pool.submit(queue.put, items[0])]
        assert gate.entered.wait(20)
        for item in items[1:]:
            before = queue.queued
            waiting.append(pool.submit(queue.put, item))
            eventually(lambda before=before, last=waiting[-1]: queue.queued > before or last.done())
        gate.open.set()
        errors = [future.exception(20) for future in waiting]
    queue.stop()
    return [None if error is None else type(error) for error in errors]


def test_what_waits_is_written_in_its_order_in_groups_of_limited_size() -> None:
    gate = Gate()
    queue = queue_before(gate)
    queue.start()
    assert outcomes(queue, gate, [1, 3, 3, 2, 1]) == [None] * 5
    assert gate.groups == [[1], [3, 3], [2, 1]]


def test_an_item_larger_than_any_limit_is_taken_when_nothing_else_waits() -> None:
    gate = Gate()
    queue = queue_before(gate)
    queue.start()
    assert outcomes(queue, gate, [99, 50, 1]) == [None, None, Busy]
    assert gate.groups == [[99], [50]]


def test_all_of_a_group_that_fails_learn_it_and_the_next_is_written() -> None:
    gate = Gate()
    queue = queue_before(gate)
    queue.start()
    assert outcomes(queue, gate, [1, 2, -2, 4]) == [None, StoreError, StoreError, None]
    assert gate.groups == [[1], [4]]


def test_what_is_queued_is_written_before_the_end_and_nothing_is_taken_after_it() -> None:
    gate = Gate()
    queue = queue_before(gate, tick_s=0.01)
    queue.start()
    assert outcomes(queue, gate, [1, 2, 3]) == [None] * 3  # which stops it
    with pytest.raises(Busy, match="stopping"):
        queue.put(1)
    assert gate.groups == [[1], [2, 3]]


def test_senders_are_told_when_the_store_takes_too_long_or_takes_nothing() -> None:
    gate = Gate()
    queue = queue_before(gate, timeout_s=0.05)
    queue.start()
    with pytest.raises(Busy, match="did not take the rows within"):
        queue.put(1)
    gate.open.set()
    queue.stop()
    failing = GroupQueue[int]("rows", abs, gate.write, Limits(queued=10, a_group=6), store_fails=lambda: True)
    with pytest.raises(Busy, match="does not take inserts"):
        failing.put(1)
