"""Addresses that are nodes of the graph because nobody owns them, with their traffic.

Invariant: each address comes once. Its bytes and connections are those of its edges in layer `network`, both ways.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from chronotope.schema.addresses import parse_ip
from chronotope.schema.storage.store import Store
from chronotope.server.evidence.columns import EdgeColumns

_MOST_SHOWN = 20

_PORTS = """
SELECT toString(server) AS address, groupUniqArray(20)(server_port) AS ports
FROM flows
WHERE server IN {addresses:Array(String)} AND server_port != 0
    AND time >= toDateTime({begin:UInt32}, 'UTC') AND time < toDateTime({end:UInt32}, 'UTC')
GROUP BY address
"""


@dataclass(slots=True)
class UnownedAddress:
    """An address that is a node. Times are Unix milliseconds; `callers` and `callees` are service ids."""

    address: str
    bytes_sent: int
    bytes_received: int
    connections: int
    callers: Sequence[str]
    callees: Sequence[str]
    protocols: Sequence[str]
    first_seen: int
    last_seen: int


def unowned_addresses(columns: EdgeColumns, limit: int) -> tuple[list[UnownedAddress], int]:
    """Return the busiest addresses by bytes and then connections, and how many there are."""
    layer = columns.layers.get("network")
    codes = np.array([at for at, name in enumerate(columns.names) if _is_address(name)], np.int64)
    if layer is None or not len(codes):
        return [], 0
    edges = np.flatnonzero(layer.alive)
    size = len(columns.names)
    ends = columns.source[edges], columns.target[edges]
    totals = {
        name: sum(np.bincount(end, layer.measures[name][edges], size) for end in ends)[codes]  # type: ignore[index]
        for name in ("bytes_sent", "bytes_received", "connections")
    }
    seen = np.isin(codes, np.concatenate(ends))
    order = np.lexsort((-totals["connections"], -(totals["bytes_sent"] + totals["bytes_received"])))
    order = order[seen[order]]
    return [_described(columns, edges, int(codes[at]), {n: int(t[at]) for n, t in totals.items()})
            for at in order[:limit].tolist()], len(order)  # fmt: skip


def _described(columns: EdgeColumns, edges: np.ndarray, code: int, totals: dict[str, int]) -> UnownedAddress:
    inward, outward = edges[columns.target[edges] == code], edges[columns.source[edges] == code]
    both = np.concatenate([inward, outward])
    first = columns.first_seen[both]
    return UnownedAddress(
        columns.names[code],
        **totals,
        callers=_named(columns.names, columns.source[inward]),
        callees=_named(columns.names, columns.target[outward]),
        protocols=_named(columns.protocols, columns.protocol[both]),
        first_seen=int(first[first >= 0].min(initial=2**62)),
        last_seen=int(columns.last_seen[both].max()),
    )


def _named(names: Sequence[str], codes: np.ndarray) -> list[str]:
    return sorted({names[code] for code in codes.tolist()})[:_MOST_SHOWN]


def _is_address(name: str) -> bool:
    return parse_ip(name.partition("%")[0]) is not None


def read_ports(store: Store, addresses: Sequence[str], begin_s: int, end_s: int) -> dict[str, list[int]]:
    """Return the ports at which addresses were called in [begin, end), as far back as flows are kept."""
    asked = {"addresses": list(addresses), "begin": begin_s, "end": end_s}
    table = store.query(_PORTS, asked)
    return {row["address"]: sorted(row["ports"]) for row in table.to_pylist()}
