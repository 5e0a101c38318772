"""Take flows in and store edge observations: in any order, over any number of batches, each connection once.

A batch is durable in two inserts, each safe to repeat. The first holds its rows (table `flows`) or its claims (table
`identities`). The second holds the difference that they make to the observations, under a token of the batch. A crash
between the two is mended at the next start: the last batch is in the store, so its difference can be computed again,
and its token makes it count once.

Invariant: the observations of the layer `network` that are made here add up to `EdgeSums` of all flows in the store,
attributed by all claims in the store.
"""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from chronotope.ingest.flows.address_book import AddressBook
from chronotope.ingest.flows.attribution import Attribution
from chronotope.ingest.flows.buckets import FlowRows, flow_table
from chronotope.ingest.flows.deduplication import REACH, Changed, settle, settle_beside
from chronotope.ingest.flows.directions import Directions
from chronotope.ingest.flows.edges import EdgeSums, Rules
from chronotope.ingest.flows.memory import RecentFlows
from chronotope.ingest.flows.rows import UNSETTLED, FlowVocabulary
from chronotope.ingest.flows.table import (
    ALL_BATCHES,
    known_requests,
    last_batch,
    read_addresses,
    read_batch,
    read_buckets,
    read_units,
    stored_buckets,
)
from chronotope.ingest.identity.known import Changes, KnownIdentities, last_claims_batch, read_claims
from chronotope.ingest.identity.owners import Identities
from chronotope.ingest.records.identities import claims_of
from chronotope.schema.observations import BUCKET_S
from chronotope.schema.storage.store import Store

CAPACITY = 3_000_000
_MOST_REQUESTS = 100_000
_BUCKETS_A_PART = 300  # of what new owners change: so much is in memory at once


@dataclass(slots=True)
class Outcome:
    """The outcome of one batch: new rows and duplicates, observations written, and why rows made none."""

    rows: int = 0
    duplicates: int = 0
    observations: int = 0
    left_out: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Sent:
    """The rows of one request, and its digest (0: it had no key)."""

    flows: FlowRows
    request: int = 0


class FlowWriter:
    """One writer of flows to a store. Not thread-safe: the queue gives it batches one at a time."""

    follow_every_s: float | None = None  # how often `follow_others` is to be called; None: never

    def __init__(
        self,
        store: Store,
        vocabulary: FlowVocabulary,
        owners: KnownIdentities,
        rules: Rules,
        attribute: Attribution,
        *,
        capacity: int = CAPACITY,
        clock: Callable[[], float] = time.time,
        insert: Callable[[str, pa.Table, str], None] | None = None,
    ) -> None:
        self._store = store
        self._insert = insert or store.insert
        self._vocabulary = vocabulary
        self._owners = owners
        self._rules = rules
        self._attribute = attribute
        self._capacity = capacity
        self._clock = clock
        self._batch = 0
        self._storing = ThreadPoolExecutor(1, "flow-store")  # rows are stored while their edges are computed
        self._requests: OrderedDict[int, None] = OrderedDict()
        self._memory = RecentFlows(capacity, self._read, set())
        self._addresses = AddressBook(vocabulary)
        self._directions = Directions(vocabulary)

    @property
    def remembered(self) -> int:
        """Rows in memory."""
        return len(self._memory)

    def recover(self, configured: KnownIdentities) -> None:
        """Read what the store knows, and finish the last batch of a writer that died. Call once, first.

        Args:
            configured: owners without those that the store knows; they become known here.
        """
        flows, claims = last_batch(self._store), last_claims_batch(self._store)
        self._batch = max(flows, claims)
        self._addresses.note(*read_addresses(self._store, self._vocabulary))
        self._requests.update(dict.fromkeys(known_requests(self._store)))
        self._memory = RecentFlows(self._capacity, self._read, stored_buckets(self._store))
        if flows > claims:
            self._finish(flows, self._owners)
        elif claims:
            configured.add(read_claims(self._store, batches=(0, claims)))
            self._reattribute(
                configured, configured.add(read_claims(self._store, batches=(claims, claims + 1))), Outcome()
            )

    def accept(self, sent: Sequence[Sent]) -> Outcome:
        """Count the flows of some requests. When it returns, their edges are durable and visible."""
        fresh = self._unknown(sent)
        outcome = Outcome(rows_in(fresh), rows_in(sent) - rows_in(fresh))
        if not outcome.rows:
            return outcome
        now = self._begin_batch()
        rows = np.concatenate([each.flows.rows for each in fresh])
        known = self._around(rows)  # before the store has the new ones, for it may be asked
        parts = [(each.flows, each.request) for each in fresh]
        table = flow_table(rows, parts, self._vocabulary, self._batch, int(now))
        storing = self._storing.submit(self._insert, "flows", table, f"flows-{self._batch}")
        try:
            changed = self._settle(rows, known)
        finally:
            storing.result()
        self._write_difference([rows, changed.after], changed.before, outcome, f"{self._batch}")
        self._keep(rows, changed)
        self._remember(each.request for each in fresh)
        return outcome

    def claim(self, table: pa.Table, token: str) -> Outcome:
        """Take ownership ranges, columns of the table `identities`, and attribute again the flows that they affect."""
        self._begin_batch()
        outcome = Outcome()
        claims = table.append_column("batch", pa.array(np.full(table.num_rows, self._batch, np.uint64)))
        self._insert("identities", claims, token)
        self._reattribute(self._owners, self._owners.add(claims_of(table)), outcome)
        return outcome

    def follow_others(self) -> None:
        """Take in what other writers did. Without other writers, do nothing."""

    def _begin_batch(self) -> float:
        now = self._clock()
        self._batch = max(self._batch + 1, int(now * 1e9))
        return now

    def _unknown(self, sent: Sequence[Sent]) -> list[Sent]:
        """Return the requests that were not counted before, each once."""
        seen: set[int] = set()
        fresh = []
        for each in sent:
            if each.request and (each.request in self._requests or each.request in seen):
                continue
            seen.add(each.request)
            fresh.append(each)
        return fresh

    def _remember(self, requests: Iterable[int]) -> None:
        self._requests.update(dict.fromkeys(request for request in requests if request))
        while len(self._requests) > _MOST_REQUESTS:
            self._requests.popitem(last=False)

    def _around(self, rows: np.ndarray) -> list[np.ndarray]:
        """Return the known rows of all buckets that decide about some rows, or about rows that these change."""
        return self._memory.find(_widened(_widened(np.unique(rows["bucket"]))))

    def _settle(self, rows: np.ndarray, known: list[np.ndarray]) -> Changed:
        """Attribute and settle new rows in place. Return what they change of known rows."""
        emitted, clients = self._scope(rows)
        self._attribute(rows, self._owners.snapshot(int(rows["start"].max()) + 1))
        return settle_beside(rows, known, clients, emitted)

    def _keep(self, rows: np.ndarray, changed: Changed) -> None:
        """Remember new rows, and what they changed."""
        changed.put_back()
        self._memory.add(rows)
        for end in ("client", "server"):
            self._addresses.note(rows[end], rows["start"], rows["start"])

    def _scope(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the buckets whose edges may change by some rows, and the client addresses concerned."""
        clients = np.zeros(len(self._vocabulary.addresses), np.bool_)
        clients[rows["client"]] = True
        return _widened(np.unique(rows["bucket"])), clients

    def _write_difference(self, after: Sequence[np.ndarray], before: np.ndarray, outcome: Outcome, name: str) -> None:
        """Write the difference from some settled rows to others. `name` is the batch, and its part if it has any."""
        sums = EdgeSums(self._rules)
        for rows in after:
            outcome.left_out.update(sums.add(rows))
        outcome.left_out.subtract(sums.add(before, -1))
        self._directions.write(sums.directions(), self._insert)  # first: no edge is shown surer than it is
        table = sums.observations(self._vocabulary)
        self._insert("observations", table, f"flow-edges-{name}")
        outcome.observations += table.num_rows

    def _read(self, buckets: list[int]) -> np.ndarray:
        rows = self._stored(buckets)
        self._attribute(rows, self._owners.snapshot())
        rows["callee"] = UNSETTLED
        return rows

    def _stored(
        self, buckets: list[int], clients: list[str] | None = None, *, before_batch: int = ALL_BATCHES
    ) -> np.ndarray:
        """Return the rows of some buckets that count, see `read_buckets`."""
        return read_buckets(self._store, self._vocabulary, buckets, clients=clients, before_batch=before_batch)

    def _units(self, affected: Sequence[tuple[int, int, int]]) -> tuple[np.ndarray, np.ndarray]:
        """Return the buckets and client addresses of flows that count, see `read_units`."""
        return read_units(self._store, self._vocabulary, affected)

    def _reattribute(self, owners: KnownIdentities, changes: Changes, outcome: Outcome) -> None:
        """Write how changes of owners affect flows in the store."""
        affected, buckets, clients = self._concerned(changes)
        if len(buckets):
            self._write_change(owners, changes, buckets, clients, outcome, self._batch)
            self._refresh(affected, clients, owners.snapshot())

    def _concerned(self, changes: Changes) -> tuple[list[int], np.ndarray, np.ndarray]:
        """Return the addresses that changes affect, and the buckets and client addresses of their flows."""
        affected = self._addresses.affected(changes.made)
        if not affected:
            return [], np.empty(0, np.int64), np.empty(0, np.int64)
        return [code for code, _, _ in affected], *self._units(affected)

    def _write_change(
        self,
        owners: KnownIdentities,
        changes: Changes,
        buckets: np.ndarray,
        clients: np.ndarray,
        outcome: Outcome,
        batch: int,
    ) -> None:
        """Write how changes of owners affect the flows of some buckets and client addresses."""
        addresses = [self._vocabulary.addresses[code] for code in clients.tolist()]
        old, new = owners.snapshot_before(changes), owners.snapshot()
        for number, part in enumerate(_parts(_widened(buckets))):
            after = self._stored(_widened(part).tolist(), addresses)
            before = after.copy()
            for rows, then in ((before, old), (after, new)):
                self._attribute(rows, then)
                settle(rows)
            emit = np.isin(after["bucket"], part)
            self._write_difference([after[emit]], before[emit], outcome, f"{batch}-{number}")

    def _refresh(self, addresses: Sequence[int], clients: np.ndarray, owners: Identities) -> None:
        """Attribute the rows in memory again. Rows of the same clients must be settled again too."""
        concerned, beside = np.zeros((2, len(self._vocabulary.addresses)), np.bool_)
        concerned[addresses] = True
        beside[clients] = True
        for piece in self._memory.held():
            piece["callee"][beside[piece["client"]]] = UNSETTLED
            places = np.flatnonzero(concerned[piece["client"]] | concerned[piece["server"]])
            if len(places):
                rows = piece[places]
                self._attribute(rows, owners)
                piece[places] = rows

    def _finish(self, batch: int, owners: KnownIdentities) -> None:
        """Write a batch's difference again; it counts once, whether or not it had been written."""
        rows = read_batch(self._store, self._vocabulary, batch)
        emitted, clients = self._scope(rows)
        known = self._stored(_widened(emitted).tolist(), before_batch=batch)
        for some in (rows, known):
            self._attribute(some, owners.snapshot())
        known["callee"] = UNSETTLED
        changed = settle_beside(rows, [known], clients, emitted)
        self._write_difference([rows, changed.after], changed.before, Outcome(), f"{batch}")


def rows_in(sent: Sequence[Sent]) -> int:
    """Return how many rows some requests brought."""
    return sum(len(each.flows.rows) for each in sent)


def _widened(buckets: np.ndarray) -> np.ndarray:
    """Return buckets and their neighbours within `REACH`, rising."""
    return np.unique(buckets[:, None] + BUCKET_S * np.arange(-REACH, REACH + 1))


def _parts(buckets: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(buckets), _BUCKETS_A_PART):
        yield buckets[start : start + _BUCKETS_A_PART]
