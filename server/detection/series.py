"""The state of a layer: one record of the layer, and one of each series. A series is an edge in this layer.

Invariant: these arrays hold the whole state, so one that is copied, or saved and loaded, goes on in the same way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
from numba import njit

Function = TypeVar("Function", bound=Callable[..., object])
Record = Any  # one record of an array, as compiled code sees it

HOURS = 24
BUCKETS_A_DAY = 8640
BUCKETS_AN_HOUR = 360
TOPS, TOP_DAYS = 32, 28  # largest surprises, and ticks, that are kept of silences that ended; for how long
KEPT_HOURS = 24 * 40  # how long a silence is still divided by hours
OCTAVES = 20  # of lengths of runs

SERIES = np.dtype(
    [
        ("edge", np.int32),  # index of the edge
        ("state", np.int8),  # 0 not seen yet, 1 alive, 2 vanished
        ("first", np.int64),  # buckets, Unix time / 10 s
        ("last", np.int64),
        ("run", np.int64),  # when it began to be active, without a silence that looks like an end
        ("ended", np.int8),  # with a short history: 1 the silence looks like an end, 2 it was reported early
        ("events", np.float64),  # n, faded by the half-life like all that is counted
        ("seen", np.float64),  # clock ticks while alive
        ("active", np.float64),  # buckets with evidence, A
        ("square", np.float64),  # sum of (count - expected)² / expected, silent buckets too
        ("silences", np.int64),  # that ended, of those that are kept
        ("lately", np.float64),  # recent events, and what was expected of them
        ("lately_expected", np.float64),
        ("missed", np.float64),  # L of the present silence up to `mark`
        ("mark", np.float64),  # clock
        ("since", np.float64),  # clock when the present silence began, or began anew after a hole
        ("quiet", np.float64),  # clock when it began
        ("due", np.float64),  # clock at which it is improbable, if the hour goes on
    ],
    align=True,
)
HEAD = np.dtype(
    [
        ("begin", np.int64),  # first bucket
        ("last", np.int64),  # last bucket with any evidence
        ("back", np.int64),  # when the layer last came back after being out
        ("hole", np.int64),  # the last bucket that was not covered, or came after a hole
        ("hour", np.int64),  # since the epoch
        ("clock", np.float64),
        ("usual", np.float64),  # series in a bucket
        ("width", np.int64),
        ("next_due", np.float64),
        ("ticks", np.float64, (HOURS,)),
        ("series", np.float64, (HOURS,)),  # that were active, by hour of the day
        ("shape", np.float64, (HOURS,)),
        ("known", np.int64),  # series that were ever active
        ("trusted", np.int64),  # series with a short history that were reported on trust
        ("incident", np.int64),  # when the latest of those ended, in a small layer
        ("early", np.int64),  # reported incidents of series that were there before, and what came back of these
        ("early_incident", np.int64),  # when the latest of those was
        (
            "ended",
            np.int64,
            (OCTAVES,),
        ),  # when a run in a short history first ended, by log2 of its length; 0 never
        ("watched", np.int64, (OCTAVES, 2)),  # the first two of runs that began later than the layer and are over now
        ("starts", np.float64, (KEPT_HOURS,)),  # clock when an hour began
    ]
)
TRANSITION = np.dtype(
    [
        ("at", np.int64),
        ("kind", np.int8),
        ("series", np.int32),
        ("last", np.int64),
        ("chance", np.float64),
        ("begin", np.int64),  # of the layer, as it was known then
    ]
)


def compiled(function: Function) -> Function:
    """Compile a function as a part of its callers."""
    return cast(Function, njit(nogil=True, error_model="numpy")(function))


def entry(function: Function) -> Function:
    """Compile a function with all that it calls, without the GIL, and cache the code beside its file.

    The cache looks at this one file alone: a change in another file takes effect only when this file changes.
    """
    return cast(Function, njit(nogil=True, cache=True, error_model="numpy")(function))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Settings of detection in buckets, see the configuration's `events`."""

    false_a_day: float = 1e-4
    look_back: int = 30 * BUCKETS_A_DAY
    baseline: int = 6
    short_history: int = BUCKETS_A_DAY  # a series whose history is shorter may be a daily job
    half_life_days: float = 14.0

    def array(self) -> np.ndarray:
        """Return the numbers as compiled code reads them."""
        return np.array([self.false_a_day, self.look_back, self.short_history, 0.5 ** (1 / self.half_life_days)])


class LayerState(NamedTuple):
    """The series of a layer: S records; by series the counts and ticks by hour of the day, float32[S, 24]; the largest
    surprises and ticks of silences that ended, float32[S, 2, TOPS]; and the days on which these ended, modulo 256.
    """

    head: np.ndarray
    series: np.ndarray
    counts: np.ndarray
    exposure: np.ndarray
    tops: np.ndarray
    top_days: np.ndarray
    series_of: np.ndarray  # edge → series, -1 none

    def copy(self) -> LayerState:
        """Return an independent copy."""
        return LayerState(*(part.copy() for part in self))


def new_layer() -> LayerState:
    """Return the state of a layer without any evidence."""
    head = np.zeros(1, HEAD)
    head["begin"] = -1
    head["shape"] = 1.0
    return LayerState(head, *_rows(0), np.zeros(0, np.int32))


def with_series(state: LayerState, edges: np.ndarray, count: int) -> LayerState:
    """Return the state with a series for each of some edges; `count` edges are known."""
    unknown = np.full(max(count - len(state.series_of), 0), -1, np.int32)
    series_of = np.concatenate([state.series_of, unknown]) if len(unknown) else state.series_of
    fresh = np.unique(edges[series_of[edges] < 0])
    if not len(fresh):
        return state._replace(series_of=series_of)
    series_of[fresh] = len(state.series) + np.arange(len(fresh), dtype=np.int32)
    more = _rows(len(fresh))
    more[0]["edge"] = fresh
    series, counts, exposure, tops, top_days = map(np.concatenate, zip(state[1:-1], more, strict=True))
    return LayerState(state.head, series, counts, exposure, tops, top_days, series_of)


def _rows(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The arrays of a layer for a number of new series."""
    by_hour, tops = (count, HOURS), (count, 2, TOPS)
    series, counts, exposure = np.zeros(count, SERIES), np.zeros(by_hour, np.float32), np.zeros(by_hour, np.float32)
    return series, counts, exposure, np.zeros(tops, np.float32), np.zeros(tops, np.uint8)
