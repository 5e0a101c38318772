"""Times and durations as people and programs write them.

Invariant: an instant is Unix milliseconds in UTC within what the store can hold (1970 to 2105); a duration is whole
seconds. The clock is never read here: `now` is passed in.
"""

from __future__ import annotations

import calendar
import math
import re
from datetime import UTC, datetime, timedelta

from chronotope.schema.errors import InvalidTime, InvalidWindow

TIME_FORMS = (
    "RFC 3339 (2026-01-31T12:00:00Z), Unix seconds or milliseconds, or relative to now (now, now-90m, now-1d/d)"
)
DURATION_FORMS = "a whole number and a unit, as in 30s, 5m, 1h, 7d, 2w, or several, as in 1h30m"

EARLIEST_MS = 0
LATEST_MS = 4_291_747_200_000  # 2106-01-01, the last whole year of ClickHouse's DateTime
MAX_DURATION_S = LATEST_MS // 1000
_MILLISECONDS_FROM = 100_000_000_000  # as seconds this would be the year 5138

_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9})\d*)?([Zz]|[+\- ]\d\d:\d\d)", re.ASCII
)
_NUMBER = re.compile(r"\d{1,15}(\.\d{1,9})?", re.ASCII)
_RELATIVE = re.compile(r"now((?:[+-]\d{1,9}[smhdwMy])*)(?:/([smhdwMy]))?", re.ASCII)
_STEP = re.compile(r"([+-])(\d{1,9})([smhdwMy])", re.ASCII)
_DURATION = re.compile(r"(?:\d{1,10}[smhdw])+", re.ASCII)
_PART = re.compile(r"(\d+)([smhdw])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def parse_time(text: str, now: int, *, name: str = "time") -> int:
    """Return the instant that a text means, in Unix milliseconds.

    Args:
        text: RFC 3339 with an offset, Unix seconds or milliseconds, or Grafana's relative form (`now-90m`, `now/d`).
        now: Unix milliseconds.
        name: the parameter's name, for messages.

    Raises:
        InvalidTime: any other form.
        InvalidWindow: a time outside 1970 to 2105.
    """
    value = text.strip()
    at = _parse(value, now)
    if at is None:
        raise InvalidTime(f"{name} {shortened(text)} is not a time; accepted: {TIME_FORMS}")
    if not EARLIEST_MS <= at < LATEST_MS:
        raise InvalidWindow(f"{name} {shortened(text)} is outside 1970-01-01 to 2105-12-31, all that can be stored")
    return at


def parse_duration(text: str, *, name: str = "window") -> int:
    """Return a duration such as `30s`, `5m`, `1h` or `7d` in seconds.

    Raises:
        InvalidTime: any other form.
        InvalidWindow: zero, or longer than any history.
    """
    value = text.strip()
    if not _DURATION.fullmatch(value):
        raise InvalidTime(f"{name} {shortened(text)} is not a duration; accepted: {DURATION_FORMS}")
    seconds = sum(int(count) * _SECONDS[unit] for count, unit in _PART.findall(value))
    if not 0 < seconds <= MAX_DURATION_S:
        raise InvalidWindow(f"{name} {shortened(text)} must be longer than 0 s and at most 100 years")
    return seconds


def format_time(at: int) -> str:
    """Return an instant (Unix milliseconds) as RFC 3339 in UTC with milliseconds."""
    moment = datetime.fromtimestamp(at // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{at % 1000:03d}Z"


def format_duration(seconds: int) -> str:
    """Return seconds in the largest unit that divides them: 300 → `5m`."""
    for unit in "dhm":
        if seconds and seconds % _SECONDS[unit] == 0:
            return f"{seconds // _SECONDS[unit]}{unit}"
    return f"{seconds}s"


def shortened(text: str) -> str:
    """Quote a value from outside for a message, cut to a readable length."""
    return repr(text if len(text) <= 80 else text[:77] + "…")


def _parse(value: str, now: int) -> int | None:
    if _NUMBER.fullmatch(value):
        number = float(value)
        return math.floor(number if number >= _MILLISECONDS_FROM else number * 1000 + 1e-4)
    if match := _RFC3339.fullmatch(value):
        return _from_rfc3339(match)
    if match := _RELATIVE.fullmatch(value):
        return _from_relative(match, now)
    return None


def _from_rfc3339(match: re.Match[str]) -> int | None:
    year, month, day, hour, minute, second = (int(group) for group in match.groups()[:6])
    try:
        moment = datetime(year, month, day, hour, minute, min(second, 59), tzinfo=UTC)
    except ValueError:
        return None
    if second > 60:
        return None
    milliseconds = int(((match[7] or "0") + "00")[:3])
    at = calendar.timegm(moment.timetuple()) * 1000 + milliseconds + (1000 if second == 60 else 0)
    offset = match[8]
    if offset in "Zz":
        return at
    hours, minutes = int(offset[1:3]), int(offset[4:6])
    if hours > 23 or minutes > 59:
        return None
    # A plus sign that was not percent-encoded arrives as a space.
    return at - (-1 if offset[0] == "-" else 1) * (hours * 60 + minutes) * 60_000


def _from_relative(match: re.Match[str], now: int) -> int:
    moment = datetime.fromtimestamp(now // 1000, UTC) + timedelta(milliseconds=now % 1000)
    try:
        for sign, count, unit in _STEP.findall(match[1]):
            moment = _shift(moment, int(count) * (1 if sign == "+" else -1), unit)
        if match[2]:
            moment = _floor(moment, match[2])
    except (ValueError, OverflowError):
        return EARLIEST_MS - 1  # a time, but none that can be stored
    return calendar.timegm(moment.timetuple()) * 1000 + moment.microsecond // 1000


def _shift(moment: datetime, count: int, unit: str) -> datetime:
    if unit not in "My":
        return moment + timedelta(seconds=count * _SECONDS[unit])
    months = moment.year * 12 + moment.month - 1 + count * (12 if unit == "y" else 1)
    year, month = divmod(months, 12)
    if not 1 <= year <= 9999:
        raise ValueError("year out of range")
    day = min(moment.day, calendar.monthrange(year, month + 1)[1])
    return moment.replace(year=year, month=month + 1, day=day)


def _floor(moment: datetime, unit: str) -> datetime:
    if unit == "y":
        return datetime(moment.year, 1, 1, tzinfo=UTC)
    if unit == "M":
        return datetime(moment.year, moment.month, 1, tzinfo=UTC)
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    if unit in "dw":
        return midnight - timedelta(days=moment.weekday() if unit == "w" else 0)
    size = timedelta(seconds=_SECONDS[unit])
    return midnight + (moment - midnight) // size * size
