"""A series' history: add evidence, apply the passing of time, compute when a silence becomes improbable. Compiled.

With time hours change, days fade, and silences begin anew after a hole. Invariant: what is expected of a series depends
on its past alone, never on the silence that is being judged. The events that a silence missed are summed hour by hour,
each hour at its own rate.
"""

from __future__ import annotations

import numpy as np

from chronotope.server.detection.series import (
    BUCKETS_A_DAY,
    BUCKETS_AN_HOUR,
    HOURS,
    KEPT_HOURS,
    LayerState,
    Record,
    compiled,
)
from chronotope.server.detection.short_history import LONGER
from chronotope.server.detection.silence import fade_recent, forget, missed_for, rate, remember, surprise, wanted

_SHORTEST = 3  # ticks of silence
_MINUTES = 30  # buckets of silence, after which an edge may have been active in a hole
_SHAPE_TICKS = 360.0  # how many ticks of an even day the layer's shape begins with
CAUTION = 2.0  # what is not known exactly (rhythm, tail) must not break the promise


@compiled
def set_due(state: LayerState, own: int, hour: int, rules: np.ndarray) -> None:
    """Compute when the present silence of a series becomes improbable, if the hour goes on."""
    head, series = state.head[0], state.series[own]
    poisson, tail, ticks = wanted(series, state.tops[own], rules[0] / CAUTION)
    pace = rate(series, state.counts[own], state.exposure[own], head["shape"], hour)
    first = series["mark"] + max(missed_for(series, poisson) - series["missed"], 0.0) / pace
    second = series["mark"] + max(missed_for(series, tail) - series["missed"], 0.0) / pace
    # A silence of few buckets cannot be distinguished from chance, whatever the rate.
    shortest = series["since"] + max(_SHORTEST, LONGER * state.tops[own, 1, 0])
    series["due"] = max(first, min(second, series["since"] + ticks), shortest)
    head["next_due"] = min(head["next_due"], series["due"])


@compiled
def begin_history(state: LayerState, own: int, bucket: int, count: float, ticks: float) -> None:
    """Begin a series' history; nothing of what was before is kept."""
    series, hour = state.series[own], (bucket // BUCKETS_AN_HOUR) % HOURS
    state.head[0]["known"] += 1 if series["state"] == 0 else 0
    state.counts[own] = 0
    state.exposure[own] = 0
    state.tops[own] = 0
    state.counts[own, hour], state.exposure[own, hour] = count, ticks
    series["first"], series["events"], series["seen"] = bucket, count, ticks
    series["run"], series["ended"] = bucket, 0
    series["active"], series["square"], series["silences"] = min(count, ticks), 0.0, 0
    series["lately"] = series["lately_expected"] = count


@compiled
def count_bucket(state: LayerState, own: int, bucket: int, count: float, ticks: float) -> None:
    """Add a bucket with evidence, and the silence before it, to a series' history."""
    head, series, hour = state.head[0], state.series[own], (bucket // BUCKETS_AN_HOUR) % HOURS
    expected = rate(series, state.counts[own], state.exposure[own], head["shape"], hour)
    missed = series["missed"] + expected * max(head["clock"] - series["mark"], 0.0)
    expected *= ticks
    silent = head["clock"] - series["since"]
    if silent > 0:
        found, day = surprise(series, missed), bucket // BUCKETS_A_DAY
        # Where the layer was out for a part of the silence, it may have been as long as it looks.
        looks, counted = float(bucket - series["last"] - 1), head["clock"] - series["quiet"]
        length = looks if counted > looks / 2 else counted
        remember(series, state.tops[own], state.top_days[own], found, length, day)
    lived = series["state"] == 1
    series["square"] += ticks * (count - expected) ** 2 / expected + (missed if lived else 0.0)
    fade_recent(series, count, expected + (missed if lived else 0.0))
    before = series["events"] / series["seen"]
    series["events"] += count
    series["active"] += min(count, ticks)
    state.counts[own, hour] += count
    if lived:
        series["seen"] += silent + ticks
        _expose(head, state.exposure[own], series, bucket // BUCKETS_AN_HOUR, ticks)
    else:
        series["seen"] += ticks
        state.exposure[own, hour] += ticks
    # What was expected lately follows from the mean as it is known now. With a short history the mean changes much.
    series["lately_expected"] *= series["events"] / series["seen"] / before


@compiled
def _expose(head: Record, exposure: np.ndarray, series: Record, last: int, ticks: float) -> None:
    """Divide the ticks since a series was last active by hours of the day."""
    first = series["last"] // BUCKETS_AN_HOUR
    for hour in range(max(first, last - KEPT_HOURS + 1), last + 1):
        start = max(head["starts"][hour % KEPT_HOURS], series["since"])
        end = head["clock"] + ticks if hour == last else head["starts"][(hour + 1) % KEPT_HOURS]
        exposure[hour % HOURS] += max(end - start, 0.0)


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
