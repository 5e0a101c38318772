"""From calls to edge observations: sums by edge, ten seconds, view and reporter. Sums are exact and signed.

Invariant: `observations_of(after, before)`, added to what was stored for `before`, gives what `after` alone would give.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numba import njit

from chronotope.ingest.columns.codes import encode
from chronotope.ingest.columns.hashing import SEED, slot_of, table_size
from chronotope.ingest.spans.columns import Vocabulary
from chronotope.schema.latency import BUCKETS, bucket_of
from chronotope.schema.observations import BUCKET_S, INSIDE, observation_table

_BUCKET_NS = BUCKET_S * 10**9


def observations_of(after: np.ndarray, before: np.ndarray, vocabulary: Vocabulary) -> pa.Table:
    """Return the observations that lead from `before` to `after` (both CALL[…]); rows that cancel are left out."""
    calls = np.concatenate([after, before])
    sign = np.ones(len(calls), np.int64)
    sign[len(after) :] = -1
    group, heads = _group(calls, np.uint64(_BUCKET_NS), SEED)
    weight = calls["weight"] * sign
    groups = len(heads)
    timed = calls["latency_ns"] >= 0
    counted = calls["view"] != INSIDE
    latency_us = np.where(timed, calls["latency_ns"] // 1000, 0)
    sums = {
        "calls": _sum(group, weight * counted, groups),
        "errors": _sum(group, weight * (counted & (calls["error"] > 0)), groups),
        "latency_us_sum": _sum(group, weight * latency_us, groups),
        "latency_count": _sum(group, weight * timed, groups),
    }
    offsets, buckets, counts = _histograms(group, calls["latency_ns"], weight, timed & counted, groups)
    keep = np.diff(offsets) > 0
    for column in sums.values():
        keep |= column != 0
    kept = np.flatnonzero(keep)
    histograms = pa.MapArray.from_arrays(pa.array(offsets.astype(np.int32)), pa.array(buckets), pa.array(counts))
    return _table(calls, group, heads, sums, histograms, kept, vocabulary)


def _table(
    calls: np.ndarray,
    group: np.ndarray,
    heads: np.ndarray,
    sums: dict[str, np.ndarray],
    histograms: pa.Array,
    kept: np.ndarray,
    vocabulary: Vocabulary,
) -> pa.Table:
    head = calls[heads[kept]]
    first_ns, last_ns = _extent(calls["time_ns"], group, len(heads))
    nodes = vocabulary.nodes.values
    protocols = vocabulary.protocols.values
    return observation_table(
        {
            "time": head["time_ns"] // _BUCKET_NS * BUCKET_S,
            "first_at": first_ns[kept] // 10**6,
            "last_at": last_ns[kept] // 10**6,
            "layer": "trace",
            "source": encode(head["source"], lambda code: nodes[code].id),
            "target": encode(head["target"], lambda code: nodes[code].id),
            "source_kind": encode(head["source"], lambda code: nodes[code].kind),
            "target_kind": encode(head["target"], lambda code: nodes[code].kind),
            "via": encode(head["via"], lambda code: nodes[code].id),
            "protocol": encode(head["protocol"], lambda code: protocols[code]),
            "view": head["view"],
            "reporter": head["reporter"],
            **{name: column[kept] for name, column in sums.items()},
            "latency": histograms.take(pa.array(kept)),
        }
    )


def _sum(group: np.ndarray, values: np.ndarray, groups: int) -> np.ndarray:
    total = np.zeros(groups, np.int64)
    np.add.at(total, group, values)
    return total


def _extent(time_ns: np.ndarray, group: np.ndarray, groups: int) -> tuple[np.ndarray, np.ndarray]:
    first = np.full(groups, np.iinfo(np.int64).max)
    last = np.full(groups, np.iinfo(np.int64).min)
    np.minimum.at(first, group, time_ns)
    np.maximum.at(last, group, time_ns)
    return first, last


def _histograms(
    group: np.ndarray, latency_ns: np.ndarray, weight: np.ndarray, timed: np.ndarray, groups: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Offsets int64[groups+1], buckets uint8[K] rising within a group, counts int64[K] without zeros."""
    key = group[timed].astype(np.int64) * BUCKETS + bucket_of(latency_ns[timed])
    used, index = np.unique(key, return_inverse=True)
    counts = _sum(index, weight[timed], len(used))
    used, counts = used[counts != 0], counts[counts != 0]
    offsets = np.searchsorted(used, np.arange(groups + 1) * BUCKETS)
    return offsets, (used % BUCKETS).astype(np.uint8), counts


@njit(cache=True, nogil=True)
def _same(a, b, width):  # type: ignore[no-untyped-def]
    ends = a["source"] == b["source"] and a["target"] == b["target"] and a["via"] == b["via"]
    said = a["protocol"] == b["protocol"] and a["view"] == b["view"] and a["reporter"] == b["reporter"]
    return ends and said and a["time_ns"] // np.int64(width) == b["time_ns"] // np.int64(width)


@njit(cache=True, nogil=True)
def _group(calls, width, seed):  # type: ignore[no-untyped-def]
    """Return (group int32[M] of each call, heads int64[G]: one call of each group)."""
    size = table_size(len(calls))
    mask = np.uint64(size - 1)
    table = np.full(size, -1, np.int64)
    group = np.empty(len(calls), np.int32)
    heads = np.empty(len(calls), np.int64)
    groups = 0
    for i in range(len(calls)):
        call = calls[i]
        ends = np.uint64(call["source"]) << np.uint64(32) ^ np.uint64(call["target"])
        said = np.uint64(call["via"] + 1) << np.uint64(32) ^ np.uint64(call["protocol"]) << np.uint64(4)
        said ^= np.uint64(call["view"]) << np.uint64(2) ^ np.uint64(call["reporter"])
        slot = slot_of(ends, np.uint64(call["time_ns"]) // width, said, mask, seed)
        while True:
            found = table[slot]
            if found < 0:
                table[slot] = groups
                heads[groups] = i
                group[i] = groups
                groups += 1
                break
            if _same(calls[heads[found]], call, width):
                group[i] = found
                break
            slot = (slot + 1) & np.int64(mask)
    return group, heads[:groups]
