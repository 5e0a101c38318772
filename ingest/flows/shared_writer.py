"""Several writers of flows on one store: the two ends of a connection may reach different servers, and count once.

All batches of all writers have one order, see batch_order.py. Every writer follows it: it takes in the rows and the
claims of the others, batch by batch. So its memory holds what comes before its own next batch. The writer of a batch
writes the difference that this batch makes to the observations. Over all batches, these differences add up to the edges
of all flows. A batch is durable in three inserts: its rows, its position, and its difference under a token of the
batch. After a crash before the second insert, the rows never count, and the request was not answered. A crash between
the second and the third insert is mended by the next start of any writer, or by another that runs: all that comes
before a position is in the store, so the difference can be computed again, and its token makes it count once.

Invariant: that of `FlowWriter`, for the batches that have a position. All writers have the same configuration and use
one replica of the store. A difference is mended at most ten thousand inserts after its own.
"""

from __future__ import annotations

import random
import time
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from chronotope.ingest.flows.batch_order import BASE, CLAIMS, COUNTED, FLOWS, KEPT, LONGEST_WRITE_S, BatchOrder, Entry
from chronotope.ingest.flows.buckets import flow_table
from chronotope.ingest.flows.memory import RecentFlows
from chronotope.ingest.flows.table import (
    ALL_BATCHES,
    known_requests,
    last_batch,
    read_addresses,
    read_batch,
    read_buckets,
    read_units,
    requests_of,
    stored_buckets,
)
from chronotope.ingest.flows.writer import FlowWriter, Outcome, Sent, rows_in
from chronotope.ingest.identity.known import KnownIdentities, last_claims_batch, read_claims
from chronotope.ingest.identity.owners import Ownership

_MOST_FOLLOWED = 1_000  # who is further behind reads the store anew
_MOST_UNWRITTEN = 5_000  # older positions are not mended: the store may have forgotten their tokens


class _Own(NamedTuple):
    """A batch on its way to its position: its rows, the digests of its requests, and its outcome."""

    batch: int
    rows: np.ndarray
    requests: Collection[int]
    outcome: Outcome


class SharedFlowWriter(FlowWriter):
    """A writer beside others. The base class gets the owners of the order; `all_claims` gets all that others claim."""

    follow_every_s = 1.0

    def __init__(
        self, *plain: Any, writer: str, configured: Sequence[Ownership], all_claims: KnownIdentities, **more: Any
    ) -> None:
        super().__init__(*plain, **more)
        self._configured = configured
        self._all_claims = all_claims
        self._order = BatchOrder(self._store, writer, self._insert)
        self._position = 0  # of the last batch that was taken in
        self._own: _Own | None = None
        self._torn = False  # something failed half-way: memory is not to be trusted
        self._digits = random.randrange(1000)  # of this writer's batch numbers, which no other writer may use
        self._looked_at, self._looked, self._written = time.monotonic(), 0, 0

    def recover(self, configured: KnownIdentities) -> None:
        """Read what the store knows, and finish the batches of writers that died. Call once, first."""
        if not self._order.last():
            self._order.ask(1, BASE, max(last_batch(self._store), last_claims_batch(self._store)))
        self._begin()

    def accept(self, sent: Sequence[Sent]) -> Outcome:
        """As `FlowWriter.accept`. Requests that another server took before are known."""
        self.follow()
        while True:
            fresh = self._unknown(sent)
            outcome = Outcome(rows_in(fresh), rows_in(sent) - rows_in(fresh))
            if not outcome.rows:
                return outcome
            now = self._begin_batch()
            rows = np.concatenate([each.flows.rows for each in fresh])
            parts = [(each.flows, each.request) for each in fresh]
            table = flow_table(rows, parts, self._vocabulary, self._batch, int(now))
            self._insert("flows", table, f"flows-{self._batch}")
            self._own = _Own(self._batch, rows, [each.request for each in fresh], outcome)
            if self._count(FLOWS):
                return outcome

    def claim(self, table: pa.Table, token: str) -> Outcome:
        """As `FlowWriter.claim`. A repeated request says nothing new: `token` is not needed."""
        self.follow()
        self._begin_batch()
        claims = table.append_column("batch", pa.array(np.full(table.num_rows, self._batch, np.uint64)))
        self._insert("identities", claims, f"claims-{self._batch}")
        self._own = _Own(self._batch, np.empty(0), (), Outcome())
        outcome = self._own.outcome
        self._count(CLAIMS)
        return outcome

    def follow(self) -> None:
        """Take in the batches that were added to the order since the last call."""
        self._take_in([] if self._torn else self._order.after(self._position))

    def _take_in(self, entries: Sequence[Entry]) -> None:
        """Take in what comes next in the order; of one's own batch, also write what it changes."""
        if self._torn or len(entries) > _MOST_FOLLOWED:
            self._begin()
            return
        self._torn = True
        for entry in entries:
            own = self._own if self._own and self._own.batch == entry.batch else None
            if entry.kind == FLOWS:
                self._take_flows(entry, own)
            elif entry.kind == CLAIMS:
                self._take_claims(entry, own)
            if own:
                self._order.note_written(entry)
                self._own = None
                if entry.position % KEPT == 0:
                    self._order.forget(entry.position)
            self._position = entry.position
        self._torn = False

    def follow_others(self) -> None:
        """Follow, and write the differences of writers that died. Call it every `follow_every_s`."""
        self.follow()
        if time.monotonic() - self._looked_at < LONGEST_WRITE_S:
            return
        for entry in self._order.unwritten(self._written, LONGEST_WRITE_S):
            self._mend(entry)
        # All up to the last look is as old as that now.
        self._looked_at, self._looked, self._written = time.monotonic(), self._position, self._looked

    def _begin(self) -> None:
        """Begin at the end of the order with what the store knows; flows are read back when they are needed."""
        self._torn = True
        self._load()
        for entry in self._order.unwritten(max(self._position - _MOST_UNWRITTEN, 0), 0):
            self._mend(entry)
        self._looked = self._written = self._position
        self._torn = False

    def _load(self) -> None:
        self._position = self._order.last()
        claims = self._claims_at(self._position)
        self._owners = KnownIdentities([*self._configured, *claims])
        self._all_claims.add(claims)
        self._batch = max(self._batch, last_batch(self._store), last_claims_batch(self._store))
        self._addresses.note(*read_addresses(self._store, self._vocabulary))
        self._requests.clear()
        self._remember(known_requests(self._store, self._position))
        self._memory = RecentFlows(self._capacity, self._read, stored_buckets(self._store))

    def _begin_batch(self) -> float:
        now = self._clock()
        self._batch = max(self._batch // 1000 + 1, int(now * 1e6)) * 1000 + self._digits
        return now

    def _count(self, kind: int) -> bool:
        """Take the next position for one's own batch, and count it; not if one of its requests has counted since."""
        assert self._own is not None
        own = self._own
        while True:
            entries = self._order.ask(self._position + 1, kind, own.batch)
            self._take_in(entries)
            if entries[0].batch == own.batch:
                return True
            if any(request in self._requests for request in own.requests):
                self._store.command("DELETE FROM flows WHERE batch = {batch:UInt64}", {"batch": own.batch})
                return False

    def _take_flows(self, entry: Entry, own: _Own | None) -> None:
        rows = own.rows if own else read_batch(self._store, self._vocabulary, entry.batch)
        requests = own.requests if own else requests_of(self._store, entry.batch)
        if not len(rows):  # they have expired
            return
        changed = self._settle(rows, self._around(rows))
        if own:
            self._write_difference([rows, changed.after], changed.before, own.outcome, f"{entry.batch}")
        self._keep(rows, changed)
        self._remember(requests)

    def _take_claims(self, entry: Entry, own: _Own | None) -> None:
        claims = read_claims(self._store, batches=(entry.batch, entry.batch + 1))
        self._all_claims.add(claims)
        changes = self._owners.add(claims)
        affected, buckets, clients = self._concerned(changes)
        if not len(buckets):
            return
        if own:
            self._write_change(self._owners, changes, buckets, clients, own.outcome, entry.batch)
        self._refresh(affected, clients, self._owners.snapshot())

    def _mend(self, entry: Entry) -> None:
        """Write a batch's difference again; it counts once, whether or not it had been written."""
        position, self._position = self._position, entry.position - 1  # the store is asked as it was then
        try:
            owners = KnownIdentities([*self._configured, *self._claims_at(self._position)])
            if entry.kind == FLOWS and len(read_batch(self._store, self._vocabulary, entry.batch)):
                self._finish(entry.batch, owners)
            else:
                changes = owners.add(read_claims(self._store, batches=(entry.batch, entry.batch + 1)))
                _, buckets, clients = self._concerned(changes)
                if len(buckets):
                    self._write_change(owners, changes, buckets, clients, Outcome(), entry.batch)
        finally:
            self._position = position
        self._order.note_written(entry)

    def _claims_at(self, position: int) -> list[Ownership]:
        return read_claims(self._store, only=COUNTED, parameters={"position": position})

    def _stored(
        self, buckets: list[int], clients: list[str] | None = None, *, before_batch: int = ALL_BATCHES
    ) -> np.ndarray:
        return read_buckets(self._store, self._vocabulary, buckets, clients=clients, position=self._position)

    def _units(self, affected: Sequence[tuple[int, int, int]]) -> tuple[np.ndarray, np.ndarray]:
        return read_units(self._store, self._vocabulary, affected, self._position)
