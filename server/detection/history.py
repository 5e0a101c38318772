"""Add evidence to a series' history, and compute when its silence becomes improbable. Compiled.

Invariant: what is expected of a series depends on its past alone, never on the silence that is being judged.
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
from chronotope.server.detection.silence import fade_recent, missed_for, rate, remember, surprise, wanted

_SHORTEST = 3  # ticks of silence
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
