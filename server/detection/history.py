"""What a strand's evidence adds to its history, and when its silence will be improbable. Compiled.

Invariant: all that is expected of a strand is said by what it did before, never by the silence that is being judged.
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
    """See when the present silence of a strand will be improbable, if the hour goes on."""
    head, strand = state.head[0], state.strands[own]
    poisson, tail, ticks = wanted(strand, state.tops[own], rules[0] / CAUTION)
    pace = rate(strand, state.counts[own], state.exposure[own], head["shape"], hour)
    first = strand["mark"] + max(missed_for(strand, poisson) - strand["missed"], 0.0) / pace
    second = strand["mark"] + max(missed_for(strand, tail) - strand["missed"], 0.0) / pace
    # A silence of few buckets cannot be told from chance, whatever the rate.
    shortest = strand["since"] + max(_SHORTEST, LONGER * state.tops[own, 1, 0])
    strand["due"] = max(first, min(second, strand["since"] + ticks), shortest)
    head["next_due"] = min(head["next_due"], strand["due"])


@compiled
def begin_history(state: LayerState, own: int, bucket: int, count: float, ticks: float) -> None:
    """Begin a strand's history, with nothing of what was before."""
    strand, hour = state.strands[own], (bucket // BUCKETS_AN_HOUR) % HOURS
    state.head[0]["known"] += 1 if strand["state"] == 0 else 0
    state.counts[own] = 0
    state.exposure[own] = 0
    state.tops[own] = 0
    state.counts[own, hour], state.exposure[own, hour] = count, ticks
    strand["first"], strand["events"], strand["seen"] = bucket, count, ticks
    strand["run"], strand["ended"] = bucket, 0
    strand["spoken"], strand["square"], strand["silences"] = min(count, ticks), 0.0, 0
    strand["lately"] = strand["lately_expected"] = count


@compiled
def count_bucket(state: LayerState, own: int, bucket: int, count: float, ticks: float) -> None:
    """Add a bucket with evidence, and the silence before it, to what is known of a strand."""
    head, strand, hour = state.head[0], state.strands[own], (bucket // BUCKETS_AN_HOUR) % HOURS
    expected = rate(strand, state.counts[own], state.exposure[own], head["shape"], hour)
    missed = strand["missed"] + expected * max(head["clock"] - strand["mark"], 0.0)
    expected *= ticks
    silent = head["clock"] - strand["since"]
    if silent > 0:
        found, day = surprise(strand, missed), bucket // BUCKETS_A_DAY
        # Where the layer was out for a part of it, the silence may have been as long as it looks.
        looks, counted = float(bucket - strand["last"] - 1), head["clock"] - strand["quiet"]
        length = looks if counted > looks / 2 else counted
        remember(strand, state.tops[own], state.top_days[own], found, length, day)
    lived = strand["state"] == 1
    strand["square"] += ticks * (count - expected) ** 2 / expected + (missed if lived else 0.0)
    fade_recent(strand, count, expected + (missed if lived else 0.0))
    before = strand["events"] / strand["seen"]
    strand["events"] += count
    strand["spoken"] += min(count, ticks)
    state.counts[own, hour] += count
    if lived:
        strand["seen"] += silent + ticks
        _expose(head, state.exposure[own], strand, bucket // BUCKETS_AN_HOUR, ticks)
    else:
        strand["seen"] += ticks
        state.exposure[own, hour] += ticks
    # What was expected lately is said by what is now known of the mean: of a young strand that changes much.
    strand["lately_expected"] *= strand["events"] / strand["seen"] / before


@compiled
def _expose(head: Record, exposure: np.ndarray, strand: Record, last: int, ticks: float) -> None:
    """Divide the ticks since a strand last spoke by hours of the day."""
    first = strand["last"] // BUCKETS_AN_HOUR
    for hour in range(max(first, last - KEPT_HOURS + 1), last + 1):
        start = max(head["starts"][hour % KEPT_HOURS], strand["since"])
        end = head["clock"] + ticks if hour == last else head["starts"][(hour + 1) % KEPT_HOURS]
        exposure[hour % HOURS] += max(end - start, 0.0)
