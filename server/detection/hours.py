"""What the passing of time does to a layer: hours turn, days fade, a hole makes silences begin anew. Compiled.

Invariant: what a silence missed is added up by the hours that it lasted, each at the rate that the hour had.
"""

from __future__ import annotations

import numpy as np

from chronotope.server.detection.history import set_due
from chronotope.server.detection.series import BUCKETS_AN_HOUR, HOURS, KEPT_HOURS, LayerState, Record, compiled
from chronotope.server.detection.silence import forget, rate

_MINUTES = 30  # buckets of silence, after which an edge may have spoken in a hole
_SHAPE_TICKS = 360.0  # how many ticks of an even day the layer's shape begins with


@compiled
def turn_hours(state: LayerState, bucket: int, rules: np.ndarray) -> None:
    """When an hour has passed: add up what silent strands missed in it, and look at the new hour's rates."""
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
    for own in range(len(state.strands)):
        if state.strands[own]["state"] == 1:
            set_due(state, own, hour % HOURS, rules)


@compiled
def begin_anew(state: LayerState, bucket: int, rules: np.ndarray) -> None:
    """After a hole in what the layer saw, the silence of edges that are silent for minutes begins anew.

    They may have spoken in the hole: a job's whole run may be in it. Of those that are silent for hours nothing is
    missed for the rest of the hour either: what is done in an hour may be done in that part of it that was not seen.
    """
    head, hour = state.head[0], bucket // BUCKETS_AN_HOUR
    until = head["clock"] + BUCKETS_AN_HOUR - bucket % BUCKETS_AN_HOUR
    for own in range(len(state.strands)):
        strand, longest = state.strands[own], state.tops[own, 1, 0]
        if strand["state"] == 1 and longest >= _MINUTES:
            strand["since"], strand["missed"] = head["clock"], 0.0
            strand["mark"] = until if longest >= BUCKETS_AN_HOUR else head["clock"]
            set_due(state, own, hour % HOURS, rules)


@compiled
def _miss(state: LayerState) -> None:
    """Add up what silent strands missed in the hour that ends."""
    head = state.head[0]
    for own in range(len(state.strands)):
        strand = state.strands[own]
        if strand["state"] > 0 and head["clock"] > strand["mark"]:
            pace = rate(strand, state.counts[own], state.exposure[own], head["shape"], head["hour"] % HOURS)
            strand["missed"] += pace * (head["clock"] - strand["mark"])
            strand["mark"] = head["clock"]


@compiled
def _fade(state: LayerState, factor: float, today: int) -> None:
    """Let a day's worth of what was counted fade, and forget silences of long ago."""
    for own in range(len(state.strands)):
        strand = state.strands[own]
        strand["events"] *= factor
        strand["seen"] *= factor
        strand["spoken"] *= factor
        strand["square"] *= factor
        forget(strand, state.tops[own], state.top_days[own], today)
    state.counts[:] *= np.float32(factor)
    state.exposure[:] *= np.float32(factor)
    head = state.head[0]
    for hour in range(HOURS):
        head["ticks"][hour] *= factor
        head["strands"][hour] *= factor


@compiled
def _reshape(head: Record) -> None:
    mean = (head["strands"].sum() + 1.0) / (head["ticks"].sum() + 1.0)
    for hour in range(HOURS):
        own = (head["strands"][hour] + mean * _SHAPE_TICKS) / (head["ticks"][hour] + _SHAPE_TICKS)
        head["shape"][hour] = own / mean
