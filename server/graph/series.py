"""One edge over time: its measures by layer as columns, one value for each step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from msgspec import UNSET, Struct, UnsetType

from chronotope.schema.errors import NotFound
from chronotope.schema.observations import LAYERS, VIA_SEPARATOR
from chronotope.schema.storage.store import Store
from chronotope.schema.times import format_time, shortened
from chronotope.server.evidence.codes import code_columns
from chronotope.server.evidence.columns import LayerColumns, add_latency, as_int, layers_of
from chronotope.server.evidence.confidence import read_estimates, read_guess
from chronotope.server.evidence.joining import read_joined_protocols
from chronotope.server.evidence.lifetimes import read_lifetimes
from chronotope.server.evidence.question import Question
from chronotope.server.evidence.statement import BY_TARGET, DISTRIBUTIONS, during, latency_ends, measures_of, where
from chronotope.server.evidence.steps import Steps
from chronotope.server.graph.answer import Layer, Window
from chronotope.server.graph.assemble import format_times, window_of_steps
from chronotope.server.graph.measures import layer_quantiles, or_none, ratio

Numbers = list[int]
Maybe = list[float | None]


class LatencyColumns(Struct):
    """Milliseconds; the quantiles only with `measures=full`."""

    mean: Maybe
    p50: Maybe | UnsetType = UNSET
    p95: Maybe | UnsetType = UNSET
    p99: Maybe | UnsetType = UNSET


class CallColumns(Struct):
    """What traces or client/server metrics saw. `codes`: by response code, only with `measures=full`."""

    calls: Numbers
    errors: Numbers
    calls_per_second: list[float]
    error_ratio: Maybe
    latency_ms: LatencyColumns
    connections: Numbers
    bytes_sent: Numbers
    bytes_received: Numbers
    codes: dict[str, Numbers] | UnsetType = UNSET


class RoundTripColumns(Struct):
    """Milliseconds."""

    mean: Maybe


class FlowColumns(Struct):
    """What the network saw."""

    connections: Numbers
    failed_connections: Numbers
    bytes_sent: Numbers
    bytes_received: Numbers
    retransmits: Numbers
    rtt_ms: RoundTripColumns


class EvidenceColumns(Struct):
    """Measures by layer, each a column as long as `time`."""

    network: FlowColumns | UnsetType = UNSET
    ipc: CallColumns | UnsetType = UNSET
    trace: CallColumns | UnsetType = UNSET


class EdgeSeries(Struct):
    """One edge, when it was seen over all history, and its measures over time."""

    id: str
    source: str
    target: str
    protocol: str
    layers: list[Layer]
    via: list[str]
    confidence: float
    inferred: bool
    first_seen: str
    last_seen: str
    window: Window
    step_seconds: int
    time: list[str]
    evidence: EvidenceColumns


def read_series(store: Store, steps: Steps, edge: str, question: Question) -> EdgeSeries:
    """Return one edge over some steps; of the question its layers, view and `full` count.

    Raises:
        NotFound: no edge has this id.
    """
    found = read_lifetimes(store, "id = {id:String}", {"id": edge})
    if not found.num_rows:
        raise NotFound(f"no edge has the id {shortened(edge)}; accepted: ids of edges as /api/v1/graph gives them")
    ends = {name: str(found.column(name)[0].as_py()) for name in ("source", "target", "protocol")}
    first, last = as_int(found, "first_seen").min(), as_int(found, "last_seen").max()
    joined = read_joined_protocols(store, ends, question.layers)
    asked = {**ends, "joined": joined}
    counts = _read_counts(store, steps, question, asked)
    layers = _layers(counts, steps.count)
    if question.full:
        latency = _read_latency(store, steps, question, asked)
        add_latency(layers, latency, as_int(latency, "step"))
    confidence, inferred = _confidence(store, steps, question, ends, joined, counts, layers, found)
    return EdgeSeries(
        edge,
        **ends,
        layers=[layer for layer in LAYERS if layer in layers],  # type: ignore[misc]
        via=_via(counts),
        confidence=confidence,
        inferred=inferred,
        first_seen=format_time(int(first)),
        last_seen=format_time(int(last)),
        window=window_of_steps(steps.start_s, steps.end_s, steps.step_s),
        step_seconds=steps.step_s,
        time=[text or "" for text in format_times(steps.starts_ms)],
        evidence=_evidence(layers, steps.step_s, full=question.full),
    )


_STEP = "intDiv(toInt64(toUnixTimestamp(time)) - {base:Int64}, {step:Int64}) AS step"
_EDGE = (
    "source = {source:String} AND target = {target:String} "
    "AND (protocol = {protocol:String} OR layer = 'network' AND protocol IN {joined:Array(String)})"
)


def _read_counts(store: Store, steps: Steps, question: Question, ends: dict[str, Any]) -> pa.Table:
    # By the hour there is a table with the edge first: one edge over months reads only its own rows.
    table = "edge_hours" if steps.level == "1h" else f"edges_{steps.level}"
    measures = measures_of(question.layers)
    sums = [f"sum(r.{measure}) AS {measure}" for measure in measures]
    sums += latency_ends() if "latency_count" in measures else []
    columns = f"groupUniqArray(toString(via)) AS routes, {', '.join(sums)}"
    having = " OR ".join(f"{measure} != 0" for measure in measures)
    return _read(store, table, columns, steps, question, ends, f"HAVING {having}")


def _read_latency(store: Store, steps: Steps, question: Question, ends: dict[str, Any]) -> pa.Table:
    sums = ", ".join(f"sumMap(r.{name}) AS {name}" for name in DISTRIBUTIONS)
    return _read(store, f"latency_{steps.level}", sums, steps, question, ends, "")


def _read(
    store: Store, table: str, columns: str, steps: Steps, question: Question, ends: dict[str, Any], having: str
) -> pa.Table:
    parameters: dict[str, Any] = {"base": steps.start_s, "step": steps.step_s, **ends}
    conditions = f"{_EDGE} AND {during(0, steps.start_s, steps.end_s, parameters)} AND {where(question, parameters)}"
    sql = (
        f"SELECT {_STEP}, layer, {BY_TARGET}, {columns} FROM {table} AS r WHERE {conditions} "
        f"GROUP BY step, layer, by_target {having} ORDER BY step, layer, by_target"
    )
    return store.query(sql, parameters)


def _layers(counts: pa.Table, steps: int) -> dict[str, LayerColumns]:
    found = layers_of(counts, as_int(counts, "step"), steps, apart=("step",))
    return {name: layer for name, layer in found.items() if layer.alive.any()}


def _confidence(
    store: Store,
    steps: Steps,
    question: Question,
    ends: dict[str, str],
    joined: list[str],
    counts: pa.Table,
    layers: dict[str, LayerColumns],
    lifetimes: pa.Table,
) -> tuple[float, bool]:
    """The edge's confidence, and whether it is only inferred, as graphs show them; see evidence/confidence.py."""
    routes = [route for routes in counts.column("routes").to_pylist() for route in routes]
    if set(layers) != {"network"} or not routes:
        return 1.0, False
    if "" in routes:
        others = {*lifetimes.column("layer").to_pylist()} - {"network"}
        confirmed = others & {*(question.layers or LAYERS)}
        return 1.0 if confirmed else read_guess(store, ends), False
    if question.view != "resolved":
        return 1.0, False
    estimates = read_estimates(store, steps.start_s, steps.end_s).to_pylist()
    own = [
        row
        for row in estimates
        if (row["source"], row["target"]) == (ends["source"], ends["target"])
        and row["protocol"] in (ends["protocol"], *joined)
    ]
    certain = not own or any(not row["guessed"] for row in own)
    return (1.0, False) if certain else (round(max(row["sure"] for row in own), 3), True)


def _via(counts: pa.Table) -> list[str]:
    via: list[str] = []
    for route in sorted({route for routes in counts.column("routes").to_pylist() for route in routes if route}):
        via.extend(stop for stop in route.split(VIA_SEPARATOR) if stop not in via)
    return via


def _evidence(layers: dict[str, LayerColumns], seconds: int, *, full: bool) -> EvidenceColumns:
    evidence = EvidenceColumns()
    if "network" in layers:
        evidence.network = _flows(layers["network"])
    if "ipc" in layers:
        evidence.ipc = _calls(layers["ipc"], seconds, full=full)
    if "trace" in layers:
        evidence.trace = _calls(layers["trace"], seconds, full=full)
    return evidence


def _calls(layer: LayerColumns, seconds: int, *, full: bool) -> CallColumns:
    own = layer.measures
    latency = LatencyColumns(ratio(own["latency_us_sum"], own["latency_count"], 1000.0))
    if full:
        quantiles = layer_quantiles(layer)
        latency.p50, latency.p95, latency.p99 = (or_none(column, ~np.isnan(column)) for column in quantiles.T)
    return CallColumns(
        own["calls"].tolist(),
        own["errors"].tolist(),
        np.round(own["calls"] / seconds, 6).tolist(),
        ratio(own["errors"], own["calls"]),
        latency,
        own["connections"].tolist(),
        own["bytes_sent"].tolist(),
        own["bytes_received"].tolist(),
        (code_columns(layer.codes, len(layer.alive)) or UNSET) if full else UNSET,
    )


def _flows(layer: LayerColumns) -> FlowColumns:
    own = layer.measures
    return FlowColumns(
        connections=own["connections"].tolist(),
        failed_connections=own["failed_connections"].tolist(),
        bytes_sent=own["bytes_sent"].tolist(),
        bytes_received=own["bytes_received"].tolist(),
        retransmits=own["retransmits"].tolist(),
        rtt_ms=RoundTripColumns(ratio(own["rtt_us_sum"], own["rtt_count"], 1000.0)),
    )
