"""The two sums that a condition judges, by edge and step of time: read from the store, as dense columns.

Invariant: `hits` and `trials` of a step are evidence with `start <= time < end` of that step. In layer ipc the target's
reports are a track of their own, since the whole window decides whether they count.

Every condition is made of two sums: errors of calls; calls slower than the bound, of all that were timed; calls of
nothing. So one window now and a month of history use the same code.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from chronotope.schema.config.rules import RuleEntry
from chronotope.schema.latency import bucket_of
from chronotope.schema.observations import LAYERS
from chronotope.schema.storage.store import Store
from chronotope.server.evidence.levels import Plan
from chronotope.server.evidence.lifetimes import NUMBER
from chronotope.server.evidence.numbering import Numbers, numbered
from chronotope.server.evidence.question import Question
from chronotope.server.evidence.statement import TARGET_REPORTED, segments_of

_FEW_EDGES = 20_000  # as many go to the engine as a list, so that it sends no others

BY_TARGET = "ipc by target"
Key = tuple[str, ...]
Tracks = dict[str, np.ndarray]  # a layer, or BY_TARGET → float64[E, T]


@dataclass(frozen=True, slots=True)
class Sums:
    """Two sums of E edges over T steps of `step_s` seconds, by track; a track without evidence is absent."""

    hits: Tracks
    trials: Tracks
    step_s: int

    def keep(self, mask: np.ndarray) -> Sums:
        """Return those of some of the edges, bool[E]."""
        hits, trials = ({track: own[mask] for track, own in part.items()} for part in (self.hits, self.trials))
        return Sums(hits, trials, self.step_s)


class SharedSums:
    """The sums of windows with one end: what several rules judge is read once, for all edges."""

    def __init__(self, rules: Iterable[RuleEntry]) -> None:
        self._asked = Counter(_key(rule) for rule in rules)
        self._read: dict[Key, Sums] = {}

    def of(self, store: Store, plan: Plan, rule: RuleEntry, numbers: Numbers, wanted: np.ndarray) -> Sums:
        """Return the sums of some of the edges, bool[E], in one step; `plan` and `numbers` are the same for all rules.

        Raises:
            StoreError: the store cannot answer.
        """
        key = _key(rule)
        if self._asked[key] < 2:
            return read_sums(store, plan, plan.seconds, rule, numbers.keep(wanted))
        if key not in self._read:
            self._read[key] = read_sums(store, plan, plan.seconds, rule, numbers)
        return self._read[key].keep(wanted)


def read_sums(store: Store, plan: Plan, step_s: int, rule: RuleEntry, numbers: Numbers) -> Sums:
    """Return the sums of some edges, E of them.

    Args:
        store: open and migrated.
        plan: what to read; its levels are at most as coarse as a step.
        step_s: length of a step; a divisor of the plan's length.
        rule: whose condition says what is summed, and in which layers.
        numbers: of the edges' rows.
    """
    layers = tuple(layer for layer in LAYERS if not rule.match.layer or layer in rule.match.layer)
    question = Question(start_ms=0, end_ms=0, layers=layers)
    table, measures, sums = _summed(rule)
    parameters: dict[str, Any] = {"base": plan.start_s, "step": step_s}
    rows = segments_of(table, plan, question, [NUMBER, "layer", "reporter", "time", *measures], parameters)
    few = len(numbers) <= _FEW_EDGES
    if few:
        parameters["edges"] = numbers.every
    steps = plan.seconds // step_s
    tracks = [*layers, BY_TARGET] if "ipc" in layers else list(layers)
    track = ", ".join(
        (TARGET_REPORTED if name == BY_TARGET else f"layer = '{name}' AND NOT ({TARGET_REPORTED})") + f", {at}"
        for at, name in enumerate(tracks)
    )
    place = f"multiIf({track}, 0) * {steps} + intDiv(toUnixTimestamp(time) - {{base:UInt32}}, {{step:UInt32}})"
    found = store.query(
        f"SELECT edge, toUInt32({place}) AS place, {', '.join(sums)} FROM ({rows}) "
        f"{'WHERE edge IN {edges:Array(UInt64)}' if few else ''}",
        parameters,
    )
    hits, trials = (_dense(found, name, numbers, steps * len(tracks)) for name in ("hits", "trials"))
    return _by_track(hits, trials, tracks, steps, step_s, silent=rule.when.calls_per_second is not None)


def _key(rule: RuleEntry) -> Key:
    """Rules with the same key are judged by the same sums."""
    table, _, sums = _summed(rule)
    return (table, *sums, str(rule.window), *sorted(rule.match.layer))


def _summed(rule: RuleEntry) -> tuple[str, list[str], list[str]]:
    """The table, the columns that are read, and the expressions over them."""
    when = rule.when
    if when.latency is not None:
        bound = int(bucket_of(np.array([when.latency.above_ms * 1e6]))[0])
        slow = f"arraySum((k, v) -> if(k > {bound}, v, 0), mapKeys(latency), mapValues(latency))"
        return "latency", ["latency"], [f"{slow} AS hits", "arraySum(mapValues(latency)) AS trials"]
    if when.error_ratio is not None:
        return "edges", ["calls", "errors"], ["errors AS hits", "calls AS trials"]
    if when.calls_per_second is not None:
        return (
            "edges",
            ["calls", "connections"],
            ["if(layer = 'network', connections, calls) AS hits", "hits AS trials"],
        )
    evidence = ["calls", "connections", "bytes_sent", "bytes_received"]
    return "edges", evidence, [f"{' + '.join(evidence)} AS hits", "hits AS trials"]


def _dense(found: pa.Table, name: str, numbers: Numbers, places: int) -> np.ndarray:
    """Sums by edge and place, float64[E, P]."""
    edge = numbered(found, numbers)
    known = edge >= 0
    place = edge[known] * places + found.column("place").to_numpy()[known]
    values = pc.cast(found.column(name), pa.float64()).to_numpy()[known]
    sums = np.bincount(place, values, len(numbers) * places).astype(np.float64, copy=False)  # of no rows: int64
    return np.asarray(sums.reshape(len(numbers), places))


def _by_track(
    hits: np.ndarray, trials: np.ndarray, tracks: list[str], steps: int, step_s: int, *, silent: bool
) -> Sums:
    """The sums of each track; a track without evidence is included only when silence counts."""
    found = Sums({}, {}, step_s)
    for at, track in enumerate(tracks):
        own = slice(at * steps, (at + 1) * steps)
        if silent or trials[:, own].any():
            found.hits[track], found.trials[track] = hits[:, own], trials[:, own]
    return found
