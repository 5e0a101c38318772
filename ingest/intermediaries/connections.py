"""What flow records say beyond hops by the ten seconds: the port that was called, and when within the bucket.

Invariant: only records that count as edges are looked at, as the edges count them; where there are too many, or none,
nothing is said, and hops stand for themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from chronotope.ingest.flows.attribution import Attribution
from chronotope.ingest.flows.edges import Rules
from chronotope.ingest.flows.ends import settle
from chronotope.ingest.flows.landing import STORED, rows_of
from chronotope.ingest.flows.rows import FLOW, FlowVocabulary
from chronotope.ingest.flows.rows import MEASURES as FLOW_MEASURES
from chronotope.ingest.identity import Identities
from chronotope.ingest.intermediaries.legs import MEASURES, Legs, Route, seen_legs
from chronotope.schema.observations import BUCKET_S
from chronotope.schema.store import Store

assert FLOW_MEASURES == MEASURES

MOST_RECORDS = 500_000
_STEPS_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)  # of finer series, the finest first
_MOST_STEPS = 3_000
_WITHIN = 0.9  # of the bytes on both sides must lie within one step of their record
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
    """Volumes around one intermediary in steps shorter than a bucket.

    Attributes:
        callers: (service, port) of each inbound series; targets: service of each outbound one.
        inbound: float64[3, A, S], connections, bytes sent and received.
        outbound: float64[3, B, S].
    """

    callers: list[tuple[str, int]]
    targets: list[str]
    inbound: np.ndarray
    outbound: np.ndarray


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
        asked: dict[str, Any] = {"from": start_s, "to": end_s, "names": sorted(names)}
        owners = self._owners()
        asked["addresses"] = self._addresses(names, asked, owners)
        if not 0 < int(self._store.rows(f"SELECT count() {_AROUND}", asked)[0][0]) <= MOST_RECORDS:
            return Records()
        rows = rows_of(self._store.query(f"SELECT {', '.join(STORED)} {_AROUND}", asked), self._vocabulary)
        self._attribute(rows, owners)
        settled = settle(rows)
        telemetry = self._rules.telemetry.rows(rows, settled.target, settled.port)
        kept = np.flatnonzero(settled.counts & ~telemetry & (rows["source"] != settled.target))
        protocol = self._rules.protocols(rows["transport"][kept], settled.port[kept])
        return Records(
            self._vocabulary.nodes.values,
            self._vocabulary.protocols.values,
            rows[kept],
            settled.target[kept].astype(np.int64),
            protocol.astype(np.int64),
            settled.port[kept].astype(np.int64),
        )

    def _addresses(self, names: Collection[str], asked: dict[str, Any], owners: Identities) -> list[str]:
        """Addresses that the services had at some time of a window."""
        table = self._store.query(_PLACES, asked)
        addresses = table.column("address").to_pylist()
        ports = table.column("port").to_numpy().astype(np.int64)
        ours = np.array(
            [self._aliases.get(service.id, service.id) in names for service in owners.services] + [False], np.bool_
        )
        found = table.column("own").to_numpy().astype(np.bool_) | np.isin(addresses, sorted(names))
        for end in ("first", "last"):
            found |= ours[owners.owners(addresses, ports, table.column(end).to_numpy().astype(np.int64)).service]
        return sorted({address for address, known in zip(addresses, found.tolist(), strict=True) if known})


def by_port(legs: Legs, records: Records, names: Collection[str], start_s: int) -> Legs:
    """Split hops to intermediaries by the port that was called; what no record explains keeps port 0."""
    if not len(records):
        return legs
    places = {(route.source, route.target, route.protocol): at for at, route in enumerate(legs.routes)}
    node = {name: code for code, name in enumerate(records.names)}
    into = np.isin(records.target, [node[name] for name in names if name in node])
    rows = np.flatnonzero(into)
    keys = np.stack([records.rows["source"][rows], records.target[rows], records.protocol[rows], records.port[rows]])
    distinct, which = np.unique(keys, axis=1, return_inverse=True)
    routes, measures = list(legs.routes), legs.measures.copy()
    bucket = (records.rows["bucket"][rows] - start_s) // BUCKET_S
    found_routes, found = [], []
    for number, (source, target, protocol, port) in enumerate(distinct.T.tolist()):
        route = Route(records.names[source], records.names[target], records.protocols[protocol], (), port)
        at = places.get((route.source, route.target, route.protocol))
        if at is None or not port:
            continue
        own = np.flatnonzero(which.reshape(-1) == number)
        part = np.zeros(legs.measures.shape[1:], np.int64)
        for measure, name in enumerate(MEASURES):
            np.add.at(part[measure], bucket[own], records.rows[name][rows[own]])
        part = np.clip(part, 0, measures[at])
        measures[at] -= part
        found_routes.append(route)
        found.append(part)
    if not found:
        return legs
    return seen_legs([*routes, *found_routes], np.concatenate([measures, np.stack(found)]))


def finer_series(records: Records, name: str, start_s: int) -> Finer | None:
    """Return the series of one intermediary in the finest steps that its records allow; None: none finer."""
    if not len(records) or name not in records.names:
        return None
    code = records.names.index(name)
    source = records.rows["source"].astype(np.int64)
    stream = records.rows["transport"] == 0
    sides = [np.flatnonzero(stream & (records.target == code)), np.flatnonzero(stream & (source == code))]
    if not all(map(len, sides)):
        return None
    step_ms = _step_ms(records.rows, sides)
    if step_ms is None:
        return None
    first = records.rows["first"]
    begin = min(int(first[side].min()) for side in sides) // step_ms
    count = max(int(first[side].max()) for side in sides) // step_ms - begin + 1
    if count > _MOST_STEPS:
        return None
    callers, caller = np.unique(source[sides[0]] * 65536 + records.port[sides[0]], return_inverse=True)
    targets, target = np.unique(records.target[sides[1]], return_inverse=True)
    place = [first[side] // step_ms - begin for side in sides]
    return Finer(
        [(records.names[key // 65536], int(key % 65536)) for key in callers.tolist()],
        [records.names[at] for at in targets.tolist()],
        _series(records.rows[sides[0]], caller, place[0], (len(callers), count)),
        _series(records.rows[sides[1]], target, place[1], (len(targets), count)),
    )


def _step_ms(rows: np.ndarray, sides: list[np.ndarray]) -> int | None:
    length = rows["last"] - rows["first"]
    weight = rows["bytes_sent"] + rows["bytes_received"]
    for step_s in _STEPS_S:
        within = length <= step_s * 1000
        if all(weight[side][within[side]].sum() >= _WITHIN * max(weight[side].sum(), 1) for side in sides):
            return int(step_s * 1000)
    return None


def _series(rows: np.ndarray, series: np.ndarray, place: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Bytes of a record longer than a step count where it begins: such are few."""
    found = np.zeros((3, *shape))
    for measure, name in enumerate(("connections", "bytes_sent", "bytes_received")):
        np.add.at(found[measure], (series, place), rows[name])
    return found
