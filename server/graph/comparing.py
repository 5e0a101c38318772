"""Ask the store for two windows, and put their difference together: what the route and the command both call."""

from __future__ import annotations

from dataclasses import replace

from chronotope.schema.store import Store
from chronotope.server.graph.aligned import Pair
from chronotope.server.graph.diffing import Diff, diff
from chronotope.server.graph.fingerprint import fingerprint
from chronotope.server.graph.levels import plan_window
from chronotope.server.graph.question import Question
from chronotope.server.graph.reading import check_focus, read_directory
from chronotope.server.graph.sides import read_sides
from chronotope.server.graph.slots import plan_slots, read_slots
from chronotope.server.settings import Settings


def read_diff(
    store: Store,
    settings: Settings,
    questions: tuple[Question, Question],
    now_ms: int,
    *,
    significance: float,
    unchanged: bool,
) -> tuple[Diff, str]:
    """Return the difference of two windows, and a tag that changes with the data.

    Args:
        store: open and migrated.
        settings: how long each level is kept.
        questions: the same question of the window before, and of the one after.
        now_ms: Unix milliseconds.
        significance: the false discovery rate over all tests.
        unchanged: show what did not change too.

    Raises:
        InvalidWindow: a window is empty.
        UnknownFocus: the focus is a service that was never seen.
        StoreError: the store cannot answer.
    """
    plans = [plan_window(one.start_ms, one.end_ms, settings.retention, now_ms) for one in questions]
    directory = read_directory(store, plans[1])
    check_focus(directory, questions[1])
    every = replace(questions[1], protocols=())  # whether a layer was silent shows in all of it
    sides, numbers = read_sides(store, plans, every)
    cuts = [plan_slots(plan, settings.retention, now_ms) for plan in plans]
    pair = Pair(*sides, read_slots(store, cuts, every, sides, numbers))
    tags = [
        fingerprint(own, directory, *asked)
        for own, asked in zip(sides, zip(questions, plans, strict=True), strict=True)
    ]
    found = diff(
        pair,
        directory,
        questions[1],
        (plans[0], plans[1]),
        significance=significance,
        unchanged=unchanged,
    )
    return found, "-".join(tags)
