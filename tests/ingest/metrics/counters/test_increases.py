"""Counters to increases: never a call too many, and all of them where every reset was seen."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.ingest.metrics.sources.saved_counters import SavedCounters

from chronotope.ingest.metrics.counters.columns import Increases, Samples, SeriesTable
from chronotope.ingest.metrics.counters.increases import Counters

S = 1000


def samples_of(table: SeriesTable, *rows: tuple[str, int, float]) -> Samples:
    """Return samples of (series name, or `name{le}`; seconds; value)."""
    codes = []
    for text, _, _ in rows:
        name, _, le = text.rstrip("}").partition("{")
        codes.append(table.code(name, (("le", le),) if le else ()))
    return Samples(
        np.array(codes, np.int32),
        np.array([round(second * S) for _, second, _ in rows], np.int64),
        np.array([value for *_, value in rows], np.float64),
    )


def rows_of(table: SeriesTable, increases: Increases) -> list[tuple[str, float, float, float]]:
    columns = (increases.series, increases.begin_ms / S, increases.end_ms / S, increases.increase)
    return [(table.names[code], *rest) for code, *rest in zip(*(c.tolist() for c in columns), strict=True)]  # type: ignore[misc]


def test_the_first_sample_gives_nothing_and_the_next_what_was_added() -> None:
    table = SeriesTable()
    counters = Counters(table)
    assert len(counters.add(samples_of(table, ("a", 0, 100)))) == 0
    rows = rows_of(table, counters.add(samples_of(table, ("a", 15, 107), ("a", 30, 107), ("a", 45, 108))))
    assert rows == [("a", 0, 15, 7), ("a", 30, 45, 1)]


def test_a_fall_is_a_reset_and_counts_what_came_since() -> None:
    table = SeriesTable()
    counters = Counters(table)
    rows = rows_of(table, counters.add(samples_of(table, ("a", 0, 100), ("a", 15, 3), ("a", 30, 5))))
    assert rows == [("a", 0, 15, 3), ("a", 15, 30, 2)]
    assert counters.resets == 1


def test_a_missed_scrape_is_bridged_and_a_long_gap_is_not() -> None:
    table = SeriesTable()
    counters = Counters(table, longest_gap_ms=60 * S)
    rows = rows_of(table, counters.add(samples_of(table, ("a", 0, 0), ("a", 60, 4), ("a", 121, 9), ("a", 130, 10))))
    assert rows == [("a", 0, 60, 4), ("a", 121, 130, 1)]
    assert counters.ignored == {"gap": 1}


def test_a_staleness_marker_ends_a_series() -> None:
    table = SeriesTable()
    rows = rows_of(
        table,
        Counters(table).add(samples_of(table, ("a", 0, 5), ("a", 15, math.nan), ("a", 30, 9), ("a", 45, 10))),
    )
    assert rows == [("a", 30, 45, 1)]


def test_repeated_and_earlier_samples_are_ignored_and_counted() -> None:
    table = SeriesTable()
    counters = Counters(table)
    rows = rows_of(
        table, counters.add(samples_of(table, ("a", 0, 5), ("a", 15, 6), ("a", 15, 9), ("a", 5, 2), ("a", 30, 7)))
    )
    assert rows == [("a", 0, 15, 1), ("a", 15, 30, 1)]
    assert counters.ignored == {"duplicate_time": 1, "out_of_order": 1}


@pytest.mark.parametrize("absurd", [-1.0, math.inf, -math.inf, 1e300])
def test_what_is_no_count_is_ignored(absurd: float) -> None:
    table = SeriesTable()
    counters = Counters(table)
    rows = rows_of(table, counters.add(samples_of(table, ("a", 0, 5), ("a", 15, absurd), ("a", 30, 7))))
    assert rows == [("a", 0, 30, 2)]
    assert counters.ignored == {"not_a_count": 1}


def test_a_counter_that_began_while_we_watched_counts_from_its_beginning() -> None:
    table = SeriesTable()
    counters = Counters(table)
    counters.add(samples_of(table, ("other", 100, 5)))
    rows = rows_of(table, counters.add(samples_of(table, ("a_total", 115, 4), ("a_created", 115, 108.5))))
    assert rows == [("a_total", 108.5, 115, 4)]


def test_a_counter_that_began_before_we_watched_does_not() -> None:
    table = SeriesTable()
    assert len(Counters(table).add(samples_of(table, ("a_total", 115, 4), ("a_created", 115, 108.5)))) == 0
    believing = Counters(table, since_ms=0).add(samples_of(table, ("a_total", 115, 4), ("a_created", 115, 108.5)))
    assert believing.increase.tolist() == [4.0]


def test_a_new_created_time_is_a_reset_though_the_value_did_not_fall() -> None:
    table = SeriesTable()
    counters = Counters(table)
    counters.add(samples_of(table, ("a_total", 100, 5), ("a_created", 100, 50)))
    rows = rows_of(table, counters.add(samples_of(table, ("a_created", 115, 110), ("a_total", 115, 9))))
    assert rows == [("a_total", 110, 115, 9)]
    rows = rows_of(table, counters.add(samples_of(table, ("a_created", 130, 110), ("a_total", 130, 10))))
    assert rows == [("a_total", 115, 130, 1)]


def test_a_created_time_of_a_clock_ahead_is_no_second_reset() -> None:
    table = SeriesTable()
    counters = Counters(table)
    counters.add(samples_of(table, ("a_total", 86, 50), ("a_created", 86, 1)))
    total = 0.0
    for second, value in ((101, 5), (116, 9)):  # restarted at 100, which the target calls 102
        increases = counters.add(samples_of(table, ("a_total", second, value), ("a_created", second, 102)))
        total += float(increases.increase.sum())
    assert total == 9


def test_one_bucket_that_fell_resets_the_whole_histogram() -> None:
    table = SeriesTable()
    counters = Counters(table)
    counters.add(
        samples_of(table, ("h_bucket{1}", 0, 5), ("h_bucket{+Inf}", 0, 10), ("h_count", 0, 10), ("h_sum", 0, 7))
    )
    rows = rows_of(
        table,
        counters.add(
            samples_of(
                table, ("h_bucket{1}", 15, 4), ("h_bucket{+Inf}", 15, 11), ("h_count", 15, 11), ("h_sum", 15, 20)
            )
        ),
    )
    assert [row[-1] for row in rows] == [4, 11, 11, 20]


def test_a_sum_that_fell_alone_resets_nothing() -> None:
    table = SeriesTable()
    counters = Counters(table)
    counters.add(samples_of(table, ("h_count", 0, 10), ("h_sum", 0, 7)))
    rows = rows_of(table, counters.add(samples_of(table, ("h_count", 15, 11), ("h_sum", 15, 6.5))))
    assert rows == [("h_count", 0, 15, 1)]


def test_other_counters_of_a_target_are_not_reset_with_one() -> None:
    table = SeriesTable()
    counters = Counters(table)
    counters.add(samples_of(table, ("a_total", 0, 10), ("b_total", 0, 1000)))
    rows = rows_of(table, counters.add(samples_of(table, ("a_total", 15, 2), ("b_total", 15, 1001))))
    assert [row[-1] for row in rows] == [2, 1]


def test_counters_follow_a_compacted_table() -> None:
    table = SeriesTable()
    counters = Counters(table)
    counters.add(samples_of(table, ("gone", 0, 1), ("a", 0, 10)))
    counters.add(samples_of(table, ("a", 200, 11)))
    counters.renumber(table.compact(counters.seen_since(100 * S)))
    assert table.names == ["a"]
    assert rows_of(table, counters.add(samples_of(table, ("gone", 215, 5), ("a", 215, 13)))) == [("a", 200, 215, 2)]


GAP_S = 100
SERIES = ("h_bucket{1}", "h_bucket{+Inf}", "h_count")


@dataclass
class World:
    """A process that counts calls by latency, and which of them its samples can show."""

    says_created: bool
    second: int = 1000
    created: int = 1000
    value: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SERIES, 0))
    happened: int = 0
    shown: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SERIES, 0))
    all_resets_seen: bool = True
    watched_from: int | None = None
    last_second: int | None = None  # of the last sample, staleness marker or not
    last: dict[str, int] | None = None  # its values; None: a staleness marker

    def call(self, fast: int, slow: int) -> None:
        for name, calls in zip(SERIES, (fast, fast + slow, fast + slow), strict=True):
            self.value[name] += calls
        self.happened += fast + slow

    def restart(self) -> None:
        self.second += 1
        self.created = self.second
        self.value = dict.fromkeys(SERIES, 0)

    def rows(self) -> list[tuple[str, int, float]]:
        rows = [(name, self.second, float(value)) for name, value in self.value.items()]
        return [*rows, ("h_created", self.second, float(self.created))] if self.says_created else rows

    def scraped(self) -> None:
        """Note what this scrape shows that none before did."""
        if self.watched_from is None:
            self.watched_from = self.second
        before = self.last_second
        began_since = self.created > (before or 0) and self.created >= self.watched_from
        if began_since and self.says_created and self.second - self.created <= GAP_S:
            new = dict(self.value)
        elif self.last is None or before is None or self.second - before > GAP_S:
            new = dict.fromkeys(SERIES, 0)
        elif self.created > before:
            new = dict(self.value)
            self.all_resets_seen &= any(self.value[name] < self.last[name] for name in SERIES)
        else:
            new = {name: self.value[name] - self.last[name] for name in SERIES}
        for name, calls in new.items():
            self.shown[name] += calls
        self.last_second, self.last = self.second, dict(self.value)


STEPS = st.one_of(
    st.tuples(st.just("calls"), st.integers(0, 5), st.integers(0, 5)),
    st.tuples(st.just("scrape"), st.integers(1, 40), st.just(0)),
    st.tuples(st.just("missed scrapes"), st.integers(1, 90), st.just(0)),
    st.tuples(
        st.sampled_from(["process restarts", "collector restarts", "stale", "same again"]), st.just(0), st.just(0)
    ),
)


@settings(max_examples=500, deadline=None)
@given(st.lists(STEPS, max_size=40), st.booleans(), st.sampled_from(["each scrape", "series by series"]))
def test_no_schedule_gives_more_calls_than_happened(
    steps: list[tuple[str, int, int]], says_created: bool, batches: str
) -> None:
    """And exactly those that the samples show, where every reset was seen."""
    world = World(says_created)
    table = SeriesTable()
    counters = Counters(table, longest_gap_ms=GAP_S * S)
    saved, counted = SavedCounters(), dict.fromkeys(SERIES, 0.0)
    waiting: list[tuple[str, int, float]] = []

    def count() -> None:
        if batches == "series by series":
            waiting.sort(key=lambda row: row[0])
        increases = counters.add(samples_of(table, *waiting))
        waiting.clear()
        assert (increases.begin_ms < increases.end_ms).all()
        assert (increases.increase > 0).all()
        for code, increase in zip(increases.series.tolist(), increases.increase.tolist(), strict=True):
            le = table.labels[code].get("le")
            counted[f"{table.names[code]}{{{le}}}" if le else table.names[code]] += increase

    for step, number, other in steps:
        if step == "calls":
            world.call(number, other)
        elif step == "scrape":
            world.second += number
            world.scraped()
            waiting.extend(world.rows())
        elif step == "missed scrapes":
            world.second += number
        elif step == "process restarts":
            world.restart()
        elif step == "collector restarts":
            count()
            saved.save(counters, table)
            table, since_ms = SeriesTable(), counters.since_ms
            counters = Counters(table, longest_gap_ms=GAP_S * S, since_ms=since_ms)
            counters.remembered = saved.load()
        elif step == "stale" and world.last_second is not None and world.last_second < world.second:
            world.last_second, world.last = world.second, None
            waiting.extend((name, world.second, math.nan) for name in SERIES)
        elif step == "same again" and world.last is not None and world.last_second is not None:
            waiting.extend((name, world.last_second, 99.0) for name in SERIES)
        if batches == "each scrape":
            count()
    count()
    for name in SERIES:
        assert counted[name] <= world.shown[name] <= world.happened
        if world.all_resets_seen:
            assert counted[name] == world.shown[name]
