"""Choose the tables that answer a window exactly at the least cost.

Invariant: the segments of a plan are disjoint, in order, and cover exactly the plan's window. That is the window asked
for, widened to whole 10 seconds, and further only where the finer levels have expired.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from chronotope.schema.errors import InvalidWindow
from chronotope.schema.times import LATEST_MS, format_time

# Finest first: name as the tables have it, bucket in seconds. Each bucket divides the next.
LEVELS: tuple[tuple[str, int], ...] = (("10s", 10), ("1m", 60), ("1h", 3600), ("1d", 86_400))
SIZES = dict(LEVELS)
_LATEST_S = LATEST_MS // 1000 + 86_400


@dataclass(frozen=True, slots=True)
class Segment:
    """Whole buckets of one level: from `start_s` up to, but not including, `end_s` (Unix seconds)."""

    level: str
    start_s: int
    end_s: int


@dataclass(frozen=True, slots=True)
class Plan:
    """The window that is read, in Unix seconds, its segments, and the finest bucket by which its ends could be cut."""

    start_s: int
    end_s: int
    resolution_s: int
    segments: tuple[Segment, ...]

    @property
    def seconds(self) -> int:
        """Length of the window used."""
        return self.end_s - self.start_s


def plan_window(start_ms: int, end_ms: int, retention: Mapping[str, int | None], now_ms: int) -> Plan:
    """Plan the window [start, end).

    Args:
        start_ms: Unix milliseconds.
        end_ms: Unix milliseconds.
        retention: level → seconds kept, None or absent: everything.
        now_ms: Unix milliseconds; what is older than a level's retention is not read from that level.

    Raises:
        InvalidWindow: the window is empty or reversed.
    """
    if end_ms <= start_ms:
        raise InvalidWindow(
            f"the window from {format_time(start_ms)} to {format_time(end_ms)} is empty; from must be before to"
        )
    horizons = _horizons(retention, now_ms)
    start, end = start_ms // 10_000 * 10, min(-(-end_ms // 10_000) * 10, _LATEST_S)
    widened = 0
    while True:
        segments = tuple(_walk(start, end, horizons))
        reached = segments[-1].end_s if segments else start
        if reached == end:
            finest = min(SIZES[segment.level] for segment in segments)
            return Plan(start, end, max(widened, finest), segments)
        size = _available(reached, horizons, aligned=bool(segments))
        widened = max(widened, size)
        if reached % size:
            start = start // size * size
        else:
            end = max(end, reached + size)


def _horizons(retention: Mapping[str, int | None], now_ms: int) -> list[int]:
    """The first bucket start of each level that has not begun to expire."""
    kept = ((size, retention.get(name)) for name, size in LEVELS)
    return [0 if age is None else max(-(-(now_ms // 1000 - age) // size) * size, 0) for size, age in kept]


def _walk(start: int, end: int, horizons: list[int]) -> Iterator[Segment]:
    """Whole buckets from `start`, coarsest first wherever one fits, as far as the levels reach."""
    at = start
    while at < end:
        fitting = [
            index
            for index, (_, size) in enumerate(LEVELS)
            if at % size == 0 and at + size <= end and at >= horizons[index]
        ]
        if not fitting:
            return
        level = fitting[-1]
        stop = _stop(at, end, level, horizons)
        yield Segment(LEVELS[level][0], at, stop)
        at = stop


def _stop(at: int, end: int, level: int, horizons: list[int]) -> int:
    """Where this level's run ends: at the window's end or where a whole coarser bucket begins."""
    size = LEVELS[level][1]
    stop = end // size * size
    for index in range(level + 1, len(LEVELS)):
        coarser = LEVELS[index][1]
        begins = max(-(-at // coarser) * coarser, horizons[index])
        if at < begins and begins + coarser <= end:
            stop = min(stop, begins)
    return stop


def _available(at: int, horizons: list[int], *, aligned: bool) -> int:
    """The smallest bucket that still holds an instant; the coarsest when all have expired."""
    for (_, size), horizon in zip(LEVELS, horizons, strict=True):
        if at // size * size >= horizon and (at % size == 0 or not aligned):
            return size
    horizons[-1] = 0  # nothing is kept of that time: the coarsest table gives an empty answer
    return LEVELS[-1][1]
