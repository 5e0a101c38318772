from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronotope.schema.errors import InvalidTime, InvalidWindow
from chronotope.schema.times import LATEST_MS, format_duration, format_time, parse_duration, parse_time

NOW = 1_700_000_000_123  # 2023-11-14T22:13:20.123Z, a Tuesday


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("now", "2023-11-14T22:13:20.123Z"),
        ("now-90m", "2023-11-14T20:43:20.123Z"),
        ("now-1d-2h", "2023-11-13T20:13:20.123Z"),
        ("now+1h", "2023-11-14T23:13:20.123Z"),
        ("now-1M", "2023-10-14T22:13:20.123Z"),
        ("now/m", "2023-11-14T22:13:00.000Z"),
        ("now/h", "2023-11-14T22:00:00.000Z"),
        ("now-1d/d", "2023-11-13T00:00:00.000Z"),
        ("now/w", "2023-11-13T00:00:00.000Z"),
        ("now/M", "2023-11-01T00:00:00.000Z"),
        ("now/y", "2023-01-01T00:00:00.000Z"),
        ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00.000Z"),
        ("2026-01-31t12:00:00.5z", "2026-01-31T12:00:00.500Z"),
        ("2026-01-31T12:00:00.123456789+02:00", "2026-01-31T10:00:00.123Z"),
        ("2026-01-31T12:00:00-05:30", "2026-01-31T17:30:00.000Z"),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000Z"),
        ("1700000000", "2023-11-14T22:13:20.000Z"),
        ("1700000000.25", "2023-11-14T22:13:20.250Z"),
        ("1700000000123", "2023-11-14T22:13:20.123Z"),
        ("0", "1970-01-01T00:00:00.000Z"),
    ],
)
def test_a_time_in_each_form_means_one_instant(text: str, meant: str) -> None:
    assert format_time(parse_time(text, NOW)) == meant


def test_a_plus_sign_that_was_not_encoded_is_still_an_offset() -> None:
    """In a query `+02:00` arrives as ` 02:00`."""
    assert parse_time("2026-01-31T12:00:00 02:00", NOW) == parse_time("2026-01-31T10:00:00Z", NOW)


@pytest.mark.parametrize(
    "text",
    ["", "x", "2026-01-31", "2026-01-31T12:00:00", "2026-02-30T12:00:00Z", "now-", "-5", "1e9", "nan", "２０２６"],
)
def test_what_is_no_time_is_refused_with_what_would_be_accepted(text: str) -> None:
    with pytest.raises(InvalidTime, match=r"at .* is not a time; accepted: RFC 3339"):
        parse_time(text, NOW, name="at")


@pytest.mark.parametrize("text", ["now-100y", "99999999999999", "now-999999999y", "2106-01-01T00:00:00Z"])
def test_a_time_that_cannot_be_stored_is_impossible(text: str) -> None:
    with pytest.raises(InvalidWindow, match="outside 1970"):
        parse_time(text, NOW)


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30), ("5m", 300), ("1h", 3600), ("7d", 604_800), ("1h30m", 5400)]
)
def test_a_duration_is_whole_seconds(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "m", "-5m", "5 m", "1.5h", "5x"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(InvalidTime, match="is not a duration; accepted"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["0s", "99999999d"])
def test_no_time_at_all_and_more_than_all_time_are_no_windows(text: str) -> None:
    with pytest.raises(InvalidWindow):
        parse_duration(text)


@given(st.integers(0, LATEST_MS - 1))
def test_a_formatted_time_is_read_back(at: int) -> None:
    assert parse_time(format_time(at), NOW) == at


@given(st.integers(1, 10**8))
def test_a_formatted_duration_is_read_back(seconds: int) -> None:
    assert parse_duration(format_duration(seconds)) == seconds
