from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronotope.schema.errors import InvalidWindow
from chronotope.server.evidence.levels import SIZES, Plan, plan_window

DAY = 86_400
T0 = 1_700_006_400  # a day's start
KEEP: dict[str, int | None] = {}


def segments(plan: Plan) -> list[tuple[str, int, int]]:
    return [(s.level, s.start_s - T0, s.end_s - T0) for s in plan.segments]


def test_five_whole_minutes_are_five_minute_buckets() -> None:
    plan = plan_window(T0 * 1000, (T0 + 300) * 1000, KEEP, 0)
    assert segments(plan) == [("1m", 0, 300)]
    assert plan.resolution_s == 60


def test_a_day_off_the_hour_is_hours_between_minutes_between_tens_of_seconds() -> None:
    plan = plan_window((T0 + 1810) * 1000, (T0 + 1810 + DAY) * 1000, KEEP, 0)
    assert segments(plan) == [
        ("10s", 1810, 1860),
        ("1m", 1860, 3600),
        ("1h", 3600, DAY),
        ("1m", DAY, DAY + 1800),
        ("10s", DAY + 1800, DAY + 1810),
    ]
    assert plan.resolution_s == 10


def test_a_window_off_ten_seconds_is_widened_outward() -> None:
    plan = plan_window(T0 * 1000 + 1, T0 * 1000 + 10_001, KEEP, 0)
    assert (plan.start_s, plan.end_s) == (T0, T0 + 20)


def test_expired_tens_of_seconds_widen_to_the_minute_and_say_so() -> None:
    kept: dict[str, int | None] = {"10s": DAY}
    plan = plan_window((T0 + 10) * 1000, (T0 + 40) * 1000, kept, (T0 + 3 * DAY) * 1000)
    assert (plan.start_s - T0, plan.end_s - T0, plan.resolution_s) == (0, 60, 60)


def test_only_the_expired_end_is_widened() -> None:
    kept: dict[str, int | None] = {"10s": 600, "1m": 600}
    now = T0 + 7200
    plan = plan_window((T0 + 1810) * 1000, (now - 10) * 1000, kept, now * 1000)
    assert plan.start_s == T0
    assert plan.end_s == now - 10 or plan.end_s == now
    assert plan.resolution_s == 3600


def test_what_no_level_keeps_is_asked_of_the_days() -> None:
    kept: dict[str, int | None] = dict.fromkeys(SIZES, DAY)
    plan = plan_window((T0 + 10) * 1000, (T0 + 40) * 1000, kept, (T0 + 9 * DAY) * 1000)
    assert segments(plan) == [("1d", 0, DAY)]


@pytest.mark.parametrize("length", [0, -1])
def test_an_empty_or_reversed_window_is_refused(length: int) -> None:
    with pytest.raises(InvalidWindow, match="from must be before to"):
        plan_window(T0 * 1000, (T0 + length) * 1000, KEEP, 0)


ages = st.one_of(st.none(), st.integers(1, 100 * DAY))


@given(
    start=st.integers(0, 50 * DAY * 1000),
    length=st.integers(1, 40 * DAY * 1000),
    kept=st.fixed_dictionaries(dict.fromkeys(SIZES, ages)),
    now=st.integers(0, 120 * DAY),
)
def test_segments_are_disjoint_whole_and_cover_exactly(
    start: int, length: int, kept: dict[str, int | None], now: int
) -> None:
    """Whatever the retention: no instant twice, none missing, only whole buckets that have not expired."""
    plan = plan_window(start, start + length, kept, now * 1000)
    assert plan.start_s * 1000 <= start
    assert plan.end_s * 1000 >= start + length
    at = plan.start_s
    for segment in plan.segments:
        size = SIZES[segment.level]
        assert segment.start_s == at < segment.end_s
        assert segment.start_s % size == 0
        assert segment.end_s % size == 0
        at = segment.end_s
    assert at == plan.end_s
    assert len(plan.segments) <= 2 * len(SIZES)
    if all(age is None for age in kept.values()):
        assert plan.start_s == start // 10_000 * 10
        assert plan.end_s == -(-(start + length) // 10_000) * 10
