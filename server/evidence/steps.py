"""Cut a window into steps of equal length, for answers over time.

Invariant: steps begin at multiples of their length since 1970, and the level that is read has whole buckets in each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from chronotope.schema.errors import Impossible, InvalidWindow
from chronotope.schema.times import format_duration, format_time
from chronotope.server.evidence.levels import LEVELS

# Default steps: the first that gives at most `_MOST_BY_DEFAULT` is used.
_NICE_S = (10, 30, 60, 300, 600, 1800, 3600, 3 * 3600, 6 * 3600, 86_400, 7 * 86_400, 30 * 86_400, 365 * 86_400)
_MOST_BY_DEFAULT = 120


@dataclass(frozen=True, slots=True)
class Steps:
    """`count` steps of `step_s` seconds from `start_s` (Unix seconds), answered by one level."""

    level: str
    start_s: int
    step_s: int
    count: int

    @property
    def end_s(self) -> int:
        """The end of the last step."""
        return self.start_s + self.step_s * self.count

    @property
    def starts_ms(self) -> np.ndarray:
        """The start of each step in Unix milliseconds, int64[count]."""
        return (self.start_s + np.arange(self.count, dtype=np.int64) * self.step_s) * 1000


def plan_steps(
    start_ms: int, end_ms: int, step_s: int | None, retention: Mapping[str, int | None], now_ms: int, most: int
) -> Steps:
    """Return the steps that cover [start, end), widened outward to whole ones.

    Args:
        start_ms: Unix milliseconds.
        end_ms: Unix milliseconds.
        step_s: a multiple of 10; None chooses one. Where the fine levels have expired it is made longer.
        retention: level → seconds kept, None or absent: everything.
        now_ms: Unix milliseconds.
        most: the most steps that are answered.

    Raises:
        InvalidWindow: the window is empty, or has more steps than `most`.
        Impossible: the step is not a multiple of 10 seconds.
    """
    if end_ms <= start_ms:
        raise InvalidWindow(
            f"the window from {format_time(start_ms)} to {format_time(end_ms)} is empty; from must be before to"
        )
    start_s, end_s = start_ms // 1000, -(-end_ms // 1000)
    if step_s is None:
        step_s = next((nice for nice in _NICE_S if end_s - start_s <= nice * _MOST_BY_DEFAULT), _NICE_S[-1])
    if step_s % LEVELS[0][1]:
        raise Impossible(f"step '{format_duration(step_s)}' cannot be answered; accepted: multiples of 10s")
    level, size = _level(step_s, start_s, retention, now_ms)
    step_s = -(-step_s // size) * size
    start_s = start_s // step_s * step_s
    count = -(-(end_s - start_s) // step_s)
    if count > most:
        raise InvalidWindow(
            f"step '{format_duration(step_s)}' cuts the window into {count:,} steps; accepted: at most {most:,}, "
            f"a step of {format_duration(-(-(end_s - start_s) // most // 10) * 10 + 10)} or longer"
        )
    return Steps(level, start_s, step_s, count)


def _level(step_s: int, start_s: int, retention: Mapping[str, int | None], now_ms: int) -> tuple[str, int]:
    """The coarsest level that divides the step and still has its start; else the finest that has it."""

    def has_start(name: str, size: int) -> bool:
        kept = retention.get(name)
        return kept is None or start_s // size * size >= now_ms // 1000 - kept

    kept = [(name, size) for name, size in LEVELS if has_start(name, size)] or [LEVELS[-1]]
    dividing = [(name, size) for name, size in kept if step_s % size == 0]
    return dividing[-1] if dividing else kept[0]
