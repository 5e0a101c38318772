"""What the store holds around intermediaries: observed hops, and rows that the resolution wrote before.

Invariant: the resolution's own rows are never evidence for it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from chronotope.ingest.flows.rows import MEASURES
from chronotope.ingest.intermediaries.hops import Hops, Route, observed_hops
from chronotope.schema.observations import BUCKET_S, REPORTER_RESOLUTION, VIA_SEPARATOR
from chronotope.schema.storage.store import Store

_DURING = "time >= toDateTime({from:UInt32}, 'UTC') AND time < toDateTime({to:UInt32}, 'UTC')"
_SUMS = ", ".join(f"sum(r.{name}) AS {name}" for name in MEASURES)
_HOPS = f"""
SELECT source, target, protocol, toUnixTimestamp(time) AS at, {_SUMS} FROM edges_10s AS r
WHERE {_DURING} AND layer = 'network' AND view = 0 AND via = '' AND reporter != {REPORTER_RESOLUTION}
  AND (source IN {{names:Array(String)}} OR target IN {{names:Array(String)}})
GROUP BY source, target, protocol, at
"""
_CALLS = f"""
SELECT source, target, via, sum(r.calls) AS calls FROM edges_1m AS r
WHERE {_DURING} AND layer IN ('trace', 'ipc') AND view IN (0, 1)
  AND source IN {{sources:Array(String)}} AND target IN {{targets:Array(String)}}
GROUP BY source, target, via
HAVING sum(r.calls) > 0
"""
_WRITTEN = f"""
SELECT source, target, protocol, via, view, toUnixTimestamp(time) AS at, {_SUMS} FROM edges_10s AS r
WHERE {_DURING} AND layer = 'network' AND reporter = {REPORTER_RESOLUTION}
GROUP BY source, target, protocol, via, view, at
"""
_KINDS = """
SELECT service, toString(kind) AS kind FROM services WHERE service IN {names:Array(String)}
"""
_KIND_ORDER = ("intermediary", "database", "messaging", "service", "external", "unknown")

Key = tuple[str, str, str, str, int]  # source, target, protocol, via, view


@dataclass(slots=True)
class Written:
    """The sums of the resolution's observations: edge, route and view → int64[M, T]."""

    rows: dict[Key, np.ndarray]
    buckets: int

    def of(self, key: Key) -> np.ndarray:
        """Return the sums of a row; zeros for a new row."""
        return self.rows.setdefault(key, np.zeros((len(MEASURES), self.buckets), np.int64))


def read_hops(store: Store, names: Collection[str], start_s: int, end_s: int) -> Hops:
    """Return the hops to and from some services in [start, end), Unix seconds on whole buckets."""
    table = store.query(_HOPS, {"from": start_s, "to": end_s, "names": sorted(names)})
    places: dict[Route, int] = {}
    hop = [
        places.setdefault(Route(source, target, protocol), len(places))
        for source, target, protocol in zip(*_texts(table, "source", "target", "protocol"), strict=True)
    ]
    measures = np.zeros((len(places), len(MEASURES), (end_s - start_s) // BUCKET_S), np.int64)
    bucket = (table.column("at").to_numpy().astype(np.int64) - start_s) // BUCKET_S
    for number, name in enumerate(MEASURES):
        # A correction may arrive before the row that it corrects. A negative sum counts as 0 until then.
        measures[hop, number, bucket] = np.maximum(table.column(name).to_numpy(), 0)
    routes = sorted(places)
    return observed_hops(routes, measures[[places[route] for route in routes]] if routes else measures)


def read_calls(
    store: Store, hops: Hops, intermediaries: Collection[str], start_s: int, end_s: int
) -> dict[tuple[str, str], dict[str, float]]:
    """Return (caller, target) → the intermediary between them, or none → calls in traces or metrics."""
    ends = {
        "sources": sorted({route.source for route in hops.routes} - set(intermediaries)),
        "targets": sorted({route.target for route in hops.routes} - set(intermediaries)),
    }
    found: dict[tuple[str, str], dict[str, float]] = defaultdict(lambda: defaultdict(float))
    # A target's answer to a call may lie outside of the window that its caller's span is in: whole minutes.
    window = {"from": start_s // 60 * 60, "to": -(-end_s // 60) * 60}
    for source, target, via, calls in store.rows(_CALLS, {**window, **ends}):
        for stop in str(via).split(VIA_SEPARATOR):
            found[str(source), str(target)][stop] += float(calls)
    return {pair: dict(named) for pair, named in found.items()}


def read_written(store: Store, start_s: int, end_s: int) -> Written:
    """Return the resolution's rows for [start, end)."""
    table = store.query(_WRITTEN, {"from": start_s, "to": end_s})
    written = Written({}, (end_s - start_s) // BUCKET_S)
    bucket = ((table.column("at").to_numpy().astype(np.int64) - start_s) // BUCKET_S).tolist()
    values = np.stack([table.column(name).to_numpy() for name in MEASURES]) if table.num_rows else None
    keys = zip(*_texts(table, "source", "target", "protocol", "via"), table.column("view").to_pylist(), strict=True)
    for row, (key, at) in enumerate(zip(keys, bucket, strict=True)):
        assert values is not None
        written.of(key)[:, at] = values[:, row]
    return written


def read_kinds(store: Store, names: Collection[str]) -> dict[str, str]:
    """Return the kinds of services: the first of several kinds, as a graph shows it."""
    kinds: dict[str, str] = {}
    for service, kind in store.rows(_KINDS, {"names": sorted(names)}):
        known = kinds.get(str(service), "unknown")
        kinds[str(service)] = min(str(kind), known, key=_KIND_ORDER.index)
    return kinds


def _texts(table: pa.Table, *names: str) -> list[list[Any]]:
    return [table.column(name).to_pylist() for name in names]
