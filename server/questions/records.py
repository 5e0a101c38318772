"""The records that answer questions, made from codes. Pure.

Invariant: a share that cannot be computed is null. An answer without content has a `note` that says why.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
from msgspec import UNSET, Struct, UnsetType

from chronotope.server.evidence.columns import EdgeColumns
from chronotope.server.graph.answer import Kind, Window
from chronotope.server.questions.blast_radius import BlastRadius
from chronotope.server.questions.cycles import Cycle
from chronotope.server.questions.equations import TOLERANCE
from chronotope.server.questions.pairs import Pairs
from chronotope.server.questions.paths import Paths
from chronotope.server.questions.single_points import Cut


class DependentCaller(Struct, gc=False):
    """A caller, direct or through others. `calls`: all its outbound calls; `share` of them depends on the service."""

    service: str
    kind: Kind
    hops: int
    share: float | None
    calls: int


class BlastTotals(Struct, gc=False):
    """How many depend on it, also beyond `max_hops`, and how many call it themselves."""

    callers: int
    direct: int


class BlastRadiusAnswer(Struct):
    """Who depends on a service. `callers` in all, `direct` ones; `truncated`: some are further than `max_hops`."""

    window: Window
    service: str
    kind: Kind
    callers: list[DependentCaller]
    totals: BlastTotals
    tolerance: float
    truncated: bool
    note: str | UnsetType = UNSET


class PathStep(Struct, gc=False):
    """One call of a path, with the calls between the two services, and their part of all calls of its source."""

    source: str
    target: str
    protocols: list[str]
    calls: int
    share: float | None


class Path(Struct, gc=False):
    """A way from source to target."""

    hops: int
    services: list[str]
    steps: list[PathStep]


class PathsAnswer(Struct):
    """The simple paths between two services, shortest first. `truncated`: there are more, or may be."""

    window: Window
    source: str
    target: str
    paths: list[Path]
    truncated: bool
    note: str | UnsetType = UNSET


class CycleRecord(Struct, gc=False):
    """Services that call each other in circles, and one circle of them: the last calls the first."""

    size: int
    services: list[str]
    example: list[str]


class CyclesAnswer(Struct):
    """All cycles of a window, by groups."""

    window: Window
    cycles: list[CycleRecord]
    note: str | UnsetType = UNSET


class SinglePoint(Struct, gc=False):
    """A service without which others can't be reached: how many, and the first of them by name."""

    service: str
    kind: Kind
    callers: int
    cuts_off: int
    services: list[str]


class SinglePointsAnswer(Struct):
    """All single points of failure of a window, that which cuts off most first."""

    window: Window
    single_points_of_failure: list[SinglePoint]
    note: str | UnsetType = UNSET


Kinds = Mapping[str, Any]


def blast_record(
    found: BlastRadius, window: Window, service: str, names: list[str], kinds: Kinds, direct: int
) -> BlastRadiusAnswer:
    """Return the answer of a blast radius; `direct`: how many call the service themselves."""
    rows = zip(found.caller.tolist(), found.hops.tolist(), found.share.tolist(), found.calls.tolist(), strict=True)
    callers = [
        DependentCaller(names[at], kinds.get(names[at], "unknown"), hops, _readable(share), calls)
        for at, hops, share, calls in rows
    ]
    totals = BlastTotals(len(callers) + found.beyond, direct)
    return BlastRadiusAnswer(
        window, service, kinds.get(service, "unknown"), callers, totals, TOLERANCE, found.beyond > 0
    )


def paths_record(
    found: Paths, window: Window, ends: tuple[str, str], names: list[str], columns: EdgeColumns, pairs: Pairs
) -> PathsAnswer:
    """Return the answer of paths; `columns` are the edges behind the pairs."""
    keys = pairs.source * max(pairs.services, 1) + pairs.target
    edges = columns.source.astype(np.int64) * max(pairs.services, 1) + columns.target
    totals = np.bincount(pairs.source, pairs.calls, minlength=pairs.services)
    steps: dict[tuple[int, int], PathStep] = {}

    def step(source: int, target: int) -> PathStep:
        if (source, target) not in steps:
            key = source * max(pairs.services, 1) + target
            calls = int(pairs.calls[np.searchsorted(keys, key)])
            first, last = np.searchsorted(edges, [key, key + 1]).tolist()
            protocols = [columns.protocols[at] for at in columns.protocol[first:last].tolist()]
            share = calls / float(totals[source]) if totals[source] else math.nan
            steps[source, target] = PathStep(names[source], names[target], protocols, calls, _readable(share))
        return steps[source, target]

    paths = [
        Path(
            len(path) - 1,
            [names[at] for at in path],
            [step(*pair) for pair in pairwise(path)],
        )
        for path in found.paths
    ]
    return PathsAnswer(window, *ends, paths, found.truncated)


def cycles_record(found: list[Cycle], window: Window, names: list[str]) -> CyclesAnswer:
    """Return the answer of cycles."""
    records = [
        CycleRecord(len(cycle.services), [names[at] for at in cycle.services], [names[at] for at in cycle.example])
        for cycle in found
    ]
    return CyclesAnswer(window, records)


def cuts_record(found: list[Cut], window: Window, names: list[str], kinds: Kinds, pairs: Pairs) -> SinglePointsAnswer:
    """Return the answer of single points of failure."""
    callers = np.bincount(pairs.target, minlength=pairs.services).tolist()
    points = [
        SinglePoint(
            names[cut.service],
            kinds.get(names[cut.service], "unknown"),
            callers[cut.service],
            cut.cuts_off,
            [names[at] for at in cut.services],
        )
        for cut in found
    ]
    return SinglePointsAnswer(window, points)


def noted(answer: Any, *notes: str) -> Any:
    """Return the answer with those notes that are not empty, as sentences."""
    text = " ".join(note for note in notes if note)
    return msgspec.structs.replace(answer, note=text) if text else answer


def _readable(share: float) -> float | None:
    """Nine digits are what the tolerance holds; 0.9999999999999998 is 1."""
    return None if math.isnan(share) else float(f"{share:.9g}")
