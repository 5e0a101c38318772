"""Apply the passing of time to a layer: new hours, fading days, silences that begin anew after a hole. Compiled.

Invariant: the events that a silence missed are summed hour by hour, each hour at its own rate.
"""

from __future__ import annotations

import numpy as np

from chronotope.server.detection.history import set_due
from chronotope.server.detection.series import BUCKETS_AN_HOUR, HOURS, KEPT_HOURS, LayerState, Record, compiled
from chronotope.server.detection.silence import forget, rate

_MINUTES = 30  # buckets of silence, after which an edge may have been active in a hole
_SHAPE_TICKS = 360.0  # how many ticks of an even day the layer's shape begins with


@compiled
def pass_hours(state: LayerState, bucket: int, rules: np.ndarray) -> None:
    """When an hour has passed: add up what silent series missed in it, and compute the due times of the new hour."""
    head, hour = state.head[0], bucket // BUCKETS_AN_HOUR
    if head["begin"] < 0:
        head["begin"] = head["last"] = head["back"] = bucket
        head["hour"], head["starts"][hour % KEPT_HOURS] = hour, head["clock"]
    passed = hour - head["hour"]
    if passed <= 0:
        return
    _miss(state)
    for later in range(max(1, passed - KEPT_HOURS), passed + 1):
        head["starts"][(head["hour"] + later) % KEPT_HOURS] = head["clock"]
    days = hour // HOURS - head["hour"] // HOURS
    head["hour"] = hour
    if days > 0:
        _fade(state, rules[3] ** days, hour // HOURS)
    _reshape(head)
    head["next_due"] = np.inf
    for own in range(len(state.series)):
        if state.series[own]["state"] == 1:
            set_due(state, own, hour % HOURS, rules)


@compiled
def begin_anew(state: LayerState, bucket: int, rules: np.ndarray) -> None:
    """After a hole in what the layer saw, let the silence of edges that are silent for minutes begin anew.

    They may have been active in the hole: it may hide a job's whole run. For edges that are silent for hours, the rest
    of the hour does not count either: what they do once an hour may have been in the part that was not seen.
    """
    head, hour = state.head[0], bucket // BUCKETS_AN_HOUR
    until = head["clock"] + BUCKETS_AN_HOUR - bucket % BUCKETS_AN_HOUR
    for own in range(len(state.series)):
        series, longest = state.series[own], state.tops[own, 1, 0]
        if series["state"] == 1 and longest >= _MINUTES:
            series["since"], series["missed"] = head["clock"], 0.0
            series["mark"] = until if longest >= BUCKETS_AN_HOUR else head["clock"]
            set_due(state, own, hour % HOURS, rules)


@compiled
def _miss(state: LayerState) -> None:
    """Add up what silent series missed in the hour that ends."""
    head = state.head[0]
    for own in range(len(state.series)):
        series = state.series[own]
        if series["state"] > 0 and head["clock"] > series["mark"]:
            pace = rate(series, state.counts[own], state.exposure[own], head["shape"], head["hour"] % HOURS)
            series["missed"] += pace * (head["clock"] - series["mark"])
            series["mark"] = head["clock"]


@compiled
def _fade(state: LayerState, factor: float, today: int) -> None:
    """Let what was counted fade by some days, and forget silences of long ago."""
    for own in range(len(state.series)):
        series = state.series[own]
        series["events"] *= factor
        series["seen"] *= factor
        series["active"] *= factor
        series["square"] *= factor
        forget(series, state.tops[own], state.top_days[own], today)
    state.counts[:] *= np.float32(factor)
    state.exposure[:] *= np.float32(factor)
    head = state.head[0]
    for hour in range(HOURS):
        head["ticks"][hour] *= factor
        head["series"][hour] *= factor


@compiled
def _reshape(head: Record) -> None:
    mean = (head["series"].sum() + 1.0) / (head["ticks"].sum() + 1.0)
    for hour in range(HOURS):
        own = (head["series"][hour] + mean * _SHAPE_TICKS) / (head["ticks"][hour] + _SHAPE_TICKS)
        head["shape"][hour] = own / mean
