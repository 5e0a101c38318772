"""Recent flows in memory, by bucket. Older ones are read from the store when they are needed.

Invariant: a bucket is held whole or not at all. A bucket that is neither held nor in `_stored` has no flows.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import numpy as np

_MOST_PIECES = 16


class RecentFlows:
    """Attributed rows by bucket."""

    def __init__(self, capacity: int, read: Callable[[list[int]], np.ndarray], stored: set[int]) -> None:
        """Start empty.

        Args:
            capacity: rows above which the buckets touched longest ago are let go.
            read: buckets → their rows in the store, FLOW[M] attributed.
            stored: buckets that have rows in the store.
        """
        self._capacity = capacity
        self._read = read
        self._stored = stored
        self._pieces: OrderedDict[int, list[np.ndarray]] = OrderedDict()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def find(self, buckets: np.ndarray) -> list[np.ndarray]:
        """Return the rows of buckets int64[B], in pieces FLOW[…] of one bucket each. Changes in a piece are kept."""
        wanted = buckets.tolist()
        self._fetch([bucket for bucket in wanted if bucket in self._stored])
        found = []
        for bucket in wanted:
            pieces = self._pieces.get(bucket)
            if pieces is None:
                continue
            self._pieces.move_to_end(bucket)
            if len(pieces) > _MOST_PIECES:
                pieces[:] = [np.concatenate(pieces)]
            found += pieces
        return found

    def add(self, rows: np.ndarray) -> None:
        """Keep new rows. Call `find` for their buckets first, so that these are held whole."""
        buckets = np.ascontiguousarray(rows["bucket"])
        if (buckets[1:] < buckets[:-1]).any():
            order = np.argsort(buckets, kind="stable")
            rows, buckets = rows[order], buckets[order]
        starts = np.flatnonzero(buckets[1:] != buckets[:-1]) + 1
        for piece in np.split(rows, starts) if len(rows) else []:
            self._pieces.setdefault(int(piece["bucket"][0]), []).append(piece)
            self._pieces.move_to_end(int(piece["bucket"][0]))
        self._count += len(rows)
        self._shrink()

    def held(self) -> list[np.ndarray]:
        """Return all pieces, to be changed in place when owners change."""
        return [piece for pieces in self._pieces.values() for piece in pieces]

    def _fetch(self, buckets: list[int]) -> None:
        if not buckets:
            return
        rows = self._read(buckets)
        self._stored.difference_update(buckets)
        self.add(rows)

    def _shrink(self) -> None:
        while self._count > self._capacity and len(self._pieces) > 1:
            bucket, pieces = self._pieces.popitem(last=False)
            self._count -= sum(map(len, pieces))
            self._stored.add(bucket)
