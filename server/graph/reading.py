"""Read a window from the store and make its graph, for routes and commands alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from chronotope.schema.errors import Impossible
from chronotope.schema.storage.store import Asked, Store
from chronotope.schema.times import shortened
from chronotope.server.evidence.directory import attributes_of, attributes_query, kinds_of, kinds_query
from chronotope.server.evidence.levels import Plan, plan_window
from chronotope.server.evidence.question import Question
from chronotope.server.evidence.settings import Settings
from chronotope.server.evidence.windows import read_edges
from chronotope.server.graph.answer import Graph
from chronotope.server.graph.assemble import Directory, assemble
from chronotope.server.graph.fingerprint import fingerprint


class UnknownFocus(Impossible):
    """The focus is a service that was never seen."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A graph, what is known of its services, and a tag that changes with the data (empty unless asked for)."""

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
    columns, found = read_edges(store, plan, question, directory_queries(plan))
    directory = directory_of(found)
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


def directory_queries(plan: Plan) -> list[Asked]:
    """Return the queries for `directory_of`: what is known of services at a window's end."""
    return [kinds_query(), attributes_query(plan.end_s * 1000)]


def directory_of(answers: Sequence[pa.Table]) -> Directory:
    """Return what is known of services."""
    kinds, attributes = answers
    return Directory(kinds_of(kinds), attributes_of(attributes))
