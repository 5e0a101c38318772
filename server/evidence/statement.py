"""The statement that reads windows: one over the segments of their plans, with a row for each edge, layer and route.

Invariant: values reach the engine as parameters, never as text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from chronotope.schema.observations import BOTH_VIEWS, HOPS_ONLY, LAYERS, MEASURES, RESOLVED_ONLY
from chronotope.schema.storage.store import Asked
from chronotope.server.evidence.levels import Plan
from chronotope.server.evidence.lifetimes import NUMBER
from chronotope.server.evidence.question import Question

CALL_MEASURES = (
    "calls", "errors", "latency_us_sum", "latency_count", "connections", "bytes_sent", "bytes_received"
)  # fmt: skip
FLOW_MEASURES = (
    "connections", "failed_connections", "bytes_sent", "bytes_received", "retransmits", "rtt_us_sum", "rtt_count"
)  # fmt: skip
# Latency that the source, or the target, of an edge measured.
LATENCY_ENDS = ("latency_at_source", "latency_at_target")
# What the tables of latency have beside the counts: calls by latency, and by response code.
DISTRIBUTIONS = ("latency", "codes")

# In layer ipc both ends report the same calls: the target's reports are kept apart, and used where the source has none.
# In layer trace a call is written once, from the span of either end.
TARGET_REPORTED = "layer = 'ipc' AND reporter = 2"
BY_TARGET = f"toUInt8({TARGET_REPORTED}) AS by_target"
_KEYS = ("source", "target", "protocol", "layer")
_LATEST_S = 2**32 - 1  # all that a DateTime holds
_VIEWS = {"resolved": (BOTH_VIEWS, RESOLVED_ONLY), "hops": (BOTH_VIEWS, HOPS_ONLY)}


def measures_of(layers: Sequence[str]) -> list[str]:
    """Return the measures that some layers (none: all) have, in the store's order."""
    wanted: set[str] = set()
    for layer in layers or LAYERS:
        wanted |= set(FLOW_MEASURES if layer == "network" else CALL_MEASURES)
    return [measure for measure in MEASURES if measure in wanted]


def counts_query(plans: Sequence[Plan], question: Question) -> Asked:
    """Return the query for the sums of windows: `edge`, `layer`, `via`, `by_target`, measures, and `window_number` (0
    or 1) of two windows.
    """
    measures = measures_of(question.layers)
    parameters: dict[str, Any] = {}
    source, window = _source("edges", plans, question, ["via", *measures], parameters)
    sums = [f"sum(r.{measure}) AS {measure}" for measure in measures]
    sums += latency_ends() if "latency_count" in measures else []
    keys = [NUMBER, *window, "layer", "via", BY_TARGET]
    return f"SELECT {', '.join([*keys, *sums])} FROM {source} GROUP BY {_names(keys)}", parameters


def latency_query(plans: Sequence[Plan], question: Question) -> Asked:
    """Return the query for latency and codes of windows: `edge`, `layer`, `by_target`, both maps, and `window_number`
    of two windows.
    """
    parameters: dict[str, Any] = {}
    source, window = _source("latency", plans, question, DISTRIBUTIONS, parameters)
    sums = [f"sumMap(r.{name}) AS {name}" for name in DISTRIBUTIONS]
    keys = [NUMBER, *window, "layer", BY_TARGET]
    return f"SELECT {', '.join([*keys, *sums])} FROM {source} GROUP BY {_names(keys)}", parameters


def some_evidence(counts: pa.Table, layers: Sequence[str]) -> pa.Table:
    """Return the rows of `counts_query` that corrections did not cancel."""
    left = np.zeros(counts.num_rows, np.bool_)
    for measure in measures_of(layers):
        left |= counts.column(measure).to_numpy() != 0
    return counts if left.all() else counts.filter(pa.array(left))


def segments_of(table: str, plan: Plan, question: Question, columns: Sequence[str], parameters: dict[str, Any]) -> str:
    """Return the rows of a window as a subquery, and add its values to the parameters."""
    filters = where(question, parameters)
    return " UNION ALL ".join(
        f"SELECT {', '.join(columns)} FROM {table}_{segment.level} "
        f"WHERE {during(number, segment.start_s, segment.end_s, parameters)} AND {filters}"
        for number, segment in enumerate(plan.segments)
    )


def where(question: Question, parameters: dict[str, Any]) -> str:
    """Return a question's conditions other than its window, and add their values to the parameters."""
    first, second = _VIEWS[question.view]
    conditions = [f"view IN ({first}, {second})"]
    if question.layers and set(question.layers) != set(LAYERS):
        parameters["layers"] = list(question.layers)
        conditions.append("layer IN {layers:Array(String)}")
    if question.protocols:
        parameters["protocols"] = list(question.protocols)
        conditions.append("protocol IN {protocols:Array(String)}")
    return " AND ".join(conditions)


def during(number: int, start_s: int, end_s: int, parameters: dict[str, Any]) -> str:
    """Return the condition that a row is in [start, end), and add its values to the parameters."""
    parameters |= {f"start_{number}": max(start_s, 0), f"end_{number}": min(end_s, _LATEST_S)}
    return f"time >= toDateTime({{start_{number}:UInt32}}, 'UTC') AND time < toDateTime({{end_{number}:UInt32}}, 'UTC')"


def latency_ends() -> list[str]:
    """Return the sums that tell which end measured how many latencies."""
    return [
        f"sumIf(r.latency_count, reporter = {number}) AS {name}" for number, name in enumerate(LATENCY_ENDS, start=1)
    ]


def _source(
    table: str, plans: Sequence[Plan], question: Question, columns: Sequence[str], parameters: dict[str, Any]
) -> tuple[str, list[str]]:
    """The tables to select from, as `r`, and of two windows the column that tells them apart.

    One SELECT for each level, not for each segment: planning a UNION took a third of the time of a window's counts.
    """
    filters = where(question, parameters)
    scans = []
    for level, by_window in _scans(plans, parameters):
        ranges = " OR ".join(f"({one})" for own in by_window for one in own)
        later = " OR ".join(f"({one})" for one in by_window[-1]) or "0"
        scans.append((f"{table}_{level}", f"({ranges}) AND {filters}", f"toUInt8({later}) AS window_number"))
    if len(scans) == 1:
        name, condition, window = scans[0]
        return f"{name} AS r WHERE {condition}", [window] if len(plans) > 1 else []
    read = ", ".join((*_KEYS, "reporter", *columns))
    union = [f"SELECT {read}, {window} FROM {name} WHERE {condition}" for name, condition, window in scans]
    return f"({' UNION ALL '.join(union)}) AS r", ["window_number"] if len(plans) > 1 else []


def _scans(plans: Sequence[Plan], parameters: dict[str, Any]) -> list[tuple[str, list[list[str]]]]:
    """The levels that are read, each with the conditions of every window's segments.

    Where two windows overlap, common rows are read for each of them, so their levels are scanned apart.
    """
    common = len(plans) > 1 and plans[0].start_s < plans[1].end_s and plans[1].start_s < plans[0].end_s
    scans: dict[tuple[str, int], list[list[str]]] = {}
    segments = [(window, segment) for window, plan in enumerate(plans) for segment in plan.segments]
    for number, (window, segment) in enumerate(segments):
        own = scans.setdefault((segment.level, window if common else 0), [[] for _ in plans])
        own[window].append(during(number, segment.start_s, segment.end_s, parameters))
    return [(level, by_window) for (level, _), by_window in scans.items()]


def _names(keys: Sequence[str]) -> str:
    return ", ".join(key.rsplit(" AS ", 1)[-1] for key in keys)
