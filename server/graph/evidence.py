"""Read a window's evidence: one statement over the segments of its plan, one row an edge, layer and route.

Invariant: what corrections cancelled is not there; values reach the engine as parameters, never as text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from chronotope.schema.observations import BOTH_VIEWS, HOPS_ONLY, LAYERS, MEASURES, RESOLVED_ONLY
from chronotope.schema.store import Store
from chronotope.server.graph.levels import Plan
from chronotope.server.graph.question import Question

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

# In layer ipc both ends report the same calls: what the target said is kept apart, and used where the source is silent.
# In layer trace a call is written once, by whichever end's span is known.
BY_TARGET = "toUInt8(layer = 'ipc' AND reporter = 2) AS by_target"
_KEYS = ("source", "target", "protocol", "layer")
_LATEST_S = 2**32 - 1  # all that a DateTime holds
_VIEWS = {"resolved": (BOTH_VIEWS, RESOLVED_ONLY), "hops": (BOTH_VIEWS, HOPS_ONLY)}


def measures_of(layers: Sequence[str]) -> list[str]:
    """Return the measures that some layers (none: all) have, in the store's order."""
    wanted: set[str] = set()
    for layer in layers or LAYERS:
        wanted |= set(FLOW_MEASURES if layer == "network" else CALL_MEASURES)
    return [measure for measure in MEASURES if measure in wanted]


def read_counts(store: Store, plan: Plan, question: Question) -> pa.Table:
    """Return the sums of the window: `source`, `target`, `protocol`, `layer`, `via`, `by_target`, measures; R rows."""
    measures = measures_of(question.layers)
    parameters: dict[str, Any] = {}
    columns = [*_KEYS, "reporter", "via", *measures]
    rows = _segments("edges", plan, question, columns, parameters)
    sums = [f"sum(r.{measure}) AS {measure}" for measure in measures]
    sums += latency_ends() if "latency_count" in measures else []
    sql = (
        f"SELECT {', '.join(_KEYS)}, via, {BY_TARGET}, {', '.join(sums)} FROM ({rows}) AS r "
        f"GROUP BY {', '.join(_KEYS)}, via, by_target HAVING {' OR '.join(f'{name} != 0' for name in measures)}"
    )
    return store.query(sql, parameters)


def read_latency(store: Store, plan: Plan, question: Question) -> pa.Table:
    """Return latency and codes of the window: `source`, `target`, `protocol`, `layer`, `by_target` and both; R rows."""
    parameters: dict[str, Any] = {}
    rows = _segments("latency", plan, question, [*_KEYS, "reporter", *DISTRIBUTIONS], parameters)
    sums = ", ".join(f"sumMap(r.{name}) AS {name}" for name in DISTRIBUTIONS)
    sql = f"SELECT {', '.join(_KEYS)}, {BY_TARGET}, {sums} FROM ({rows}) AS r GROUP BY {', '.join(_KEYS)}, by_target"
    return store.query(sql, parameters)


def where(question: Question, parameters: dict[str, Any]) -> str:
    """Return the conditions of a question other than its window, and add their values to the parameters."""
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
    """Return the sums that say which end measured how many latencies."""
    return [
        f"sumIf(r.latency_count, reporter = {number}) AS {name}" for number, name in enumerate(LATENCY_ENDS, start=1)
    ]


def _segments(table: str, plan: Plan, question: Question, columns: list[str], parameters: dict[str, Any]) -> str:
    filters = where(question, parameters)
    return " UNION ALL ".join(
        f"SELECT {', '.join(columns)} FROM {table}_{segment.level} "
        f"WHERE {during(number, segment.start_s, segment.end_s, parameters)} AND {filters}"
        for number, segment in enumerate(plan.segments)
    )
