"""Graphs of any past moment from a long history, at the store: the questions that the page and the panel ask.

Each round asks another random moment, so that the figures are of any time and not of a cached one. Answers are held to
the formula that the history was made by.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import numpy as np
import pytest
from benchmarks.history import DAY_S, END_S, MINUTE_LATENCY_S, History
from benchmarks.percentiles import add_percentiles

from chronotope.schema.latency import middle_ms
from chronotope.schema.storage.store import Store
from chronotope.server.evidence.columns import EdgeColumns
from chronotope.server.evidence.levels import Plan, plan_window
from chronotope.server.evidence.question import Question
from chronotope.server.evidence.settings import KEEP_ALL, Settings
from chronotope.server.evidence.steps import plan_steps
from chronotope.server.evidence.windows import read_edges
from chronotope.server.graph.assemble import assemble
from chronotope.server.graph.reading import Reading, read_graph
from chronotope.server.graph.series import read_series

ROUNDS = 100
of_histories = pytest.mark.sizes("history", [(100, 2)], [(100, 30), (1_000, 30), (10_000, 30)], indirect=True)


@pytest.fixture(scope="module")
def store(history: History) -> Iterator[Store]:
    with Store.open(history.url) as opened:
        yield opened


def random_starts(earliest_s: int, window_s: int, step_s: int) -> Iterator[int]:
    """Moments at which a window may begin, in Unix seconds."""
    random = np.random.default_rng(17)
    while True:
        yield int(random.integers(earliest_s, END_S - window_s + 1)) // step_s * step_s


def planned(start_s: int, window_s: int, *, full: bool = False) -> tuple[Plan, Question]:
    question = Question(start_ms=start_s * 1000, end_ms=(start_s + window_s) * 1000, full=full)
    return plan_window(question.start_ms, question.end_ms, KEEP_ALL, END_S * 1000), question


def reading(store: Store, question: Question) -> Reading:
    return read_graph(store, Settings(retention=KEEP_ALL), question, END_S * 1000)


def ask(benchmark: Any, starts: Iterator[int], window_s: int, run: Callable[..., Any], *, full: bool = False) -> Any:
    """Time `run(plan, question)` for one random window a round; return the last window's start and answer."""
    last = 0

    def setup() -> tuple[tuple[Any, ...], dict[str, Any]]:
        nonlocal last
        last = next(starts)
        return planned(last, window_s, full=full), {}

    answer = benchmark.pedantic(run, setup=setup, rounds=ROUNDS, warmup_rounds=10)
    add_percentiles(benchmark)
    return last, answer


def check_calls(history: History, columns: EdgeColumns, start_s: int, end_s: int) -> None:
    """Every edge that was active is there, with its calls."""
    calls = history.calls(start_s, end_s)
    found = {
        (columns.names[source], columns.names[target]): count
        for source, target, count in zip(
            columns.source.tolist(), columns.target.tolist(), columns.layers["trace"].measures["calls"], strict=True
        )
    }
    assert found == {history.ends(edge)[:2]: calls[edge] for edge in np.flatnonzero(calls).tolist()}


@of_histories
@pytest.mark.parametrize("since", ["any_minute", "last_day_any_ten_seconds"])
def test_five_minutes_of_counts(benchmark: Any, store: Store, history: History, since: str) -> None:
    whole = since == "any_minute"
    starts = random_starts(history.start_s if whole else END_S - DAY_S, 300, 60 if whole else 10)
    last, columns = ask(benchmark, starts, 300, lambda *asked: read_edges(store, *asked)[0])
    if last % 60 == 0:
        check_calls(history, columns, last, last + 300)
    assert len(columns) > 0.9 * history.edges


@of_histories
def test_five_minutes_with_quantiles(benchmark: Any, store: Store, history: History) -> None:
    starts = random_starts(END_S - MINUTE_LATENCY_S, 300, 60)
    last, columns = ask(benchmark, starts, 300, lambda *asked: read_edges(store, *asked)[0], full=True)
    check_calls(history, columns, last, last + 300)
    graph = reading(store, planned(last, 300, full=True)[1]).graph
    for edge in (0, history.edges // 2 + 3):
        source, target, _ = history.ends(edge)
        shown = next((shown for shown in graph.edges if (shown.source, shown.target) == (source, target)), None)
        if shown is not None:
            middle = middle_ms(np.array([history.first_bucket(edge) + 4], np.uint8))
            assert shown.evidence.trace.latency_ms.p50 == pytest.approx(middle[0], abs=1e-6)


@of_histories
@pytest.mark.parametrize("cut", ["by_the_hour", "by_the_minute"])
def test_a_day_of_counts(benchmark: Any, store: Store, history: History, cut: str) -> None:
    starts = random_starts(history.start_s, DAY_S, 3600 if cut == "by_the_hour" else 60)
    last, columns = ask(benchmark, starts, DAY_S, lambda *asked: read_edges(store, *asked)[0])
    check_calls(history, columns, last, last + DAY_S)


@of_histories
@pytest.mark.parametrize("measures", ["counts", "full"])
def test_one_edge_by_the_hour(benchmark: Any, store: Store, history: History, measures: str) -> None:
    """All of the history in steps of an hour, for another random edge each round."""
    random = np.random.default_rng(19)
    steps = plan_steps(history.start_s * 1000, END_S * 1000, 3600, KEEP_ALL, END_S * 1000, 2000)
    question = Question(start_ms=history.start_s * 1000, end_ms=END_S * 1000, full=measures == "full")
    ids = dict(store.rows("SELECT (source, target, protocol), id FROM edge_lifetimes"))
    edge = 0

    def setup() -> tuple[tuple[Any, ...], dict[str, Any]]:
        nonlocal edge
        edge = int(random.integers(0, history.edges))
        return (store, steps, ids[history.ends(edge)], question), {}

    series = benchmark.pedantic(read_series, setup=setup, rounds=ROUNDS, warmup_rounds=10)
    add_percentiles(benchmark)
    assert sum(series.evidence.trace.calls) == history.calls(history.start_s, END_S, np.array([edge]))[0]
    assert len(series.time) == history.days * 24


@of_histories
@pytest.mark.parametrize("measures", ["counts", "full"])
def test_assembling_a_graph(benchmark: Any, store: Store, history: History, measures: str) -> None:
    plan, question = planned(END_S - 3600, 300, full=measures == "full")
    columns, directory = read_edges(store, plan, question)[0], reading(store, question).directory
    graph = benchmark(assemble, columns, directory, question, plan)
    assert sum(edge.evidence.trace.calls for edge in graph.edges) == history.calls(plan.start_s, plan.end_s).sum()


@of_histories
@pytest.mark.parametrize("measures", ["counts", "full"])
def test_encoding_an_answer(benchmark: Any, store: Store, history: History, measures: str) -> None:
    _, question = planned(END_S - 3600, 300, full=measures == "full")
    graph = reading(store, question).graph
    body = benchmark(msgspec.json.Encoder().encode, graph)
    benchmark.extra_info["bytes_per_edge"] = len(body) // len(graph.edges)
    decoded = msgspec.json.decode(body)
    assert len(decoded["edges"]) == len(graph.edges)
