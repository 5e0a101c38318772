"""From hops to edges: hops into an intermediary and hops out of it become hops through it. Pure.

Invariant: the traffic of a resolved hop is taken from the hops that it stands for, in whole numbers. Traffic that could
not be resolved stays with its hops. A chain of intermediaries is resolved from the callers' end; `via` lists it in
order.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np

from chronotope.ingest.intermediaries.connections import Finer
from chronotope.ingest.intermediaries.estimating import Series
from chronotope.ingest.intermediaries.hops import (
    BYTES_RECEIVED,
    BYTES_SENT,
    CONNECTIONS,
    GENERIC,
    Hops,
    Route,
    join_hops,
    split,
)
from chronotope.ingest.intermediaries.pairing import Pairs, Records, pair


@dataclass(frozen=True, slots=True)
class Knowledge:
    """Knowledge beside volumes.

    Attributes:
        targets: (intermediary, port of its listener; 0: any) → the services behind it.
        calls: (caller, target) → intermediaries that traces name between them (none: they name none), with calls.
        finer: intermediary → its volumes in shorter steps.
    """

    targets: Mapping[tuple[str, int], frozenset[str]] = field(default_factory=dict)
    calls: Mapping[tuple[str, str], Mapping[str, float]] = field(default_factory=dict)
    finer: Mapping[str, Finer] = field(default_factory=dict)


def resolve(hops: Hops, intermediaries: Collection[str], knowledge: Knowledge) -> Hops:
    """Return first the given hops in their order, with their remaining traffic, then the resolved ones.

    Args:
        hops: hops as they were seen, without `via`; their measures are left as they are.
        intermediaries: service ids.
        knowledge: declarations, and what traces and metrics say.
    """
    direct = {(route.source, route.target) for route in hops.routes}
    hops = Hops(hops.routes, hops.measures.copy(), hops.confidence, hops.inferred)
    for intermediary in in_order(hops.routes, intermediaries):
        for datagrams in (False, True):
            hops = _resolve_one(hops, intermediary, knowledge, direct, datagrams=datagrams)
    return hops


def in_order(routes: list[Route], intermediaries: Collection[str]) -> list[str]:
    """Return intermediaries in the order of calls: a caller before its target; in a circle by name."""
    ahead = {name: set[str]() for name in sorted(intermediaries)}
    for route in routes:
        if route.source in ahead and route.target in ahead and route.source != route.target:
            ahead[route.target].add(route.source)
    order: list[str] = []
    while ahead:
        free = [name for name, callers in ahead.items() if not callers] or [next(iter(ahead))]
        order += free
        for name in free:
            del ahead[name]
        for callers in ahead.values():
            callers.difference_update(free)
    return order


def _resolve_one(
    hops: Hops, name: str, knowledge: Knowledge, direct: Collection[tuple[str, str]], *, datagrams: bool
) -> Hops:
    routes = hops.routes
    alive = np.asarray(hops.measures[:, [CONNECTIONS, BYTES_SENT, BYTES_RECEIVED]].any(axis=(1, 2)))
    usable = [at for at, route in enumerate(routes) if alive[at] and route.datagrams is datagrams]
    ins = [at for at in usable if routes[at].target == name and routes[at].source != name]
    outs = [at for at in usable if routes[at].source == name and routes[at].target != name and not routes[at].via]
    if not ins or not outs:
        return hops
    callers = list(dict.fromkeys((routes[at].source, routes[at].port) for at in ins))
    targets = list(dict.fromkeys(routes[at].target for at in outs))
    of_caller = np.array([callers.index((routes[at].source, routes[at].port)) for at in ins])
    of_target = np.array([targets.index(routes[at].target) for at in outs])
    inbound = _added(hops.measures[ins], of_caller, len(callers))
    outbound = _added(hops.measures[outs], of_target, len(targets))
    allowed, known = _constraints(name, callers, targets, knowledge, direct)
    finer = _finer(knowledge.finer.get(name), callers, targets)
    pairs = pair(inbound, outbound, allowed, known, finer)
    shown = pairs.shown
    if not shown.any():
        return hops
    given, taken = _parts(inbound, outbound, pairs)
    return _moved(hops, name, (ins, outs), (of_caller, of_target), given, taken, pairs)


def _finer(finer: Finer | None, callers: list[tuple[str, int]], targets: list[str]) -> Records | None:
    """Return the details of records, in the order of callers and targets; zeros for those without records."""
    if finer is None:
        return None
    rows = [finer.callers.index(caller) if caller in finer.callers else -1 for caller in callers]
    columns = [finer.targets.index(target) if target in finer.targets else -1 for target in targets]
    series = [
        Series(
            np.concatenate([each.inbound, np.zeros_like(each.inbound[:, :1])], axis=1)[:, rows],
            np.concatenate([each.outbound, np.zeros_like(each.outbound[:, :1])], axis=1)[:, columns],
            np.append(each.callers, False)[rows],
            np.append(each.targets, False)[columns],
        )
        for each in finer.series
    ]
    matched = np.pad(finer.matched, ((0, 1), (0, 1)))[rows][:, columns]
    return Records(series, matched, np.append(finer.shares, 0.0)[rows])


def _added(measures: np.ndarray, unit: np.ndarray, units: int) -> np.ndarray:
    total = np.zeros((units, *measures.shape[1:]), np.int64)
    np.add.at(total, unit, measures)
    return total


def _constraints(
    name: str,
    callers: list[tuple[str, int]],
    targets: list[str],
    knowledge: Knowledge,
    direct: Collection[tuple[str, str]],
) -> tuple[np.ndarray, np.ndarray]:
    """Return the pairs that declarations allow, bool[A, B], and the calls seen through here, float64[A, B]."""
    allowed = np.ones((len(callers), len(targets)), np.bool_)
    known = np.zeros((len(callers), len(targets)))
    for row, (caller, port) in enumerate(callers):
        declared = knowledge.targets.get((name, port)) or knowledge.targets.get((name, 0))
        for column, target in enumerate(targets):
            allowed[row, column] = target != caller and (not declared or target in declared)
            via = knowledge.calls.get((caller, target), {})
            # Calls that name no intermediary went through this one if the caller has no connection of its own.
            unnamed = 0.0 if (caller, target) in direct else via.get("", 0.0)
            known[row, column] = via.get(name, 0.0) + unnamed
    return allowed, known


def _parts(inbound: np.ndarray, outbound: np.ndarray, pairs: Pairs) -> tuple[np.ndarray, np.ndarray]:
    """Return each shown pair's part of its caller's traffic and of its target's, float64[A, B, T] twice."""
    seen_in, seen_out = (_activity(side) for side in (inbound, outbound))
    near_in, near_out = _near(seen_in), _near(seen_out)
    given = pairs.shares[:, :, None] * (near_out > 0)[None]
    expected = pairs.shares[:, :, None] * near_in[:, None]
    whole = expected.sum(axis=0)
    taken = np.divide(expected, whole[None], out=np.zeros_like(expected), where=whole[None] > 0)
    shown = pairs.shown[:, :, None]
    return given * shown, taken * shown


def _activity(side: np.ndarray) -> np.ndarray:
    """Return the activity, with equal weight for all measures; float64[N, T]."""
    used = side[:, [CONNECTIONS, BYTES_SENT, BYTES_RECEIVED]].astype(float)
    return np.asarray((used / np.maximum(used.sum(axis=(0, 2), keepdims=True), 1)).sum(axis=1))


def _near(activity: np.ndarray) -> np.ndarray:
    """Return activity that spreads into empty neighbouring buckets: a call's two hops may lie in two; float64[N, T]."""
    padded = np.pad(activity, ((0, 0), (1, 1)))
    return np.asarray(np.where(activity > 0, activity, (padded[:, :-2] + padded[:, 2:]) / 2))


def _moved(
    hops: Hops,
    name: str,
    ends: tuple[list[int], list[int]],
    units: tuple[np.ndarray, np.ndarray],
    given: np.ndarray,
    taken: np.ndarray,
    pairs: Pairs,
) -> Hops:
    """Return the hops followed by the resolved ones, whose traffic is subtracted from the hops."""
    (ins, outs), (of_caller, of_target) = ends, units
    spoken = [_spoken(hops, outs, of_target, column) for column in range(given.shape[1])]
    routes: list[Route] = []
    parts, sure, inferred = [], [], []
    for hop, row in zip(ins, of_caller.tolist(), strict=True):
        columns = np.flatnonzero(given[row].any(axis=1))
        own = split(hops.measures[hop], given[row, columns])
        hops.measures[hop] -= own.sum(axis=0)
        route = hops.routes[hop]
        for column, part in zip(columns.tolist(), own, strict=True):
            target, protocol = spoken[column]
            said = route.protocol if protocol in GENERIC and route.protocol not in GENERIC else protocol
            routes.append(Route(route.source, target, said, (*route.via, name)))
            parts.append(part)
            sure.append(min(hops.confidence[hop], pairs.confidence[row, column]))
            inferred.append(bool(hops.inferred[hop] or pairs.inferred[row, column]))
    for hop, column in zip(outs, of_target.tolist(), strict=True):
        hops.measures[hop] -= split(hops.measures[hop], taken[:, column]).sum(axis=0)
    none = np.zeros((0, *hops.measures.shape[1:]), np.int64)
    carried = np.stack(parts) if parts else none
    return join_hops(hops, Hops(routes, carried, np.array(sure), np.array(inferred, np.bool_)))


def _spoken(hops: Hops, outs: list[int], of_target: np.ndarray, column: int) -> tuple[str, str]:
    """Return a target, and the protocol of most of its traffic."""
    own = [at for at, unit in zip(outs, of_target.tolist(), strict=True) if unit == column]
    busiest = max(own, key=lambda at: int(hops.measures[at, BYTES_SENT : BYTES_RECEIVED + 1].sum()))
    route = hops.routes[busiest]
    return route.target, route.protocol
