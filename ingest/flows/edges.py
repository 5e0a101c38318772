"""Sum flows to edge observations by edge, ten seconds and reporter. Sums are exact and signed.

Invariant: let `EdgeSums` add some rows and subtract others. Its result, added to what was stored for the subtracted
rows, is the result of the added rows alone. The direction of an edge comes from the end that knows it best, even when
the other end's report counts.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numba import njit

from chronotope.ingest.columns.codes import encode
from chronotope.ingest.columns.hashing import SEED, slot_of
from chronotope.ingest.flows.ports import PortProtocols
from chronotope.ingest.flows.rows import CLIENT, MEASURES, FlowVocabulary
from chronotope.ingest.flows.telemetry import Telemetry
from chronotope.schema.config.config import Config
from chronotope.schema.observations import REPORTER_SOURCE, REPORTER_TARGET, observation_table

EDGE = np.dtype(
    [
        ("bucket", "<i8"),
        ("first", "<i8"),
        ("last", "<i8"),
        *((name, "<i8") for name in MEASURES),
        ("source", "<i4"),
        ("target", "<i4"),
        ("protocol", "<i4"),
        ("reporter", "u1"),
        ("direction", "i1"),  # the best of the added rows, see schema/observations.py; NO_DIRECTION: no rows
    ]
)
NO_DIRECTION = -1
_LATEST = 2**63 - 1
_FIRST_EDGES = 8192


@dataclass(frozen=True, slots=True)
class Rules:
    """The configuration's rules for flows."""

    protocols: PortProtocols
    telemetry: Telemetry


class EdgeSums:
    """Sums of settled flows, in the order of their first rows."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._sums = np.empty(_FIRST_EDGES, EDGE)
        self._count = 0
        self._table = _indexed(self._sums[:0], 2 * _FIRST_EDGES, SEED)

    def add(self, rows: np.ndarray, sign: int = 1) -> Counter[str]:
        """Add rows FLOW[M], or subtract them (`sign` -1). Return how many make no edge, by reason."""
        counts, target, port = rows["counts"] > 0, rows["callee"], rows["callee_port"]
        own = rows["caller"] == target
        telemetry = self._rules.telemetry.rows(rows, target, port)
        kept = np.flatnonzero((counts | (sign > 0)) & ~own & ~telemetry)
        protocol = self._rules.protocols(rows["transport"], port)
        done = 0
        while done < len(kept):
            done, self._count = _sum(rows, kept, done, protocol, sign, self._sums, self._table, self._count, SEED)
            if done < len(kept):
                self._grow()
        return Counter(
            other_end=int((~counts).sum()),
            same_service=int((counts & own).sum()),
            telemetry=int((counts & ~own & telemetry).sum()),
        )

    def observations(self, vocabulary: FlowVocabulary) -> pa.Table:
        """Return the sums as observations. Sums that cancel to zero are left out."""
        sums = self._sums[: self._count]
        kept = sums[np.any([sums[name] != 0 for name in MEASURES], axis=0)]
        nodes, kinds, protocols = vocabulary.nodes.values, vocabulary.kinds, vocabulary.protocols.values
        return observation_table(
            {
                "time": kept["bucket"],
                "first_at": kept["first"],
                "last_at": kept["last"],
                "layer": "network",
                "source": encode(kept["source"], lambda code: nodes[code]),
                "target": encode(kept["target"], lambda code: nodes[code]),
                "source_kind": encode(kept["source"], lambda code: kinds[code]),
                "target_kind": encode(kept["target"], lambda code: kinds[code]),
                "protocol": encode(kept["protocol"], lambda code: protocols[code]),
                "reporter": kept["reporter"],
                **{name: np.ascontiguousarray(kept[name]) for name in MEASURES},
            }
        )

    def directions(self) -> np.ndarray:
        """Return the sums that rows were added to, EDGE[K], with the evidence of directions. Edges may repeat."""
        sums = self._sums[: self._count]
        found: np.ndarray = sums[sums["direction"] != NO_DIRECTION]
        return found

    def _grow(self) -> None:
        self._sums = np.append(self._sums, np.empty(len(self._sums), EDGE))
        self._table = _indexed(self._sums[: self._count], 2 * len(self._sums), SEED)


@njit(cache=True, nogil=True)
def _slot(table, sums, bucket, source, target, protocol, reporter, seed):  # type: ignore[no-untyped-def]
    """Return the slot of an edge's sums, or the free slot where they would go."""
    mask = np.uint64(len(table) - 1)
    ends = np.uint64(source) << np.uint64(32) ^ np.uint64(target)
    said = np.uint64(protocol) << np.uint64(2) ^ np.uint64(reporter)
    slot = slot_of(ends, np.uint64(bucket), said, mask, seed)
    while table[slot] >= 0:
        edge = sums[table[slot]]
        if (
            edge["source"] == source
            and edge["target"] == target
            and edge["bucket"] == bucket
            and edge["protocol"] == protocol
            and edge["reporter"] == reporter
        ):
            break
        slot = (slot + 1) & np.int64(mask)
    return slot


@njit(cache=True, nogil=True)
def _indexed(sums, size, seed):  # type: ignore[no-untyped-def]
    """Return a hash table of this size, a power of two, with the index of each edge's sums; -1 is a free slot."""
    table = np.full(size, -1, np.int32)
    for i in range(len(sums)):
        edge = sums[i]
        slot = _slot(
            table, sums, edge["bucket"], edge["source"], edge["target"], edge["protocol"], edge["reporter"], seed
        )
        table[slot] = i
    return table


@njit(cache=True, nogil=True)
def _add(edge, row, sign):  # type: ignore[no-untyped-def]
    edge["first"] = min(edge["first"], row["first"])
    edge["last"] = max(edge["last"], row["last"])
    edge["connections"] += sign * row["connections"]
    edge["failed_connections"] += sign * row["failed_connections"]
    edge["bytes_sent"] += sign * row["bytes_sent"]
    edge["bytes_received"] += sign * row["bytes_received"]
    edge["retransmits"] += sign * row["retransmits"]
    edge["rtt_us_sum"] += sign * row["rtt_us_sum"]
    edge["rtt_count"] += sign * row["rtt_count"]


@njit(cache=True, nogil=True)
def _begin(edge, row, protocol, reporter):  # type: ignore[no-untyped-def]
    edge["bucket"], edge["first"], edge["last"] = row["bucket"], _LATEST, -_LATEST
    edge["source"], edge["target"], edge["protocol"] = row["caller"], row["callee"], protocol
    edge["reporter"], edge["direction"] = reporter, NO_DIRECTION
    edge["connections"], edge["failed_connections"], edge["retransmits"] = 0, 0, 0
    edge["bytes_sent"], edge["bytes_received"], edge["rtt_us_sum"], edge["rtt_count"] = 0, 0, 0, 0


@njit(cache=True, nogil=True)
def _sum(rows, kept, start, protocols, sign, sums, table, count, seed):  # type: ignore[no-untyped-def]
    """Sum rows from an index on, until all are done or the sums are full. Return the next index and the number of sums.

    A row that does not count stands beside the client's, which does: it only adds how the direction is known.
    """
    for place in range(start, len(kept)):
        row, protocol = rows[kept[place]], protocols[kept[place]]
        counts = row["counts"] > 0
        reporter = REPORTER_TARGET if counts and row["observer"] != CLIENT else REPORTER_SOURCE
        slot = _slot(table, sums, row["bucket"], row["caller"], row["callee"], protocol, reporter, seed)
        if table[slot] < 0:
            if count == len(sums):
                return place, count
            _begin(sums[count], row, protocol, reporter)
            table[slot] = count
            count += 1
        edge = sums[table[slot]]
        if sign > 0:
            edge["direction"] = max(edge["direction"], row["direction"])
        if counts:
            _add(edge, row, sign)
    return len(kept), count


def flow_rules(config: Config, vocabulary: FlowVocabulary) -> Rules:
    """Return the rules of a configuration for flows."""
    said = config.telemetry
    telemetry = Telemetry(said.ports, said.addresses, said.services, vocabulary)
    return Rules(PortProtocols(config.flows.protocols, vocabulary), telemetry)
