"""When each edge was first and last seen in each layer, over all history.

A stored lifetime only grows: it still holds what a correction took back. Where a correction reaches an end of the
lifetime, the sums tell what is left. Invariant: an end that was looked up in this way is exact to ten seconds while
these are kept, then to the minute, then to the hour; all others are exact to the millisecond. A layer of an edge of
which nothing is left is not returned. The result does not depend on the order in which evidence and corrections came.

A thousand lookups cost a few milliseconds, and each graph needs the same ones. So the last ones of a store are
remembered until a correction comes, at most for ten minutes, since evidence from in between may come late.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import pyarrow as pa

from chronotope.schema.observations import BUCKET_S, LAYERS
from chronotope.schema.storage.store import Asked, Store
from chronotope.server.evidence.columns import as_int, coded, find_numbers

# The factors, xxHash's first two primes, tell source and target apart.
NUMBER = (
    "cityHash64(source) * 11400714785074694791 + cityHash64(target) * 14029467366897019727 + cityHash64(protocol) "
    "AS edge"
)
# As stored, a row a layer and part: putting them together here takes a third of what grouping in the engine does.
LIFETIMES = f"""
SELECT {NUMBER}, source, target, protocol, layer, id,
       toUnixTimestamp64Milli(first_seen) AS first_seen, toUnixTimestamp64Milli(last_seen) AS last_seen%s
FROM edge_lifetimes
%s
"""
_WITHDRAWALS = f"""
SELECT {NUMBER}, layer, toUnixTimestamp64Milli(min(w.first_at)) AS first_at,
       toUnixTimestamp64Milli(max(w.last_at)) AS last_at, toInt64(sum(w.times)) AS times
FROM edge_withdrawals AS w
GROUP BY edge, layer
"""
_HASH = NUMBER.removesuffix(" AS edge")
_OF_SOME = f"FROM edge_withdrawals WHERE {{all:UInt8}} OR {_HASH} IN {{edges:Array(UInt64)}}"
_LEFT = "HAVING sum(calls) > 0 OR sum(connections) > 0 OR sum(bytes_sent) > 0 OR sum(bytes_received) > 0"
_HOURS = f"""
SELECT edge, layer, toInt64(toUnixTimestamp(min(time))) AS first_s, toInt64(toUnixTimestamp(max(time))) AS last_s
FROM (
    SELECT {NUMBER}, layer, time FROM edge_hours
    WHERE (source, target, protocol) IN (SELECT source, target, protocol {_OF_SOME})
    GROUP BY edge, layer, time {_LEFT}
)
GROUP BY edge, layer
"""
_KEPT = "SELECT toUnixTimestamp(min(time)) FROM edge_hours"
_WITHIN = f"""
SELECT {NUMBER}, layer, toInt64(toUnixTimestamp(time)) AS second FROM edges_%s
WHERE %s(time) IN {{spans:Array(DateTime('UTC'))}} AND {_HASH} IN (SELECT {_HASH} {_OF_SOME})
GROUP BY edge, layer, time {_LEFT}
"""
# Ever finer: the table's level, the span that is known so far, its seconds, and the table's own.
_FINER = (("1m", "toStartOfHour", 3600, 60), ("10s", "toStartOfMinute", 60, BUCKET_S))
_MOST_NAMED = 1000  # edges in a query; of more all are asked
_REMEMBERED_S = 600.0


@dataclass(slots=True)
class _Known:
    """Lookups: of which ends (FixedSizeBinary), and the result of each, int64[K, 2]; a first of -1: nothing is left."""

    due: pa.Array
    ends: np.ndarray
    until: float = field(default_factory=lambda: time.monotonic() + _REMEMBERED_S)


_known: WeakKeyDictionary[Store, _Known] = WeakKeyDictionary()


def lifetimes_queries() -> tuple[Asked, Asked]:
    """Ask for what `lifetimes_of` takes."""
    return (LIFETIMES % ("", ""), {}), (_WITHDRAWALS, {})


def lifetimes_of(store: Store, stored: pa.Table, withdrawals: pa.Table) -> pa.Table:
    """Return the rows of LIFETIMES without what was taken back; rows of which nothing is left are removed.

    Args:
        store: asked for what is left, where that is not remembered.
        stored: of LIFETIMES, all edges or some.
        withdrawals: as `lifetimes_queries` asks for them.
    """
    row = find_numbers(_keys(stored), _keys(withdrawals)) if withdrawals.num_rows else np.empty(0, np.int64)
    rows = np.flatnonzero(row >= 0)
    if not len(rows):
        return stored
    row = row[rows]
    first, last = _extents(stored, rows, row, withdrawals.num_rows)
    reaches = (as_int(withdrawals, "first_at") <= first) | (as_int(withdrawals, "last_at") >= last)
    due = np.flatnonzero(reaches & (last >= 0))
    if not len(due):
        return stored
    ends = np.column_stack([first, last])
    ends[due] = _looked_up(store, withdrawals.take(pa.array(due)), ends[due])
    return _replaced(stored, rows, ends[row])


def read_lifetimes(
    store: Store, where: str = "", parameters: Mapping[str, Any] | None = None, more: str = ""
) -> pa.Table:
    """Return lifetimes of all edges ever seen: `edge`, `source`, `target`, `protocol`, `layer`, `id`, `first_seen`,
    `last_seen` (Unix ms).

    An edge may have several rows: it was first seen at the earliest, and last at the latest of them.

    Args:
        store: open and migrated.
        where: a condition, which rows.
        parameters: of the condition.
        more: another column.
    """
    asked = LIFETIMES % (more and f", {more}", where and f"WHERE {where}"), parameters or {}
    return lifetimes_of(store, *store.query_together(asked, (_WITHDRAWALS, {})))


def forget_lookups(store: Store) -> None:
    """Forget the lookups of a store."""
    _known.pop(store, None)


def _keys(table: pa.Table) -> pa.Array:
    """One number for each edge and layer, uint64[R]."""
    codes, layers = coded(table, "layer")
    spread = np.array([LAYERS.index(layer) + 1 for layer in layers], np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    numbers = np.asarray(table.column("edge").to_numpy(), np.uint64)
    return pa.array(numbers + spread[codes] if len(codes) else numbers)


def _extents(stored: pa.Table, rows: np.ndarray, key: np.ndarray, keys: int) -> tuple[np.ndarray, np.ndarray]:
    """The earliest and the latest of each key's rows, int64[K]; a last of -1: it has none."""
    first, last = np.full(keys, np.iinfo(np.int64).max), np.full(keys, -1, np.int64)
    np.minimum.at(first, key, as_int(stored, "first_seen")[rows])
    np.maximum.at(last, key, as_int(stored, "last_seen")[rows])
    return first, last


def _replaced(stored: pa.Table, rows: np.ndarray, ends: np.ndarray) -> pa.Table:
    for at, name in enumerate(("first_seen", "last_seen")):
        values = as_int(stored, name).copy()
        values[rows] = ends[:, at]
        stored = stored.set_column(stored.column_names.index(name), name, pa.array(values))
    gone = rows[ends[:, 0] < 0]
    if not len(gone):
        return stored
    keep = np.ones(stored.num_rows, np.bool_)
    keep[gone] = False
    return stored.filter(pa.array(keep))


def _looked_up(store: Store, withdrawals: pa.Table, ends: np.ndarray) -> np.ndarray:
    """What is left of K lifetimes, int64[K, 2], remembered or looked up."""
    marks = np.column_stack([_keys(withdrawals).to_numpy().view(np.int64), ends, as_int(withdrawals, "times")])
    due = pa.FixedSizeBinaryArray.from_buffers(pa.binary(32), len(marks), [None, pa.py_buffer(marks.tobytes())])
    known = _known.get(store)
    if known is None or time.monotonic() > known.until:
        known = _Known(due[:0], ends[:0])
    missing = np.flatnonzero(find_numbers(due, known.due) < 0)
    if len(missing):
        asked = _look_up(store, withdrawals.take(pa.array(missing)), ends[missing])
        every = pa.concat_arrays([known.due, due.take(pa.array(missing))])
        known = _known[store] = _Known(every, np.concatenate([known.ends, asked]), known.until)
    found: np.ndarray = known.ends[find_numbers(due, known.due)]
    return found


def _look_up(store: Store, withdrawals: pa.Table, ends: np.ndarray) -> np.ndarray:
    """Look up what is left of K lifetimes: first by hours, then finer in the hours where an end was taken back."""
    edges = np.unique(withdrawals.column("edge").to_numpy()).tolist()
    named = edges if len(edges) <= _MOST_NAMED else []
    asked = {"all": int(not named), "edges": named}
    keys, kept_ms = _keys(withdrawals), 1000 * int(store.rows(_KEPT)[0][0])
    hours = store.query(_HOURS, asked)
    at = find_numbers(_keys(hours), keys)
    first, end = np.full(len(keys), -1, np.int64), np.full(len(keys), -1, np.int64)
    first[at[at >= 0]], end[at[at >= 0]] = as_int(hours, "first_s")[at >= 0], as_int(hours, "last_s")[at >= 0] + 3600
    left = end >= 0
    early = left & (as_int(withdrawals, "first_at") <= ends[:, 0])
    late = left & (as_int(withdrawals, "last_at") >= ends[:, 1])
    for level, span, wide, width in _FINER:
        spans = np.unique(np.concatenate([first[early], end[late] - wide])).tolist()
        rows = store.query(_WITHIN % (level, span), {**asked, "spans": spans})
        key, second = find_numbers(_keys(rows), keys), as_int(rows, "second")
        first = _narrowed(first, early, key, second, wide)
        end = -_narrowed(-end, late, key, -(second + width), wide)
    # An end in its own ten seconds, or minute, is as exact as what was looked up, and may be the very moment.
    found = np.column_stack([np.maximum(first * 1000, ends[:, 0]), np.minimum(end * 1000 - 1, ends[:, 1])])
    older = ends[:, 0] < kept_ms  # whose sums are no longer there
    found[older, 0] = ends[older, 0]
    found[older & ~left] = ends[older & ~left]
    found[~older & ~left] = -1
    return found


def _narrowed(start: np.ndarray, some: np.ndarray, key: np.ndarray, second: np.ndarray, wide: int) -> np.ndarray:
    """Return the first second of evidence within [start, start + wide) for some of K keys; `start` where none is.

    Args:
        start: int64[K].
        some: bool[K].
        key: int64[R], whose evidence each row is; -1: of none.
        second: int64[R].
        wide: seconds.
    """
    rows = np.flatnonzero((key >= 0) & some[key])
    own, at = key[rows], second[rows]
    inside = (at >= start[own]) & (at < start[own] + wide)
    found = np.full(len(start), np.iinfo(np.int64).max)
    np.minimum.at(found, own[inside], at[inside])
    return np.where(found == np.iinfo(np.int64).max, start, found)
