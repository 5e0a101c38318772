"""Flows in, edge observations in the store: in any order, over any number of batches, each connection once.

A batch is made durable in two inserts, each safe to repeat: first its rows (table `flows`), then the difference they
make to the observations, under a token of the batch. A crash between the two is mended at the next start: the last
batch's rows are in the store, so its difference can be computed again, and its token lets it count once.

Invariant: the observations of the layer `network` made here always add up to `contributions` of all flows in the store.
"""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from chronotope.ingest.flows.attribution import Attribution
from chronotope.ingest.flows.edges import Rules, contributions, difference
from chronotope.ingest.flows.flowtable import known_requests, last_batch, read_batch, read_buckets, stored_buckets
from chronotope.ingest.flows.landing import Landed, flow_table
from chronotope.ingest.flows.memory import RecentFlows
from chronotope.ingest.flows.rows import FlowVocabulary
from chronotope.ingest.known_identities import KnownIdentities
from chronotope.schema.observations import BUCKET_S
from chronotope.schema.store import Store

CAPACITY = 3_000_000
_MOST_REQUESTS = 100_000
_AROUND_S = 2 * BUCKET_S  # what is beside a row decides about it, and it decides about what is beside it


@dataclass(slots=True)
class Outcome:
    """What one batch did: rows new and seen before, observations written, and why rows made none."""

    rows: int = 0
    duplicates: int = 0
    observations: int = 0
    left_out: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Sent:
    """The rows of one request, and its digest (0: it had no key)."""

    flows: Landed
    request: int = 0


class FlowWriter:
    """One writer of flows to a store. Not thread-safe: the intake gives it batches one at a time."""

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
        self._requests: OrderedDict[int, None] = OrderedDict()
        self._memory = RecentFlows(capacity, self._read, set())

    @property
    def remembered(self) -> int:
        """Rows in memory."""
        return len(self._memory)

    def recover(self) -> None:
        """Read back what the store knows and finish the last batch of a writer that died. Call once, first."""
        self._batch = last_batch(self._store)
        self._memory = RecentFlows(self._capacity, self._read, stored_buckets(self._store))
        self._requests.update(dict.fromkeys(known_requests(self._store)))
        if self._batch:
            self._finish(self._batch)

    def accept(self, sent: Sequence[Sent]) -> Outcome:
        """Count the flows of some requests. When it returns, their edges are durable and visible."""
        fresh = self._unknown(sent)
        outcome = Outcome(
            sum(len(each.flows.rows) for each in fresh),
            sum(len(each.flows.rows) for each in sent) - sum(len(each.flows.rows) for each in fresh),
        )
        if not outcome.rows:
            return outcome
        now = self._clock()
        self._batch = max(self._batch + 1, int(now * 1e9))
        tables = [self._table(each, int(now)) for each in fresh]
        self._insert("flows", pa.concat_tables(tables).unify_dictionaries(), f"flows-{self._batch}")
        rows = np.concatenate([each.flows.rows for each in fresh])
        self._attribute(rows, self._owners.snapshot())
        around, emitted, clients = self._scope(rows)
        known = self._memory.find(around, clients)
        self._write_difference(known, np.concatenate([known, rows]), emitted, outcome)
        self._memory.add(rows)
        self._requests.update(dict.fromkeys(each.request for each in fresh if each.request))
        while len(self._requests) > _MOST_REQUESTS:
            self._requests.popitem(last=False)
        return outcome

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

    def _table(self, sent: Sent, now_s: int) -> pa.Table:
        requests = np.full(len(sent.flows.rows), sent.request, np.uint64)
        return flow_table(sent.flows, self._vocabulary, requests, self._batch, now_s)

    def _scope(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the buckets that must be known, those whose edges may change, and the client addresses concerned."""
        touched = np.unique(rows["bucket"])
        clients = np.zeros(len(self._vocabulary.addresses), np.bool_)
        clients[rows["client"]] = True
        emitted = _widened(touched, BUCKET_S)
        return _widened(touched, _AROUND_S), emitted, clients

    def _write_difference(self, before: np.ndarray, after: np.ndarray, emitted: np.ndarray, outcome: Outcome) -> None:
        was, left_out_before = contributions(before, np.isin(before["bucket"], emitted), self._rules)
        now, left_out = contributions(after, np.isin(after["bucket"], emitted), self._rules)
        table = difference(now, was, self._vocabulary)
        self._insert("observations", table, f"flow-edges-{self._batch}")
        outcome.observations += table.num_rows
        left_out.subtract(left_out_before)
        outcome.left_out.update(left_out)

    def _read(self, buckets: list[int]) -> np.ndarray:
        rows = read_buckets(self._store, self._vocabulary, buckets)
        self._attribute(rows, self._owners.snapshot())
        return rows

    def _finish(self, batch: int) -> None:
        """Write the last batch's difference again; it counts once, whether or not it had been written."""
        rows = read_batch(self._store, self._vocabulary, batch)
        around, emitted, clients = self._scope(rows)
        known = read_buckets(self._store, self._vocabulary, around.tolist(), before_batch=batch)
        known = known[clients[known["client"]]] if len(known) else known
        for some in (rows, known):
            self._attribute(some, self._owners.snapshot())
        self._write_difference(known, np.concatenate([known, rows]), emitted, Outcome())


def _widened(buckets: np.ndarray, around_s: int) -> np.ndarray:
    """Return buckets and those within some seconds of them, rising."""
    steps = np.arange(-around_s, around_s + 1, BUCKET_S)
    return np.unique(buckets[:, None] + steps)
