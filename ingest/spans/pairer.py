"""Take spans in and store edge observations: in any order, over any number of batches, each call once.

A batch is durable in two inserts, each safe to repeat. The first holds its new spans (table `spans`). The second holds
the difference that they make to the observations, under a token of the batch. A crash between the two is mended at the
next start: the last batch's spans are in the store, so its difference can be computed again, and its token makes it
count once.

Invariant: the observations in the store always add up to `calls_of` all spans in the store.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from chronotope.ingest.columns.hashing import SEED
from chronotope.ingest.spans.columns import CLIENT, PRODUCER, RELEASED, SpanBatch, Vocabulary
from chronotope.ingest.spans.index import first_seen
from chronotope.ingest.spans.memory import SpanMemory
from chronotope.ingest.spans.observations import observations_of
from chronotope.ingest.spans.pairing import LONE, PAIRED, Calls, Rules, calls_of
from chronotope.ingest.spans.table import last_batches, read_batch, read_newest, read_trace_ids, read_traces, span_table
from chronotope.schema.storage.store import Store


@dataclass(slots=True)
class Outcome:
    """The outcome of one batch: new spans and duplicates, observations written, and why some spans made none."""

    spans: int = 0
    duplicates: int = 0
    observations: int = 0
    skipped: Counter[str] = field(default_factory=Counter)

    def add(self, other: Outcome) -> None:
        """Sum another outcome into this one."""
        self.spans += other.spans
        self.duplicates += other.duplicates
        self.observations += other.observations
        self.skipped.update(other.skipped)


class Pairer:
    """One writer of spans to a store. Not thread-safe: the queue gives it batches one at a time."""

    def __init__(
        self,
        store: Store,
        vocabulary: Vocabulary,
        *,
        answer_wait_s: float = 60.0,
        entry_node: int = -1,
        capacity: int = 2_000_000,
        writer: str = "",
        clock: Callable[[], float] = time.time,
        insert: Callable[[str, pa.Table, str], None] | None = None,
    ) -> None:
        self._store = store
        self._insert = insert or store.insert
        self._vocabulary = vocabulary
        self._rules = Rules(vocabulary, entry_node)
        self._memory = SpanMemory(capacity)
        self._capacity = capacity
        self._writer = writer
        self._wait_s = answer_wait_s
        self._clock = clock
        self._batch = 0
        self._held: deque[tuple[float, np.ndarray]] = deque()
        self._answered = np.empty(0, np.uint64)  # sorted (caller, peer) pairs whose calls have been answered by spans

    @property
    def waiting(self) -> int:
        """Lone halves whose other half is still awaited."""
        return sum(len(rows) for _, rows in tuple(self._held))

    @property
    def remembered(self) -> int:
        """Spans in memory."""
        return len(self._memory)

    def recover(self) -> None:
        """Read what the store knows, and finish the last batch of a writer that died. Call once, first."""
        lasts = last_batches(self._store)
        if not lasts:
            return
        self._batch = max(lasts.values())
        for batch in lasts.values():
            self._finish(batch)
        self._remember()

    def _remember(self) -> None:
        newest = read_newest(self._store, self._vocabulary, self._capacity)
        self._memory.add(newest)
        if int(self._store.rows("SELECT count() FROM spans")[0][0]) > len(newest):
            for traces in read_trace_ids(self._store):
                self._memory.forgotten.add(traces)
        self._hold(newest[newest["flags"] & RELEASED == 0], self._clock())

    def accept(self, batch: SpanBatch) -> Outcome:
        """Count a batch of resolved spans. When it returns, their edges are durable and visible."""
        rows = batch.rows
        known = self._known(np.unique(rows["trace_lo"]))
        fresh = rows[first_seen(known, rows, SEED)]
        outcome = Outcome(len(fresh), len(rows) - len(fresh), skipped=Counter(batch.skipped))
        if not len(fresh):
            return outcome
        self._release_unless_awaited(fresh)
        known = known[np.isin(known["trace_lo"], fresh["trace_lo"])]
        self._insert_spans(fresh, rewrite=False)
        known = self._settled(known, fresh)
        before, after = self._write_difference(known, np.concatenate([known, fresh]), outcome, self._batch)
        outcome.skipped["no_peer"] += after.no_peer - before.no_peer
        self._memory.add(fresh)
        self._learn(fresh, after.roles[len(known) :])
        return outcome

    def release(self, now: float) -> Outcome:
        """Let lone halves that waited long enough make their edge, to the peer that their attributes name."""
        due = [rows for deadline, rows in self._held if deadline <= now]
        outcome = Outcome()
        if not due:
            return outcome
        waiting = np.concatenate(due)
        known = self._known(np.unique(waiting["trace_lo"]))
        awaited = ~first_seen(waiting, known, SEED)
        lone = (calls_of(known, self._rules).roles == LONE) & (known["flags"] & RELEASED == 0)
        released = known.copy()
        released["flags"][awaited & lone] |= RELEASED
        rewritten = released[awaited & lone]
        if len(rewritten):
            self._insert_spans(rewritten, rewrite=True)
            self._write_difference(known, released, outcome, self._batch)
            self._memory.release(rewritten)
        for _ in due:
            self._held.popleft()
        return outcome

    def _known(self, traces: np.ndarray) -> np.ndarray:
        """All spans of these traces that came before, from memory and where needed from the store."""
        forgotten = traces[self._memory.forgotten.may_hold(traces)]
        if not len(forgotten):
            return self._memory.find(traces)
        remembered = self._memory.find(np.setdiff1d(traces, forgotten))
        return np.concatenate([remembered, read_traces(self._store, self._vocabulary, forgotten)])

    def _settled(self, known: np.ndarray, fresh: np.ndarray) -> np.ndarray:
        """Return the spans before a batch, once the batch is in the store. With one writer, nothing has changed."""
        return known

    def _insert_spans(self, rows: np.ndarray, *, rewrite: bool) -> None:
        now = self._clock()
        self._batch = max(self._batch + 1, int(now * 1e9))
        table = span_table(rows, self._vocabulary, self._batch, int(now), writer=self._writer, rewrite=rewrite)
        self._insert("spans", table, f"spans-{self._batch}")

    def _write_difference(
        self, before: np.ndarray, after: np.ndarray, outcome: Outcome, batch: int
    ) -> tuple[Calls, Calls]:
        was, now = calls_of(before, self._rules), calls_of(after, self._rules)
        table = observations_of(now.rows, was.rows, self._vocabulary)
        self._insert("observations", table, f"calls-{batch}")
        outcome.observations += table.num_rows
        return was, now

    def _finish(self, batch: int) -> None:
        """Write a writer's last difference again; it counts once, whether or not it had been written."""
        rows, rewrite = read_batch(self._store, self._vocabulary, batch)
        traces = np.unique(rows["trace_lo"])
        earlier = read_traces(self._store, self._vocabulary, traces, before_batch=batch)
        earlier = earlier[first_seen(rows, earlier, SEED)]
        before = earlier
        if rewrite:
            unreleased = rows.copy()
            unreleased["flags"] &= ~np.uint8(RELEASED)
            before = np.concatenate([earlier, unreleased])
        self._write_difference(before, np.concatenate([earlier, rows]), Outcome(), batch)

    def _release_unless_awaited(self, fresh: np.ndarray) -> None:
        """Wait for an answer only where this caller's calls to this peer are known to be answered by spans.

        Databases and uninstrumented peers never answer: their edges must not wait. A server span is held when it has
        a parent that may still come.
        """
        calling = (fresh["kind"] == CLIENT) | (fresh["kind"] == PRODUCER)
        hold = np.where(calling, np.isin(_ends(fresh), self._answered), fresh["parent"] != 0)
        fresh["flags"][~hold] |= RELEASED

    def _learn(self, fresh: np.ndarray, roles: np.ndarray) -> None:
        answered = fresh[(roles == PAIRED) & (fresh["peer"] >= 0)]
        self._answered = np.union1d(self._answered, _ends(answered))
        self._hold(fresh[(roles == LONE) & (fresh["flags"] & RELEASED == 0)], self._clock())

    def _hold(self, rows: np.ndarray, now: float) -> None:
        if len(rows):
            self._held.append((now + self._wait_s, rows))


def _ends(rows: np.ndarray) -> np.ndarray:
    """uint64[N]: caller and peer in one number."""
    return rows["service"].astype(np.uint64) << np.uint64(32) | rows["peer"].astype(np.uint32)
