"""Flows to edge observations: sums by edge, ten seconds and reporter, exact and signed.

Invariant: `difference(after, before)` added to what was stored for `before` gives what `after` alone would give.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numba import njit

from chronotope.ingest.flows.rows import CLIENT, MEASURES, FlowVocabulary
from chronotope.ingest.flows.services import PortProtocols
from chronotope.ingest.flows.telemetry import Telemetry
from chronotope.ingest.spans.spanindex import SEED, slot_of, table_size
from chronotope.ingest.spans.spantable import encode
from chronotope.schema.observations import REPORTER_SOURCE, REPORTER_TARGET, observation_table

CONTRIBUTION = np.dtype(
    [
        ("bucket", "<i8"),
        ("first", "<i8"),
        ("last", "<i8"),
        *((name, "<i8") for name in MEASURES),
        ("source", "<i4"),
        ("target", "<i4"),
        ("protocol", "<i4"),
        ("reporter", "u1"),
    ]
)


@dataclass(frozen=True, slots=True)
class Rules:
    """What the configuration says of flows."""

    protocols: PortProtocols
    telemetry: Telemetry


def contributions(rows: np.ndarray, rules: Rules) -> tuple[np.ndarray, Counter[str]]:
    """Return what settled rows FLOW[M] add to edges, CONTRIBUTION[C], and how many add nothing, by reason."""
    counts, target, port = rows["counts"] > 0, rows["answered"], rows["answered_port"]
    own = rows["source"] == target
    telemetry = rules.telemetry.rows(rows, target, port)
    kept = np.flatnonzero(counts & ~own & ~telemetry)
    left_out = Counter(
        other_end=int((~counts).sum()),
        same_service=int((counts & own).sum()),
        telemetry=int((counts & ~own & telemetry).sum()),
    )
    given = np.empty(len(kept), CONTRIBUTION)
    _fill(given, rows, kept, rules.protocols(rows["transport"], port))
    return given, left_out


def difference(after: np.ndarray, before: np.ndarray, vocabulary: FlowVocabulary) -> pa.Table:
    """Return the observations that lead from `before` to `after` (CONTRIBUTION[…]); rows that cancel are left out."""
    sums = _summed(after, before, SEED)
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


@njit(cache=True, nogil=True)
def _fill(given, rows, kept, protocol):  # type: ignore[no-untyped-def]
    """Set what rows give, row by row: by columns, each row would come into the cache a dozen times."""
    for place in range(len(kept)):
        row, out = rows[kept[place]], given[place]
        out["bucket"], out["first"], out["last"] = row["bucket"], row["first"], row["last"]
        out["connections"], out["failed_connections"] = row["connections"], row["failed_connections"]
        out["bytes_sent"], out["bytes_received"] = row["bytes_sent"], row["bytes_received"]
        out["retransmits"], out["rtt_us_sum"], out["rtt_count"] = (
            row["retransmits"],
            row["rtt_us_sum"],
            row["rtt_count"],
        )
        out["source"], out["target"], out["protocol"] = row["source"], row["answered"], protocol[kept[place]]
        out["reporter"] = REPORTER_SOURCE if row["observer"] == CLIENT else REPORTER_TARGET


@njit(cache=True, nogil=True)
def _add(total, row, sign):  # type: ignore[no-untyped-def]
    total["first"] = min(total["first"], row["first"])
    total["last"] = max(total["last"], row["last"])
    total["connections"] += sign * row["connections"]
    total["failed_connections"] += sign * row["failed_connections"]
    total["bytes_sent"] += sign * row["bytes_sent"]
    total["bytes_received"] += sign * row["bytes_received"]
    total["retransmits"] += sign * row["retransmits"]
    total["rtt_us_sum"] += sign * row["rtt_us_sum"]
    total["rtt_count"] += sign * row["rtt_count"]


@njit(cache=True, nogil=True)
def _clear(total):  # type: ignore[no-untyped-def]
    total["connections"] = 0
    total["failed_connections"] = 0
    total["bytes_sent"] = 0
    total["bytes_received"] = 0
    total["retransmits"] = 0
    total["rtt_us_sum"] = 0
    total["rtt_count"] = 0


@njit(cache=True, nogil=True)
def _same(a, b):  # type: ignore[no-untyped-def]
    ends = a["source"] == b["source"] and a["target"] == b["target"] and a["protocol"] == b["protocol"]
    return ends and a["bucket"] == b["bucket"] and a["reporter"] == b["reporter"]


@njit(cache=True, nogil=True)
def _summed(after, before, seed):  # type: ignore[no-untyped-def]
    """Sum both, `before` negative, by edge, bucket and reporter, in the order of their first rows."""
    count = len(after) + len(before)
    size = table_size(count)
    mask = np.uint64(size - 1)
    table = np.full(size, -1, np.int64)
    sums = np.empty(count, after.dtype)
    groups = 0
    for i in range(count):
        row = after[i] if i < len(after) else before[i - len(after)]
        sign = 1 if i < len(after) else -1
        ends = np.uint64(row["source"]) << np.uint64(32) ^ np.uint64(row["target"])
        said = np.uint64(row["protocol"]) << np.uint64(2) ^ np.uint64(row["reporter"])
        slot = slot_of(ends, np.uint64(row["bucket"]), said, mask, seed)
        while table[slot] >= 0 and not _same(sums[table[slot]], row):
            slot = (slot + 1) & np.int64(mask)
        if table[slot] < 0:
            table[slot] = groups
            sums[groups] = row
            _clear(sums[groups])
            groups += 1
        _add(sums[table[slot]], row, sign)
    return sums[:groups]
