"""The one order in which batches of flows and of claims count, when several servers write to one store.

A writer takes a position by an insert under the position's own token. The store takes the first such insert, and drops
any other as a repetition. So of two writers that want one position exactly one gets it, without clocks and locks.

Invariant: positions run from 1 without gaps, and the batch at a position never changes. A batch without a position does
not count. All servers use one replica of the store: a replica that lags behind would show another order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from chronotope.schema.errors import StoreError
from chronotope.schema.storage.store import Store

BASE, FLOWS, CLAIMS, WRITTEN = 0, 1, 2, 3  # kinds, see the table `flow_batches`
KEPT = 10_000  # the last positions are always remembered; after each so many, older ones are forgotten
LONGEST_WRITE_S = 60  # seconds; a writer that has not written a position's observations by then has died
# Which batches of `flows` or `identities` count at a position. Batches from before the order existed do.
COUNTED = """(
    batch <= (SELECT max(batch) FROM flow_batches WHERE position = 1 AND kind = 0)
    OR batch IN (SELECT batch FROM flow_batches WHERE kind IN (1, 2) AND position <= {position:UInt64})
)"""
_UNWRITTEN = """
SELECT position, kind, batch, writer FROM flow_batches
WHERE kind IN (1, 2) AND position > {after:UInt64} AND written_at <= now64(3) - toIntervalSecond({age:UInt32})
    AND position NOT IN (SELECT position FROM flow_batches WHERE kind = 3 AND position > {after:UInt64})
ORDER BY position
"""


class Entry(NamedTuple):
    """A batch and its position."""

    position: int
    kind: int
    batch: int
    writer: str


class BatchOrder:
    """One writer's access to the order. `writer` is its unique name."""

    def __init__(self, store: Store, writer: str, insert: Callable[[str, pa.Table, str], None]) -> None:
        self.writer = writer
        self._store = store
        self._insert = insert

    def last(self) -> int:
        """Return the last position, 0 when there is none."""
        rows = self._store.rows("SELECT position FROM flow_batches ORDER BY position DESC LIMIT 1")
        return int(rows[0][0]) if rows else 0

    def after(self, position: int) -> list[Entry]:
        """Return the entries after a position, in order."""
        rows = self._store.rows(
            "SELECT position, kind, batch, writer FROM flow_batches WHERE position > {after:UInt64} AND kind != 3 "
            "ORDER BY position, written_at LIMIT 1 BY position",  # the store forgets tokens after some thousand inserts
            {"after": position},
        )
        return _entries(rows)

    def ask(self, position: int, kind: int, batch: int) -> list[Entry]:
        """Try to take a position for a batch. Return the order from there on: its first entry has the position.

        Raises:
            StoreError: somebody has it, and the store does not show who.
        """
        self._insert("flow_batches", _table(Entry(position, kind, batch, self.writer)), f"position-{position}")
        entries = self.after(position - 1)
        if not entries or entries[0].position != position:
            raise StoreError(
                f"position {position} of flow_batches is taken, but by nobody that this replica shows: "
                "let all servers use one replica of the store"
            )
        return entries

    def unwritten(self, after: int, age_s: int) -> list[Entry]:
        """Return the entries after a position that are this old by the store's clock and not known to be written."""
        rows = self._store.rows(_UNWRITTEN, {"after": after, "age": age_s})
        return _entries(rows)

    def note_written(self, entry: Entry) -> None:
        """Note that a position's observations are written."""
        done = entry._replace(kind=WRITTEN, writer=self.writer)
        self._insert("flow_batches", _table(done), f"written-{entry.position}")

    def forget(self, position: int) -> None:
        """Drop entries that nobody needs after a position: batches whose flows expired, and notes of written ones."""
        oldest = self._store.rows("SELECT min(batch) FROM flows")[0][0]
        self._store.command(
            "DELETE FROM flow_batches WHERE position > 1 AND position <= {before:UInt64} "
            "AND (kind = 3 OR (kind = 1 AND batch < {oldest:UInt64}))",
            {"before": max(position - KEPT, 0), "oldest": oldest},
        )


def _entries(rows: Sequence[Sequence[Any]]) -> list[Entry]:
    return [Entry(int(at), int(kind), int(batch), str(writer)) for at, kind, batch, writer in rows]


def _table(entry: Entry) -> pa.Table:
    return pa.table(
        {
            "position": pa.array([entry.position], pa.uint64()),
            "kind": pa.array([entry.kind], pa.uint8()),
            "batch": pa.array([entry.batch], pa.uint64()),
            "writer": [entry.writer],
        }
    )
