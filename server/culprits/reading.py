"""Read a window's evidence by sub-windows, for culprits: one statement for each window.

Invariant: both windows have the same services and edges, in the order of their names.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from chronotope.schema.observations import BOTH_VIEWS, INSIDE, LAYERS, REPORTER_TARGET, RESOLVED_ONLY
from chronotope.schema.storage.store import Store
from chronotope.server.culprits.symptoms import LayerSums, WindowSums
from chronotope.server.evidence.columns import as_int, coded
from chronotope.server.evidence.statement import during
from chronotope.server.evidence.sub_windows import SubWindowPlan

MOST_SUB_WINDOWS = 120
_VIEWS = (BOTH_VIEWS, RESOLVED_ONLY, INSIDE)
_SUB_WINDOW = "intDiv(toInt64(toUnixTimestamp(time)) - {base:Int64}, {step:Int64}) AS sub_window"
# What the network counts in place of calls, errors and latencies.
_MEASURES = {
    "calls": "connections", "errors": "failed_connections", "latency_us_sum": "rtt_us_sum",
    "latency_count": "rtt_count",
}  # fmt: skip
# A number instead of two names: four times as fast to group by. A service's own time stands as its edge to itself.
_NUMBERS = """
SELECT cityHash64(caller, callee) AS edge, any(caller) AS source, any(callee) AS target
FROM (SELECT source AS caller, target AS callee FROM edge_lifetimes UNION ALL SELECT service, service FROM services)
GROUP BY edge ORDER BY edge
"""


def read_layers(
    store: Store, plans: tuple[SubWindowPlan, SubWindowPlan], layers: Sequence[str]
) -> tuple[list[str], list[LayerSums]]:
    """Return the names of all services, and the layers that have evidence in both windows.

    Args:
        store: open and migrated.
        plans: how the windows are cut into sub-windows.
        layers: whose evidence is read; none: all.
    """
    numbers = store.query(_NUMBERS)
    known = numbers.column("edge").to_numpy()
    tables = [_known(_read(store, plan, layers), known) for plan in plans]
    seen = [np.unique(as_int(table, "sub_window")) for table in tables]
    used = np.unique(np.concatenate([as_int(table, "place") for table in tables]))
    names, source, target = _names(numbers.take(pa.array(used)))
    key = np.zeros(len(known), np.int64)
    key[used] = source * max(len(names), 1) + target
    found = []
    for layer in LAYERS:
        own = [_of_layer(table, layer) for table in tables]
        if all(rows.any() for rows in own):
            keys = [key[as_int(table, "place")] for table in tables]
            found.append(_layer_sums(layer, tables, keys, own, seen, len(names)))
    return names, found


def _read(store: Store, plan: SubWindowPlan, layers: Sequence[str]) -> pa.Table:
    parameters: dict[str, Any] = {"base": plan.start_s, "step": plan.length_s, "views": list(_VIEWS)}
    parameters |= {"layers": list(layers or LAYERS), "self_time": INSIDE}
    interval = during(0, plan.start_s, plan.start_s + plan.length_s * plan.count, parameters)
    sums = ", ".join(f"sum(if(r.layer = 'network', r.{net}, r.{name})) AS {name}" for name, net in _MEASURES.items())
    return store.query(
        "SELECT cityHash64(source, target) AS edge, layer, toUInt8(view = {self_time:UInt8}) AS self_time, reporter, "
        f"{_SUB_WINDOW}, {sums} FROM edges_{plan.level} AS r "
        f"WHERE {interval} AND view IN {{views:Array(UInt8)}} AND layer IN {{layers:Array(String)}} "
        "GROUP BY edge, layer, self_time, reporter, sub_window",
        parameters,
    )


def _known(table: pa.Table, known: np.ndarray) -> pa.Table:
    """The rows of known edges, with `place`: which of them."""
    number = table.column("edge").to_numpy()
    place = np.minimum(np.searchsorted(known, number), max(len(known) - 1, 0))
    found = known[place] == number if len(known) else np.zeros(len(number), bool)
    return table.append_column("place", pa.array(place)).filter(pa.array(found))


def _names(numbers: pa.Table) -> tuple[list[str], np.ndarray, np.ndarray]:
    ends = [coded(numbers, name) for name in ("source", "target")]
    names = sorted({name for _, values in ends for name in values})
    place = {name: at for at, name in enumerate(names)}
    source, target = (np.array([place[name] for name in values] or [0], np.int64)[codes] for codes, values in ends)
    return names, source, target


def _of_layer(table: pa.Table, layer: str) -> np.ndarray:
    codes, values = coded(table, "layer")
    return codes == values.index(layer) if layer in values else np.zeros(table.num_rows, bool)


def _layer_sums(
    layer: str,
    tables: list[pa.Table],
    of_rows: list[np.ndarray],
    rows: list[np.ndarray],
    seen: list[np.ndarray],
    services: int,
) -> LayerSums:
    keys = [key[own] for key, own in zip(of_rows, rows, strict=True)]
    edges = np.unique(np.concatenate(keys))
    windows = [
        _window_sums(layer, table.filter(pa.array(own)), np.searchsorted(edges, key), edges, services, sub_windows)
        for table, own, key, sub_windows in zip(tables, rows, keys, seen, strict=True)
    ]
    return LayerSums(layer, services, edges // services, edges % services, windows[0], windows[1])


def _window_sums(
    layer: str, table: pa.Table, edge: np.ndarray, edges: np.ndarray, services: int, seen: np.ndarray
) -> WindowSums:
    # Sub-windows in which nobody saw anything are left out. Where many are left, neighbours are joined.
    joined = -(-len(seen) // MOST_SUB_WINDOWS)
    count, sub_windows = len(edges), -(-len(seen) // joined)
    self_time, reporter = as_int(table, "self_time").astype(bool), as_int(table, "reporter")
    place = edge * sub_windows + np.searchsorted(seen, as_int(table, "sub_window")) // joined
    size = count * sub_windows
    values = {name: as_int(table, name) for name in _MEASURES}

    def sums(name: str, rows: np.ndarray) -> np.ndarray:
        # Corrections may leave less than nothing in a sub-window.
        total = np.bincount(place[rows], values[name][rows], size).astype(np.float64)
        return np.maximum(total, 0).reshape(count, sub_windows)

    by_target = ~self_time & (reporter == REPORTER_TARGET)
    other = ~self_time & ~by_target
    calls, errors = sums("calls", ~self_time), sums("errors", ~self_time)
    if layer == "ipc":  # both ends count the same calls
        silent = sums("calls", other) == 0
        calls, errors = (np.where(silent, sums(name, by_target), sums(name, other)) for name in ("calls", "errors"))
    if layer == "network":
        calls = calls + errors  # tried
    timed, timed_n = sums("latency_us_sum", other), sums("latency_count", other)
    served, served_n = sums("latency_us_sum", by_target), sums("latency_count", by_target)
    between, between_n = sums("latency_us_sum", self_time), sums("latency_count", self_time)
    if layer == "network":  # round trips
        between, between_n, timed, timed_n = timed + served, timed_n + served_n, timed * 0, timed_n * 0
        served, served_n = timed, timed_n
    if layer == "trace":  # a call has one latency: of its client span, else of its server span
        timed, timed_n, served, served_n = timed + served, timed_n + served_n, served * 0, served_n * 0
    own, requests = np.zeros((services, sub_windows)), np.zeros((services, sub_windows))
    itself = np.flatnonzero(edges // services == edges % services)
    own[edges[itself] // services], requests[edges[itself] // services] = between[itself], between_n[itself]
    between[itself] = between_n[itself] = 0
    caller = timed_n > 0
    return WindowSums(
        calls, errors, np.where(caller, timed, served), np.where(caller, timed_n, served_n), served, served_n,
        between, between_n, own, requests,
    )  # fmt: skip
