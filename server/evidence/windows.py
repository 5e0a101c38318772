"""Read one window, or two over the same edges, as columns.

Invariant: what corrections cancelled is not there, and an edge without evidence in any window is left out. All windows
have the same edges, in the order of (source, target, protocol).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from chronotope.schema.storage.store import Asked, Store
from chronotope.server.evidence.columns import (
    EdgeColumns,
    add_latency,
    alive_somewhere,
    as_int,
    coded,
    edge_keys,
    find_numbers,
    keep_edges,
    layers_of,
    routes_of,
)
from chronotope.server.evidence.confidence import (
    add_estimates,
    add_guesses,
    direct_edges,
    may_be_estimated,
    read_estimates,
    read_guesses,
    seen_alone,
)
from chronotope.server.evidence.joining import joins
from chronotope.server.evidence.levels import Plan, plan_window
from chronotope.server.evidence.lifetimes import forget_lookups, lifetimes_of, lifetimes_queries, read_lifetimes
from chronotope.server.evidence.numbering import Known, Numbers, known_edges, numbered, renumbered
from chronotope.server.evidence.question import Question
from chronotope.server.evidence.settings import Settings
from chronotope.server.evidence.statement import counts_query, latency_query, some_evidence

_ALIVE = ("calls", "connections", "bytes_sent", "bytes_received")  # with some of these an edge has a lifetime


@dataclass(frozen=True, slots=True)
class Windows:
    """The columns of each window over the same E edges, and the numbers in their rows."""

    columns: list[EdgeColumns]
    numbers: Numbers

    def keep(self, mask: np.ndarray) -> Windows:
        """Return only some edges, bool[E]."""
        if mask.all():
            return self
        return Windows([keep_edges(own, mask) for own in self.columns], self.numbers.keep(mask))


def read_window(store: Store, settings: Settings, question: Question, now_ms: int) -> tuple[Plan, EdgeColumns]:
    """Return how a question's window is read, and all its edges.

    Raises:
        InvalidWindow: the window is empty.
        StoreError: the store cannot answer.
    """
    plan = plan_window(question.start_ms, question.end_ms, settings.retention, now_ms)
    return plan, read_edges(store, plan, question)[0]


def read_edges(
    store: Store, plan: Plan, question: Question, others: Sequence[Asked] = ()
) -> tuple[EdgeColumns, list[pa.Table]]:
    """Return all edges of a planned window, and the answers to other queries that are sent at the same time."""
    if not question.protocols or not joins(question.layers):
        windows, answers = read_windows(store, [plan], question, others)
        return windows.columns[0], answers
    # A flow may turn out to be of another protocol, so protocols are filtered after the joining.
    windows, answers = read_windows(store, [plan], replace(question, protocols=()), others)
    common = windows.columns[0]
    wanted = np.array([protocol in question.protocols for protocol in common.protocols], np.bool_)
    return windows.keep(wanted[common.protocol]).columns[0], answers


def read_windows(
    store: Store,
    plans: Sequence[Plan],
    question: Question,
    others: Sequence[Asked] = (),
    lifetimes: pa.Table | None = None,
) -> tuple[Windows, list[pa.Table]]:
    """Return one window or two over the same edges, and the answers to other queries that are sent at the same time.

    Args:
        store: open and migrated.
        plans: of one window or two.
        question: its layers, view, protocols and `full` count, not its window.
        others: queries whose answers the caller wants too.
        lifetimes: of all edges, where the caller has read them already.
    """
    queries = [counts_query(plans, question)]
    queries += [latency_query(plans, question)] if question.full else []
    queries += lifetimes_queries() if lifetimes is None else ()
    answers = store.query_together(*queries, *others)
    own, rest = iter(answers[: len(queries)]), answers[len(queries) :]
    counts, latency = next(own), next(own) if question.full else None
    if lifetimes is None:
        lifetimes = lifetimes_of(store, *own)
    return put_together(store, plans, question, counts, lifetimes, latency), rest


def put_together(
    store: Store,
    plans: Sequence[Plan],
    question: Question,
    counts: pa.Table,
    lifetimes: pa.Table,
    latency: pa.Table | None,
) -> Windows:
    """Return the columns of windows from what was read of them.

    Args:
        store: asked again for edges that came after `lifetimes`, and for how sure resolved edges are.
        plans: of one window or two.
        question: its layers and view count, not its window.
        counts: of `counts_query`.
        lifetimes: of all edges.
        latency: of `latency_query`; None when it was not asked for.
    """
    counts = some_evidence(counts, question.layers)
    known = known_edges(lifetimes, question.layers)
    joined = renumbered(counts, known.joined, known.into)
    if _is_newer(joined, known):
        forget_lookups(store)
        known = known_edges(read_lifetimes(store), question.layers)
        joined = renumbered(counts, known.joined, known.into)
    counts = joined
    common, numbers = _edges_of(counts, known)
    edge, window = numbered(counts, numbers), _window_numbers(counts)
    windows = [_window(common, counts, edge, window == at) for at in range(len(plans))]
    if any(seen_alone(columns).any() for columns in windows):
        shown = Windows(windows, numbers)
        _add_confidence(store, shown, plans, question, known, lambda at: direct_edges(counts, edge, window == at))
    if latency is not None:
        place, window = numbered(latency, numbers), _window_numbers(latency)
        for at, columns in enumerate(windows):
            add_latency(columns.layers, latency, np.where(window == at, place, -1))
    return Windows(windows, numbers).keep(np.logical_or.reduce([alive_somewhere(columns) for columns in windows]))


def read_known(store: Store) -> tuple[EdgeColumns, Numbers]:
    """Return every edge ever seen in any layer, without evidence, and the numbers in its rows."""
    known = known_edges(read_lifetimes(store), ())
    return _edges_of(known.rows, known)


def _add_confidence(
    store: Store,
    windows: Windows,
    plans: Sequence[Plan],
    question: Question,
    known: Known,
    direct: Callable[[int], np.ndarray],
) -> None:
    """Add each window's confidence; `direct` finds the edges that a window shows without an intermediary."""
    guesses = read_guesses(store)
    for at, (columns, plan) in enumerate(zip(windows.columns, plans, strict=True)):
        estimated = question.view == "resolved" and may_be_estimated(columns)
        if not (estimated or guesses.num_rows):
            continue
        straight = direct(at)
        if estimated:
            estimates = read_estimates(store, plan.start_s, plan.end_s)
            add_estimates(columns, estimates, known.rows, question.layers, straight)
        if guesses.num_rows:
            add_guesses(columns, guesses, known, windows.numbers, question.layers, straight)


def _is_newer(counts: pa.Table, known: Known) -> bool:
    """Whether some row has an edge that is not known yet: it came between two queries."""
    missing = find_numbers(counts.column("edge"), known.rows.column("edge")) < 0
    return any(bool((as_int(counts, name)[missing] > 0).any()) for name in _ALIVE if name in counts.column_names)


def _window_numbers(table: pa.Table) -> np.ndarray:
    """Of which window each row is, int64[R]."""
    return (
        as_int(table, "window_number") if "window_number" in table.column_names else np.zeros(table.num_rows, np.int64)
    )


def _edges_of(counts: pa.Table, known: Known) -> tuple[EdgeColumns, Numbers]:
    """The edges that the rows are about, without evidence, and the numbers in their rows."""
    found = find_numbers(pc.unique(counts.column("edge")), known.rows.column("edge"))
    rows = known.rows.take(pa.array(found[found >= 0]))
    (sources, names_s), (targets, names_t) = coded(rows, "source"), coded(rows, "target")
    names = sorted({*names_s, *names_t})
    source, target = _moved(sources, names_s, names), _moved(targets, names_t, names)
    codes, values = coded(rows, "protocol")
    protocols = sorted(values)
    protocol = _moved(codes, values, protocols)
    order = np.argsort(edge_keys(source, target, protocol, len(names), len(protocols)))
    columns = EdgeColumns(names, protocols, source[order], target[order], protocol[order], {})
    columns.ids = rows.column("id").take(pa.array(order)).to_pylist()
    own = rows.column("edge").combine_chunks().take(pa.array(order))
    into = find_numbers(known.into, own)
    numbers = Numbers(own, known.joined.filter(pa.array(into >= 0)), into[into >= 0])
    edge = find_numbers(known.rows.column("edge"), own)
    at = np.flatnonzero(edge >= 0)
    columns.first_seen = np.full(len(order), np.iinfo(np.int64).max)
    columns.last_seen = np.full(len(order), -1, np.int64)
    np.minimum.at(columns.first_seen, edge[at], as_int(known.rows, "first_seen")[at])
    np.maximum.at(columns.last_seen, edge[at], as_int(known.rows, "last_seen")[at])
    return columns, numbers


def _moved(codes: np.ndarray, values: list[str], names: list[str]) -> np.ndarray:
    place = {name: at for at, name in enumerate(names)}
    return np.array([place[value] for value in values], np.int64)[codes] if len(codes) else codes


def _window(common: EdgeColumns, counts: pa.Table, edge: np.ndarray, own: np.ndarray) -> EdgeColumns:
    """One window's evidence of the edges, from its own rows, bool[R]."""
    own &= edge >= 0
    if not own.all():
        counts, edge = counts.filter(pa.array(own)), edge[own]
    layers = layers_of(counts, edge, len(common), apart=("edge", "window_number"))
    return replace(common, layers=layers, via=routes_of(counts, edge))
