"""Details from flow records that hops of ten seconds lack: the port that was called, and the time within the bucket.

Invariant: only records that count as edges are used, just as the edges count them. If there are too many records, or
none, nothing is added to the hops.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chronotope.ingest.flows.attribution import Attribution
from chronotope.ingest.flows.buckets import STORED, rows_of
from chronotope.ingest.flows.deduplication import settle
from chronotope.ingest.flows.edges import Rules
from chronotope.ingest.flows.rows import FLOW, MEASURES, TCP, FlowVocabulary
from chronotope.ingest.identity.owners import Identities
from chronotope.ingest.intermediaries.estimating import Series
from chronotope.ingest.intermediaries.hops import Hops, Route, observed_hops
from chronotope.ingest.intermediaries.matching import match
from chronotope.schema.observations import BUCKET_S
from chronotope.schema.storage.store import Store

MOST_RECORDS = 500_000
_STEPS_MS = (200, 1_000, 2_000, 5_000)  # of finer series, the shortest first
_MOST_STEPS = 3_000
_WHOLE = 0.9  # the part of a service's bytes that must be in records of at most a step, for its series to be complete
_AROUND = """
FROM flows WHERE time >= toDateTime({from:UInt32}, 'UTC') AND time < toDateTime({to:UInt32}, 'UTC')
AND (client IN {addresses:Array(String)} OR server IN {addresses:Array(String)})
"""
# Addresses of the servers with their ports, of the clients without, whether their agents name one of the services, and
# the first and last time that each was seen at.
_PLACES = """
SELECT end.1 AS address, end.2 AS port, max(observer = end.3 AND own IN {names:Array(String)}) AS own,
    toUnixTimestamp64Milli(min(start)) AS first, toUnixTimestamp64Milli(max(start)) AS last
FROM flows ARRAY JOIN [(toString(client), toUInt16(0), 1), (toString(server), server_port, 2)] AS end
WHERE time >= toDateTime({from:UInt32}, 'UTC') AND time < toDateTime({to:UInt32}, 'UTC')
GROUP BY address, port
"""


@dataclass(frozen=True, slots=True)
class Finer:
    """Volumes around one intermediary in steps shorter than a bucket: connections, bytes sent and received.

    Attributes:
        callers: (service, port) of each inbound series; targets: service of each outbound one.
        series: by length of the steps, the shortest first; without what matched connections carried.
        matched: float64[A, B], bytes of connections that were matched one by one.
        shares: float64[A], which part of a caller's bytes that is.
    """

    callers: list[tuple[str, int]]
    targets: list[str]
    series: list[Series]
    matched: np.ndarray
    shares: np.ndarray


@dataclass(frozen=True, slots=True)
class Records:
    """Flow records that count, R of them, as codes into names."""

    names: list[str] = field(default_factory=list)
    protocols: list[str] = field(default_factory=list)
    rows: np.ndarray = field(default_factory=lambda: np.empty(0, FLOW))
    target: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    protocol: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    port: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))

    def __len__(self) -> int:
        return len(self.rows)


class Connections:
    """Reads the flow records around intermediaries. Not thread-safe."""

    def __init__(
        self,
        store: Store,
        vocabulary: FlowVocabulary,
        rules: Rules,
        attribute: Attribution,
        owners: Callable[[], Identities],
        aliases: Mapping[str, str],
    ) -> None:
        self._store = store
        self._vocabulary = vocabulary
        self._rules = rules
        self._attribute = attribute
        self._owners = owners
        self._aliases = aliases

    def read(self, names: Collection[str], start_s: int, end_s: int) -> Records:
        """Return the records to and from some services within [start, end)."""
        parameters: dict[str, Any] = {"from": start_s, "to": end_s, "names": sorted(names)}
        owners = self._owners()
        parameters["addresses"] = self._addresses(names, parameters, owners)
        if not 0 < int(self._store.rows(f"SELECT count() {_AROUND}", parameters)[0][0]) <= MOST_RECORDS:
            return Records()
        rows = rows_of(self._store.query(f"SELECT {', '.join(STORED)} {_AROUND}", parameters), self._vocabulary)
        self._attribute(rows, owners)
        settle(rows)
        target, port = rows["callee"], rows["callee_port"]
        telemetry = self._rules.telemetry.rows(rows, target, port)
        kept = rows[(rows["counts"] > 0) & ~telemetry & (rows["caller"] != target)]
        return Records(
            self._vocabulary.nodes.values,
            self._vocabulary.protocols.values,
            kept,
            kept["callee"].astype(np.int64),
            self._rules.protocols(kept["transport"], kept["callee_port"]).astype(np.int64),
            kept["callee_port"].astype(np.int64),
        )

    def _addresses(self, names: Collection[str], parameters: dict[str, Any], owners: Identities) -> list[str]:
        """Addresses that the services had at some time of a window."""
        table = self._store.query(_PLACES, parameters)
        addresses = table.column("address").to_pylist()
        ports = table.column("port").to_numpy().astype(np.int64)
        ours = np.array(
            [self._aliases.get(service.id, service.id) in names for service in owners.services] + [False], np.bool_
        )
        found = table.column("own").to_numpy().astype(np.bool_) | np.isin(addresses, sorted(names))
        for end in ("first", "last"):
            found |= ours[owners.owners(addresses, ports, table.column(end).to_numpy().astype(np.int64)).service]
        return sorted({address for address, known in zip(addresses, found.tolist(), strict=True) if known})


def by_port(hops: Hops, records: Records, names: Collection[str], start_s: int) -> Hops:
    """Split hops to intermediaries by the called port. Traffic without a record keeps port 0."""
    if not len(records):
        return hops
    places = {(route.source, route.target, route.protocol): at for at, route in enumerate(hops.routes)}
    node = {name: code for code, name in enumerate(records.names)}
    into = np.isin(records.target, [node[name] for name in names if name in node])
    rows = np.flatnonzero(into)
    keys = np.stack([records.rows["caller"][rows], records.target[rows], records.protocol[rows], records.port[rows]])
    distinct, which = np.unique(keys, axis=1, return_inverse=True)
    routes, measures = list(hops.routes), hops.measures.copy()
    bucket = (records.rows["bucket"][rows] - start_s) // BUCKET_S
    found_routes, found = [], []
    for number, (source, target, protocol, port) in enumerate(distinct.T.tolist()):
        route = Route(records.names[source], records.names[target], records.protocols[protocol], (), port)
        at = places.get((route.source, route.target, route.protocol))
        if at is None or not port:
            continue
        own = np.flatnonzero(which.reshape(-1) == number)
        part = np.zeros(hops.measures.shape[1:], np.int64)
        for measure, name in enumerate(MEASURES):
            np.add.at(part[measure], bucket[own], records.rows[name][rows[own]])
        part = np.clip(part, 0, measures[at])
        measures[at] -= part
        found_routes.append(route)
        found.append(part)
    if not found:
        return hops
    return observed_hops([*routes, *found_routes], np.concatenate([measures, np.stack(found)]))


def finer_series(records: Records, name: str) -> Finer | None:
    """Return the series of one intermediary in short steps; None if its records are too few."""
    if not len(records) or name not in records.names:
        return None
    code, source = records.names.index(name), records.rows["caller"].astype(np.int64)
    stream = records.rows["transport"] == TCP
    ins, outs = np.flatnonzero(stream & (records.target == code)), np.flatnonzero(stream & (source == code))
    callers, caller = np.unique(source[ins] * 65536 + records.port[ins], return_inverse=True)
    targets, target = np.unique(records.target[outs], return_inverse=True)
    if not len(callers) or not len(targets):
        return None
    found = match(records.rows[ins], caller, records.rows[outs], target)
    matched = np.zeros((len(callers), len(targets)))
    np.add.at(matched, (found.unit_in, found.unit_out), found.volume)
    carried = _bytes(records.rows[ins], caller, len(callers))
    own = _bytes(records.rows[ins][found.rows_in], caller[found.rows_in], len(callers))
    sides = [
        (records.rows[rows][~left_out], unit[~left_out], count)
        for rows, unit, count, left_out in (
            (ins, caller, len(callers), found.rows_in),
            (outs, target, len(targets), found.rows_out),
        )
    ]
    series = [steps for step_ms in _STEPS_MS if (steps := _in_steps(sides[0], sides[1], step_ms)) is not None]
    names = [(records.names[key // 65536], int(key % 65536)) for key in callers.tolist()]
    served = [records.names[at] for at in targets.tolist()]
    return Finer(names, served, series, matched, own / np.maximum(carried, 1))


def _bytes(rows: np.ndarray, series: np.ndarray, size: int) -> np.ndarray:
    return np.bincount(series, (rows["bytes_sent"] + rows["bytes_received"]).astype(float), size)


Side = tuple[np.ndarray, np.ndarray, int]  # FLOW[R], the series of each, how many series


def _in_steps(inbound: Side, outbound: Side, step_ms: int) -> Series | None:
    """Return the series in steps of one length; None when few are whole, or there would be too many steps."""
    if not len(inbound[0]) or not len(outbound[0]):
        return None
    begin = min(int(side[0]["first"].min()) for side in (inbound, outbound)) // step_ms
    count = max(int(side[0]["first"].max()) for side in (inbound, outbound)) // step_ms - begin + 1
    if count > _MOST_STEPS:
        return None
    (into, callers), (out, targets) = (_short(side, begin, count, step_ms) for side in (inbound, outbound))
    return Series(into, out, callers, targets) if callers.any() and targets.any() else None


def _short(side: Side, begin: int, count: int, step_ms: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the volumes of short records, float64[3, N, S], and whose series are complete with them, bool[N].

    A long record lies in no step; who has many of them would seem silent where it was not.
    """
    rows, series, size = side
    short = rows["last"] - rows["first"] <= step_ms
    weight = (rows["bytes_sent"] + rows["bytes_received"]).astype(float)
    short_volume = np.bincount(series[short], weight[short], size)
    complete = short_volume >= _WHOLE * np.maximum(np.bincount(series, weight, size), 1)
    found = np.zeros((3, size, count))
    place = rows["first"][short] // step_ms - begin
    for measure, name in enumerate(("connections", "bytes_sent", "bytes_received")):
        np.add.at(found[measure], (series[short], place), rows[name][short])
    return found, complete
