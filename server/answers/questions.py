"""Answers to questions about the whole graph of a window: blast radius, paths, cycles, single points of failure.

Invariant: an unknown service is refused by its name. A window without data gives an answer without content that says
so.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import Any

import msgspec
from pydantic import Field

from chronotope.schema.errors import NotFound
from chronotope.schema.storage.store import Store
from chronotope.schema.times import shortened
from chronotope.server.answers.answer import Answer, tagged
from chronotope.server.answers.parameters import Layers, Texts, View, WindowParameters
from chronotope.server.evidence.columns import EdgeColumns
from chronotope.server.evidence.directory import read_kinds
from chronotope.server.evidence.question import Question
from chronotope.server.evidence.settings import Settings
from chronotope.server.evidence.windows import read_window
from chronotope.server.graph.answer import Window
from chronotope.server.graph.assemble import window_of
from chronotope.server.questions import records
from chronotope.server.questions.blast_radius import NOBODY, blast_radius
from chronotope.server.questions.cycles import cycles
from chronotope.server.questions.pairs import Pairs, pairs_of, weigh
from chronotope.server.questions.paths import paths_between
from chronotope.server.questions.single_points import single_points_of_failure

MAX_HOPS = 1_000_000
MAX_PATHS = 1_000
NAMED = 100  # services listed with each single point of failure

BLAST_RADIUS = "/api/v1/services/{service}/blast-radius"
PATHS = "/api/v1/paths"
CYCLES = "/api/v1/cycles"
SINGLE_POINTS = "/api/v1/single-points-of-failure"


class WholeGraphParameters(WindowParameters):
    """A window, and whose evidence makes its graph."""

    layers: Layers = Field((), description="Whose evidence counts; all by default. One alone is its own graph.")
    view: View = Field(
        "resolved", description="`resolved`: intermediaries collapsed into `via`; `hops`: every hop as it was seen."
    )
    protocol: Texts = Field((), description="Only edges over one of these protocols.")

    def question(self, now_ms: int) -> Question:
        """Return the graph that is asked about."""
        start, end = self.interval(now_ms)
        return Question(start_ms=start, end_ms=end, layers=self.layers, view=self.view, protocols=self.protocol)


class BlastRadiusParameters(WholeGraphParameters):
    """Parameters of a service's blast radius."""

    max_hops: int = Field(MAX_HOPS, ge=1, le=MAX_HOPS, description="Only callers at most so many calls away.")


class PathsParameters(WholeGraphParameters):
    """Parameters of the paths between two services."""

    source: str = Field(min_length=1, max_length=300, description="Service id: where paths begin.")
    target: str = Field(min_length=1, max_length=300, description="Service id: where paths end.")
    max_hops: int = Field(MAX_HOPS, ge=1, le=MAX_HOPS, description="Only paths of at most so many calls.")
    limit: int = Field(100, ge=1, le=MAX_PATHS, description="Most paths returned, shortest first.")


class CyclesParameters(WholeGraphParameters):
    """Parameters of the cycles."""


class SinglePointsParameters(WholeGraphParameters):
    """Parameters of the single points of failure."""


@dataclass(frozen=True, slots=True)
class _WindowGraph:
    """The graph of a window, and the kinds of all services ever seen."""

    window: Window
    columns: EdgeColumns
    pairs: Pairs
    kinds: dict[str, str]
    notes: tuple[str, ...]
    end_ms: int
    now_ms: int

    def place(self, name: str, service: str) -> int | None:
        """Return the code of a service; None when it has no edge in the window.

        Raises:
            NotFound: it was never seen.
        """
        if service not in self.kinds:
            raise NotFound(f"{name} {shortened(service)} was never seen; /api/v1/services lists those that were")
        names = self.columns.names
        found = bisect_left(names, service)
        return found if found < len(names) and names[found] == service else None

    def answer(self, record: Any, *notes: str) -> Answer:
        """Return the answer with its notes; a window without data has only its own note."""
        notes = notes if len(self.columns) else ()
        return tagged(msgspec.json.encode(records.noted(record, *self.notes, *notes)), self.end_ms, self.now_ms)


def _read(store: Store, settings: Settings, parameters: WholeGraphParameters, now_ms: int) -> _WindowGraph:
    question = parameters.question(now_ms)
    plan, columns = read_window(store, settings, question, now_ms)
    calls, silent = weigh(columns)
    pairs = pairs_of(columns.source, columns.target, calls, len(columns.names))
    notes: tuple[str, ...] = ()
    if not len(columns):
        notes = ("Nothing was seen in this window; at and window choose another.",)
    elif silent.any():
        notes = (f"No layer counts calls of {int(silent.sum())} edges: their connections stand for calls.",)
    return _WindowGraph(window_of(plan), columns, pairs, read_kinds(store), notes, question.end_ms, now_ms)


def answer_blast_radius(
    store: Store, settings: Settings, parameters: BlastRadiusParameters, now_ms: int, service: str
) -> Answer:
    """Return who depends on a service.

    Raises:
        NotFound: the service was never seen.
    """
    graph = _read(store, settings, parameters, now_ms)
    place = graph.place("service", service)
    if place is None:
        record = records.blast_record(NOBODY, graph.window, service, [], graph.kinds, 0)
        return graph.answer(record, "The service has no edge in this window.")
    found = blast_radius(graph.pairs, place, max_hops=parameters.max_hops)
    direct = int((graph.pairs.target == place).sum())
    record = records.blast_record(found, graph.window, service, graph.columns.names, graph.kinds, direct)
    return graph.answer(
        record,
        "" if len(found.caller) else "Nobody calls the service in this window.",
        "" if found.settled else "Some shares are lower bounds: their cycles are too long to be solved in time.",
    )


def answer_paths(store: Store, settings: Settings, parameters: PathsParameters, now_ms: int) -> Answer:
    """Return the paths between two services.

    Raises:
        NotFound: one of them was never seen.
    """
    graph = _read(store, settings, parameters, now_ms)
    ends = (parameters.source, parameters.target)
    source, target = graph.place("source", ends[0]), graph.place("target", ends[1])
    if ends[0] == ends[1]:
        record = records.PathsAnswer(graph.window, *ends, [], False)
        return graph.answer(record, "Source and target are the same service; /api/v1/cycles shows ways back to it.")
    if source is None or target is None:
        missing = " and ".join(shortened(end) for end, at in zip(ends, (source, target), strict=True) if at is None)
        record = records.PathsAnswer(graph.window, *ends, [], False)
        return graph.answer(record, f"No edge in this window has {missing}.")
    found = paths_between(graph.pairs, source, target, max_hops=parameters.max_hops, limit=parameters.limit)
    record = records.paths_record(found, graph.window, ends, graph.columns.names, graph.columns, graph.pairs)
    return graph.answer(
        record,
        "" if found.paths else "No calls lead from source to target within max_hops.",
        "There are more paths; those listed are the shortest." if found.truncated else "",
    )


def answer_cycles(store: Store, settings: Settings, parameters: CyclesParameters, now_ms: int) -> Answer:
    """Return the groups of services that call each other in circles."""
    graph = _read(store, settings, parameters, now_ms)
    found = cycles(graph.pairs)
    record = records.cycles_record(found, graph.window, graph.columns.names)
    return graph.answer(record, "" if found else "No services call each other in circles in this window.")


def answer_single_points(store: Store, settings: Settings, parameters: SinglePointsParameters, now_ms: int) -> Answer:
    """Return the services whose loss cuts others off."""
    graph = _read(store, settings, parameters, now_ms)
    found = single_points_of_failure(graph.pairs, named=NAMED)
    record = records.cuts_record(found, graph.window, graph.columns.names, graph.kinds, graph.pairs)
    return graph.answer(record, "" if found else "No service cuts others off in this window.")
