"""Ask the store for a window, and put the graph together: what the HTTP route and the command both call."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from chronotope.schema.errors import Impossible
from chronotope.schema.store import Store
from chronotope.schema.times import shortened
from chronotope.server.graph.answer import Graph
from chronotope.server.graph.assemble import Directory, assemble
from chronotope.server.graph.columns import EdgeColumns, add_latency, add_lifetimes, edge_columns, keep_edges
from chronotope.server.graph.directory import read_attributes, read_kinds, read_lifetimes
from chronotope.server.graph.doubts import add_doubts, doubtful, read_doubts
from chronotope.server.graph.evidence import read_counts, read_latency
from chronotope.server.graph.fingerprint import fingerprint
from chronotope.server.graph.joining import join_protocols, joins
from chronotope.server.graph.levels import Plan, plan_window
from chronotope.server.graph.question import Question
from chronotope.server.settings import Settings


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
    directory = read_directory(store, plan)
    check_focus(directory, question)
    columns = read_edges(store, plan, question)
    tag = fingerprint(columns, directory, question, plan) if tagged else ""
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
    # A protocol may turn out to be another one: it is asked for after the joining.
    asked = replace(question, protocols=()) if joins(question.layers) else question
    lifetimes = read_lifetimes(store)
    counts = join_protocols(read_counts(store, plan, asked), lifetimes, question.layers)
    columns = edge_columns(counts)
    if question.protocols and asked is not question:
        wanted = np.array([protocol in question.protocols for protocol in columns.protocols], np.bool_)
        columns = keep_edges(columns, wanted[columns.protocol])
    add_lifetimes(columns, join_protocols(lifetimes, lifetimes, question.layers))
    if question.view == "resolved" and doubtful(columns):
        add_doubts(columns, read_doubts(store, plan.start_s, plan.end_s), lifetimes, question.layers, counts)
    if question.full:
        add_latency(columns, read_latency(store, plan, asked))
    return columns


def read_directory(store: Store, plan: Plan) -> Directory:
    """Return what is known of services at a window's end."""
    return Directory(read_kinds(store), read_attributes(store, plan.end_s * 1000))
