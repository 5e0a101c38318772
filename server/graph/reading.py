"""Ask the store for a window, and put the graph together: what the HTTP route and the command both call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa

from chronotope.schema.errors import Impossible
from chronotope.schema.storage.store import Asked, Store
from chronotope.schema.times import shortened
from chronotope.server.evidence.columns import EdgeColumns
from chronotope.server.evidence.directory import attributes_of, attributes_query, kinds_of, kinds_query
from chronotope.server.evidence.joining import joins
from chronotope.server.evidence.levels import Plan, plan_window
from chronotope.server.evidence.lifetimes import lifetimes_of, lifetimes_queries
from chronotope.server.evidence.question import Question
from chronotope.server.evidence.settings import Settings
from chronotope.server.evidence.statement import counts_query, latency_query
from chronotope.server.evidence.windows import put_together
from chronotope.server.graph.answer import Graph
from chronotope.server.graph.assemble import Directory, assemble
from chronotope.server.graph.fingerprint import fingerprint


class UnknownFocus(Impossible):
    """The focus is a service that was never seen."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A graph, what is known of its services, and a tag that changes with the data (empty when not asked for)."""

    graph: Graph
    directory: Directory
    tag: str


def read_graph(store: Store, settings: Settings, question: Question, now_ms: int, *, tagged: bool = False) -> Reading:
    """Return the graph of a window.

    Raises:
        InvalidWindow: the window is empty.
        UnknownFocus: the focus is a service that was never seen.
        StoreError: the store cannot answer.
    """
    plan = plan_window(question.start_ms, question.end_ms, settings.retention, now_ms)
    columns, beside = _read_edges(store, plan, question, directory_queries(plan))
    directory = directory_of(beside)
    check_focus(directory, question)
    tag = fingerprint([columns], directory, [question], [plan]) if tagged else ""
    return Reading(assemble(columns, directory, question, plan), directory, tag)


def check_focus(directory: Directory, question: Question) -> None:
    """Refuse a focus that was never seen.

    Raises:
        UnknownFocus: one of the services is in no window at all.
    """
    for service in question.focus:
        if service not in directory.kinds:
            raise UnknownFocus(
                f"focus {shortened(service)} was never seen; accepted: ids as /api/v1/services lists them"
            )


def read_edges(store: Store, plan: Plan, question: Question) -> EdgeColumns:
    """Return all edges of a planned window as columns."""
    return _read_edges(store, plan, question, [])[0]


def directory_queries(plan: Plan) -> list[Asked]:
    """Ask for what `directory_of` reads: what is known of services at a window's end."""
    return [kinds_query(), attributes_query(plan.end_s * 1000)]


def directory_of(answers: Sequence[pa.Table]) -> Directory:
    """Return what is known of services."""
    kinds, attributes = answers
    return Directory(kinds_of(kinds), attributes_of(attributes))


def _read_edges(
    store: Store, plan: Plan, question: Question, beside: Sequence[Asked]
) -> tuple[EdgeColumns, list[pa.Table]]:
    """All edges of a window, and the answers to what is asked at the same time."""
    # A protocol may turn out to be another one: it is asked for after the joining.
    asked = replace(question, protocols=()) if joins(question.layers) else question
    queries = [counts_query([plan], asked), *([latency_query([plan], asked)] if asked.full else [])]
    answers = store.query_together(*queries, *lifetimes_queries(), *beside)
    counts, latency = answers[0], answers[1] if asked.full else None
    stored, withdrawals, *others = answers[len(queries) :]
    lifetimes = lifetimes_of(store, stored, withdrawals)
    found = put_together(store, [plan], asked, counts, lifetimes, latency)
    if question.protocols and asked is not question:
        common = found.columns[0]
        wanted = np.array([protocol in question.protocols for protocol in common.protocols], np.bool_)
        found = found.keep(wanted[common.protocol])
    return found.columns[0], others
