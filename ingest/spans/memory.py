"""Recent spans in memory: sorted runs by trace id. Most batches then need no look at the store.

Invariant: `find` returns every remembered span of the asked traces. A trace with forgotten spans is in `forgotten`.
"""

from __future__ import annotations

import numpy as np

from chronotope.ingest.spans.bloom import Bloom
from chronotope.ingest.spans.columns import RELEASED, SPAN
from chronotope.ingest.spans.table import sides

_MAX_RUNS = 16


class SpanMemory:
    """At most `capacity` spans (72 bytes each, and as much again while runs are merged)."""

    def __init__(self, capacity: int = 2_000_000) -> None:
        self._capacity = capacity
        self._runs: list[np.ndarray] = []
        self._keys: list[np.ndarray] = []
        self.forgotten = Bloom()

    def __len__(self) -> int:
        return sum(len(run) for run in self._runs)

    def add(self, rows: np.ndarray) -> None:
        """Remember SPAN[N]; the oldest run is forgotten when there is no room."""
        if not len(rows):
            return
        self._push(rows)
        while len(self._runs) > 1 and self._mergeable():
            last, before = self._pop(), self._pop()
            self._push(np.concatenate([before, last]))
        while len(self._runs) > 1 and len(self) > self._capacity:
            self.forgotten.add(self._keys[0])
            del self._runs[0], self._keys[0]

    def find(self, traces: np.ndarray) -> np.ndarray:
        """Return the remembered rows of traces, named by `trace_lo`, sorted unique uint64[T]."""
        found = [run[_ranges(key, traces)] for run, key in zip(self._runs, self._keys, strict=True)]
        return np.concatenate(found) if found else np.empty(0, SPAN)

    def release(self, rows: np.ndarray) -> None:
        """Set RELEASED on the remembered spans that are these."""
        wanted = {tuple(row) for row in _identity(rows).tolist()}
        for run, key in zip(self._runs, self._keys, strict=True):
            at = _ranges(key, np.unique(rows["trace_lo"]))
            hit = [tuple(row) in wanted for row in _identity(run[at]).tolist()]
            run["flags"][at[hit]] |= RELEASED

    def _mergeable(self) -> bool:
        last, before = len(self._runs[-1]), len(self._runs[-2])
        small = last + before <= self._capacity // 8
        return small and (2 * last >= before or len(self._runs) > _MAX_RUNS)

    def _push(self, rows: np.ndarray) -> None:
        order = np.argsort(rows["trace_lo"], kind="stable")
        run = rows[order]
        self._runs.append(run)
        self._keys.append(np.ascontiguousarray(run["trace_lo"]))

    def _pop(self) -> np.ndarray:
        self._keys.pop()
        return self._runs.pop()


def _identity(rows: np.ndarray) -> np.ndarray:
    columns = (rows["trace_hi"], rows["trace_lo"], rows["span"], sides(rows).astype(np.uint64))
    return np.stack(columns, axis=1)


def _ranges(key: np.ndarray, traces: np.ndarray) -> np.ndarray:
    """Positions in a sorted key array that hold any of the sorted values."""
    first = np.searchsorted(key, traces, "left")
    count = np.searchsorted(key, traces, "right") - first
    first, count = first[count > 0], count[count > 0]
    if not len(count):
        return np.empty(0, np.int64)
    starts = np.concatenate([[0], np.cumsum(count)[:-1]])
    at: np.ndarray = np.arange(count.sum()) - np.repeat(starts, count) + np.repeat(first, count)
    return at
