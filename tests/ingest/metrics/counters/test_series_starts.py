"""Series that are born while their target is watched count from 0, and only those: never a call too many."""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.ingest.metrics.sources.saved_counters import SavedCounters

from chronotope.ingest.metrics.counters.columns import NO_TIME, Samples, SeriesTable
from chronotope.ingest.metrics.counters.increases import Counters
from chronotope.ingest.metrics.counters.series_starts import SeriesStarts
from chronotope.ingest.metrics.formats.exposition import ExpositionParser
from chronotope.ingest.metrics.mapping.pipeline import MetricsPipeline
from chronotope.schema.config.config import Config
from chronotope.schema.errors import InvalidPayload

GAP_S = 100
CODES = ("200", "404", "500")


def scrape(parser: ExpositionParser, counters: Counters, text: str, second: int, *, complete: bool = True) -> float:
    return float(counters.add(parser.parse(text.encode(), second * 1000, complete=complete)).increase.sum())


@pytest.fixture
def target() -> tuple[ExpositionParser, Counters]:
    table = SeriesTable()
    return ExpositionParser(table), Counters(table, longest_gap_ms=GAP_S * 1000)


def test_a_series_that_the_last_answer_did_not_have_counts_from_zero(target: tuple[ExpositionParser, Counters]) -> None:
    assert scrape(*target, "a 7\n", 10) == 0
    assert scrape(*target, "a 7\nb 3\n", 20) == 3
    assert scrape(*target, "a 7\nb 5\n", 30) == 2


@pytest.mark.parametrize(
    ("first", "complete"),
    [("a 7\n", False), ("a 7\nb x\n", True), ("a 7\nb 3 4 5\n", True), ("a 7\nb{c=} 2\n", True), ("a 7\nb -2\n", True)],
    ids=["not known to be complete", "bad value", "bad line", "bad series", "not a count"],
)
def test_an_answer_of_which_not_all_was_read_says_of_none_that_it_is_new(
    target: tuple[ExpositionParser, Counters], first: str, complete: bool
) -> None:
    scrape(*target, first, 10, complete=complete)
    assert scrape(*target, "a 7\nb 3\n", 20) == 0


def test_a_birth_long_after_the_last_answer_gives_nothing(target: tuple[ExpositionParser, Counters]) -> None:
    scrape(*target, "a 7\n", 10)
    assert scrape(*target, "a 7\nb 3\n", 11 + GAP_S) == 0


def test_a_sample_of_before_the_last_answer_is_no_birth(target: tuple[ExpositionParser, Counters]) -> None:
    scrape(*target, "a 7\n", 10)
    assert scrape(*target, "a 7\nb 3 9000\n", 20) == 0


def test_what_began_before_the_last_answer_by_its_own_word_is_no_birth() -> None:
    table = SeriesTable()
    parser, counters = ExpositionParser(table), Counters(table, since_ms=8000)
    scrape(parser, counters, "a_total 7\n", 10)
    assert scrape(parser, counters, "a_total 7\nb_total 3\nb_created 5\n", 20) == 0


def test_a_series_that_was_forgotten_is_not_born_when_it_returns() -> None:
    pipeline = MetricsPipeline(Config(), max_series=2)
    labels = {"job": "front", "instance": "10.0.0.1:80", "service_name": "front"}
    parser = ExpositionParser(pipeline.table, target_labels=labels, wanted=pipeline.rules.wanted)
    pipeline.on_forget.append(parser.forget)
    series = [f'http_client_request_duration_seconds_count{{server_address="s{n}"}} 5\n' for n in range(3)]

    def counted(text: str, second: int) -> float:
        increases = pipeline.increases(parser.parse(text.encode(), second * 1000, complete=True))
        pipeline.tidy(second * 1000)
        return float(increases.increase.sum())

    assert counted(series[0], 0) == 0
    assert counted(series[1], 15) == 5
    for second in range(30, 8000, 60):
        assert counted(series[1], second) == 0
    assert len(pipeline.table) == 1
    assert counted(series[0] + series[1], 8000) == 0


def up_samples(table: SeriesTable, *rows: tuple[str, str, int, float]) -> Samples:
    codes = [
        table.code(name, (("instance", instance), ("job", "j")) if instance else ()) for name, instance, *_ in rows
    ]
    return Samples(
        np.array(codes, np.int32),
        np.array([second * 1000 for *_, second, _ in rows], np.int64),
        np.array([value for *_, value in rows], np.float64),
    )


@pytest.mark.parametrize(
    ("up", "born_after"),
    [
        ([("up", "a", 10, 1), ("up", "a", 25, 1)], 10),
        ([("up", "a", 10, 1), ("up", "a", 20, 0), ("up", "a", 25, 1)], 10),
        ([("up", "a", 10, math.nan), ("up", "a", 25, 1)], None),
        ([("up", "b", 10, 1), ("up", "a", 25, 1)], None),
        ([("up", "", 10, 1)], None),
    ],
    ids=["watched", "failed once", "stale", "another target", "nobody"],
)
def test_prometheus_says_by_up_when_a_target_was_watched(
    up: list[tuple[str, str, int, float]], born_after: int | None
) -> None:
    table = SeriesTable()
    starts = SeriesStarts(table)
    samples = starts.watched(up_samples(table, *up, ("x", "a", 25, 3), ("x", "a", 40, 4)))
    increases = Counters(table).add(samples)
    expected = [] if born_after is None else [(born_after * 1000, 3.0)]
    assert list(zip(increases.begin_ms.tolist(), increases.increase.tolist(), strict=True)) == [
        *expected,
        (25_000, 1.0),
    ]


def test_up_is_remembered_from_chunk_to_chunk() -> None:
    table = SeriesTable()
    starts = SeriesStarts(table)
    starts.watched(up_samples(table, ("up", "a", 10, 1)))
    samples = starts.watched(up_samples(table, ("x", "a", 25, 3)))
    assert samples.watched is not None
    assert samples.watched.tolist() == [10_000]
    starts.clear()
    samples = starts.watched(up_samples(table, ("x", "b", 25, 3)))
    assert samples.watched is None


def test_two_targets_of_one_name_say_nothing() -> None:
    table = SeriesTable()
    table.code("up", (("instance", "a"), ("job", "j"), ("pod", "1")))
    samples = SeriesStarts(table).watched(up_samples(table, ("up", "a", 10, 1), ("x", "a", 25, 3)))
    assert samples.watched is not None
    assert samples.watched.tolist() == [NO_TIME]


@dataclass
class Process:
    """A program that shows a series only from its first call on."""

    value: dict[str, int] = field(default_factory=dict)

    def text(self) -> str:
        return "".join(f'calls_total{{code="{code}"}} {value}\n' for code, value in self.value.items())


STEPS = st.one_of(
    st.tuples(st.just("call"), st.sampled_from(CODES), st.integers(1, 5)),
    st.tuples(st.sampled_from(["scrape", "cut off", "of unknown length"]), st.just(""), st.integers(1, 60)),
    st.tuples(st.just("wait"), st.just(""), st.integers(1, 90)),
    st.tuples(
        st.sampled_from(["process restarts", "collector restarts", "collector begins anew"]), st.just(""), st.just(0)
    ),
)


@settings(max_examples=500, deadline=None)
@given(st.lists(STEPS, max_size=40), st.sampled_from([1, 2, 100]))
def test_no_schedule_of_births_gives_more_calls_than_happened(steps: list[tuple[str, str, int]], limit: int) -> None:
    """And exactly those between the first and the last scrape, where each was whole, in time and of one process."""
    table = SeriesTable(limit)
    parser, counters = ExpositionParser(table), Counters(table, longest_gap_ms=GAP_S * 1000)
    process, second, last, exact = Process(), 1000, 0, limit == 100
    saved, happened, before, seen, counted = SavedCounters(), 0, 0, 0, 0.0
    for step, code, number in steps:
        if step == "call":
            process.value[code] = process.value.get(code, 0) + number
            happened += number
        elif step == "wait":
            second += number
        elif step == "process restarts":
            process, exact = Process(), False
        elif step.startswith("collector"):
            full = bool(table.skipped["series_limit"])
            saved.save(counters, table)
            table, watched_ms, exact = SeriesTable(limit), parser.watched_ms, exact and step == "collector restarts"
            parser, counters = ExpositionParser(table), Counters(table, longest_gap_ms=GAP_S * 1000)
            if step == "collector restarts":
                counters.remembered = saved.load()
                parser.watched_ms = NO_TIME if full else watched_ms
        else:
            second += number
            text = process.text()[: -number if step == "cut off" else None]
            exact &= step == "scrape" and (not last or second - last <= GAP_S)
            if not last:
                before = happened
            seen, last = happened, second
            with contextlib.suppress(InvalidPayload):  # of a table that is full nothing is taken
                text = f"# TYPE calls counter\n{text}" if number % 2 else text
                counted += scrape(parser, counters, text, second, complete=step == "scrape")
    assert counted <= (seen - before if last else 0)
    if exact:
        assert counted == seen - before
