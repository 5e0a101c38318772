"""`for`, firing and resolving: step by step and over columns are the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from chronotope.server.rules.firing import State, intervals, transitions


@given(
    holds=st.lists(st.lists(st.booleans(), min_size=12, max_size=12), min_size=1, max_size=4),
    hold_steps=st.integers(0, 4),
)
def test_step_by_step_and_over_columns_agree(holds: list[list[bool]], hold_steps: int) -> None:
    """A server that lived through it and a back-test name the same times, whatever the conditions did."""
    step_ms = 10_000
    lived: list[tuple[int, int, int]] = []
    states: dict[str, State] = {}
    for at in range(12):
        holding = [str(row) for row, own in enumerate(holds) if own[at]]
        changed = transitions(states, holding, hold_steps * 10, (at + 1) * step_ms)
        lived += [
            (int(key), own.fired_ms // step_ms - 1, own.resolved_ms // step_ms - 1)
            for key, own in changed.items()
            if own.fired_ms and own.resolved_ms
        ]
        states |= changed
    lived += [(int(key), own.fired_ms // step_ms - 1, 12) for key, own in states.items() if own.firing]
    found = zip(*(column.tolist() for column in intervals(np.array(holds), hold_steps)), strict=True)
    assert sorted(lived) == sorted(found)


def test_a_condition_that_breaks_off_begins_anew() -> None:
    held = State(1000)
    assert transitions({"a": held}, [], 60, 2000) == {"a": replace(held, resolved_ms=2000)}
    over = State(1000, 2000, 3000)
    assert transitions({"a": over}, ["a"], 0, 4000) == {"a": State(4000, 4000)}
    assert transitions({"a": State(1000, 2000)}, ["a"], 0, 4000) == {}
