"""Read two windows from the store and compare them, for the route and the command alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa

from chronotope.schema.observations import LAYERS
from chronotope.schema.storage.store import Store
from chronotope.server.diff.aligned import Pair
from chronotope.server.diff.difference import Diff, diff
from chronotope.server.evidence.columns import coded
from chronotope.server.evidence.levels import Plan, plan_window
from chronotope.server.evidence.lifetimes import lifetimes_of, lifetimes_queries
from chronotope.server.evidence.question import Question
from chronotope.server.evidence.settings import Settings
from chronotope.server.evidence.sub_windows import SubWindowPlan, plan_sub_windows, sub_windows_of, sub_windows_query
from chronotope.server.evidence.windows import read_windows
from chronotope.server.graph.fingerprint import fingerprint
from chronotope.server.graph.reading import check_focus, directory_of, directory_queries


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
    stored, withdrawals, *about = store.query_together(*lifetimes_queries(), *directory_queries(plans[1]))
    lifetimes = lifetimes_of(store, stored, withdrawals)
    directory = directory_of(about)
    check_focus(directory, questions[1])
    every = replace(questions[1], protocols=())  # only all protocols show whether a layer was silent
    cuts = [plan_sub_windows(plan, settings.retention, now_ms) for plan in plans]
    pair = _read_pair(store, plans, cuts, every, lifetimes)
    tag = fingerprint((pair.before, pair.after), directory, questions, plans)
    found = diff(
        pair,
        directory,
        questions[1],
        (plans[0], plans[1]),
        significance=significance,
        unchanged=unchanged,
    )
    return found, tag


def _read_pair(
    store: Store, plans: Sequence[Plan], cuts: Sequence[SubWindowPlan], question: Question, lifetimes: pa.Table
) -> Pair:
    """Both windows over the same edges, and their sub-windows; all is read at once."""
    seen = set(coded(lifetimes, "layer")[1])
    layers = [name for name in question.layers or LAYERS if name in seen]
    asked = [cut for cut in cuts if cut.count and layers]
    queries = [sub_windows_query(cut, question, layers) for cut in asked]
    windows, answers = read_windows(store, plans, question, queries, lifetimes)
    before, after = windows.columns
    tables = iter(answers)
    sub_windows = [
        sub_windows_of(next(tables), cut, layers, columns, windows.numbers, full=question.full) if cut in asked else {}
        for cut, columns in zip(cuts, windows.columns, strict=True)
    ]
    return Pair(before, after, (sub_windows[0], sub_windows[1]))
