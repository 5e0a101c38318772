"""Propose services that look like undeclared load balancers or proxies; never assume one.

Invariant: a proposed service has several callers and several targets, and passes on what it gets: about as many bytes
in each direction, at the same times.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from msgspec import Struct

from chronotope.schema.storage.store import Store
from chronotope.server.evidence.columns import EdgeColumns
from chronotope.server.evidence.levels import Plan
from chronotope.server.evidence.statement import during

FEWEST_ENDS = 2
FEWEST_BUCKETS = 6
_ALIKE = 0.7, 1.5  # bytes out over bytes in
_TOGETHER = 0.9  # correlation over buckets


class Proposal(Struct):
    """A service that may be an intermediary; declare it under `intermediaries` to have its hops resolved."""

    service: str
    callers: int
    targets: int
    correlation: float
    reason: str


def propose(store: Store, plan: Plan, columns: EdgeColumns, kinds: dict[str, str]) -> list[Proposal]:
    """Return what looks like an intermediary in a window, by service id."""
    candidates = _candidates(columns, kinds)
    if not candidates:
        return []
    found = []
    for service, (callers, targets) in candidates.items():
        correlation = _correlation(store, plan, service)
        if correlation >= _TOGETHER:
            reason = (
                f"{service} sends {targets} services about as many bytes as {callers} callers send it, at the same "
                f"times (correlation {correlation:.2f}): it may be a proxy that is not declared"
            )
            found.append(Proposal(service, callers, targets, round(correlation, 3), reason))
    return found


def _candidates(columns: EdgeColumns, kinds: dict[str, str]) -> dict[str, tuple[int, int]]:
    network = columns.layers.get("network")
    if network is None:
        return {}
    size = len(columns.names)
    rows = np.flatnonzero(network.alive)
    source, target = columns.source[rows], columns.target[rows]
    pairs = np.unique(source.astype(np.int64) * size + target)
    callers, targets = np.bincount(pairs % size, minlength=size), np.bincount(pairs // size, minlength=size)
    fits = (callers >= FEWEST_ENDS) & (targets >= FEWEST_ENDS)
    for name in ("bytes_sent", "bytes_received"):
        volume = network.measures[name][rows].astype(float)
        into, out = (np.bincount(end, volume, size) for end in (target, source))
        fits &= (out >= _ALIKE[0] * into) & (out <= _ALIKE[1] * into) & (into > 0)
    return {
        columns.names[at]: (int(callers[at]), int(targets[at]))
        for at in np.flatnonzero(fits).tolist()
        if kinds.get(columns.names[at]) == "service"
    }


def _correlation(store: Store, plan: Plan, service: str) -> float:
    """How alike the bytes in and out are over the buckets of a window, at most 1; 0 where there are too few."""
    level = "10s" if plan.seconds <= 3600 else "1m" if plan.seconds <= 86_400 else "1h"
    parameters: dict[str, Any] = {"service": service}
    interval = during(0, plan.start_s, plan.end_s, parameters)
    rows = store.rows(
        "SELECT sumIf(bytes_sent + bytes_received, target = {service:String}) AS into, "
        "sumIf(bytes_sent + bytes_received, source = {service:String}) AS out "
        f"FROM edges_{level} WHERE {interval} AND layer = 'network' AND view IN (0, 2) "
        "AND (source = {service:String} OR target = {service:String}) GROUP BY time",
        parameters,
    )
    volumes = np.array(rows, float).reshape(-1, 2)
    if len(volumes) < FEWEST_BUCKETS or not volumes.std(axis=0).all():
        return 0.0
    return float(np.corrcoef(volumes.T)[0, 1])
