"""A hash index over spans: from (trace, span id) to rows, and from spans to their parents.

One id may stand for two rows: the near half (client, producer, internal, unspecified) and the far half (server,
consumer) of a call, as in Zipkin's shared spans.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from chronotope.ingest.columns.hashing import slot_of, table_size
from chronotope.ingest.spans.columns import CONSUMER, LINK, SERVER


@njit(cache=True, nogil=True)
def is_far(kind):  # type: ignore[no-untyped-def]
    """Whether a span of this kind is the far half of a call."""
    return kind == SERVER or kind == CONSUMER


@njit(cache=True, nogil=True)
def _probe(rows, near, far, hi, lo, span, seed):  # type: ignore[no-untyped-def]
    """The slot that holds a key, or the free one where it would go."""
    mask = np.uint64(len(near) - 1)
    slot = slot_of(hi, lo, span, mask, seed)
    while True:
        held = near[slot] if near[slot] >= 0 else far[slot]
        if held < 0:
            return slot
        row = rows[held]
        if row["trace_lo"] == lo and row["span"] == span and row["trace_hi"] == hi:
            return slot
        slot = (slot + 1) & np.int64(mask)


@njit(cache=True, nogil=True)
def build_index(rows, seed):  # type: ignore[no-untyped-def]
    """Return (near, far): int32 tables of row numbers by hashed key, -1 where free. Links are nobody's parent."""
    size = table_size(len(rows))
    near = np.full(size, -1, np.int32)
    far = np.full(size, -1, np.int32)
    for i in range(len(rows)):
        row = rows[i]
        if row["flags"] & LINK:
            continue
        slot = _probe(rows, near, far, row["trace_hi"], row["trace_lo"], row["span"], seed)
        if is_far(row["kind"]):
            far[slot] = i
        else:
            near[slot] = i
    return near, far


@njit(cache=True, nogil=True)
def parents_of(rows, near, far, seed):  # type: ignore[no-untyped-def]
    """Return int32[N]: each span's parent row, -1 when it has none here. A far half's parent is its near half."""
    parents = np.full(len(rows), -1, np.int32)
    for i in range(len(rows)):
        row = rows[i]
        if is_far(row["kind"]) and not row["flags"] & LINK:
            slot = _probe(rows, near, far, row["trace_hi"], row["trace_lo"], row["span"], seed)
            if near[slot] >= 0:
                parents[i] = near[slot]
                continue
        if row["parent"] == 0:
            continue
        slot = _probe(rows, near, far, row["trace_hi"], row["trace_lo"], row["parent"], seed)
        above, twin = near[slot], far[slot]
        if twin >= 0 and above >= 0 and rows[above]["service"] == row["service"] != rows[twin]["service"]:
            twin = -1  # a child beside the client half, not below the server half
        found = twin if twin >= 0 else above
        if found != i:
            parents[i] = found
    return parents


@njit(cache=True, nogil=True)
def first_seen(known, rows, seed):  # type: ignore[no-untyped-def]
    """Return bool[N]: whether a row is the first of its (trace, span, half), among `known` and the rows before it."""
    size = table_size(len(known) + len(rows))
    mask = np.uint64(size - 1)
    table = np.full(size, -1, np.int64)
    fresh = np.zeros(len(rows), np.bool_)
    for j in range(len(known) + len(rows)):
        row = known[j] if j < len(known) else rows[j - len(known)]
        half = row["span"] + np.uint64(is_far(row["kind"]))
        slot = slot_of(row["trace_hi"], row["trace_lo"], half, mask, seed)
        while True:
            at = table[slot]
            if at < 0:
                table[slot] = j
                if j >= len(known):
                    fresh[j - len(known)] = True
                break
            held = known[at] if at < len(known) else rows[at - len(known)]
            same = held["trace_lo"] == row["trace_lo"] and held["trace_hi"] == row["trace_hi"]
            if same and held["span"] == row["span"] and is_far(held["kind"]) == is_far(row["kind"]):
                break
            slot = (slot + 1) & np.int64(mask)
    return fresh
