"""Several writers of spans on one store: halves of a call may reach different collectors, and make one call, once.

Batches of all writers have one order, their numbers. The writer of batch b writes `calls_of(spans ≤ b)` minus
`calls_of(spans < b)`. Over all batches, these differences add up to the calls of all spans. When two writers work at
once, a batch with a smaller number may become visible only after b was paired. So each batch is checked once more,
`settle_s` later, and what was missed is corrected.

Invariant: that of `Pairer`, once every insert has become visible within `settle_s` of its start. Clocks of writers may
differ by less than that. A writer that dies before its second check leaves that check undone.
"""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

import numpy as np

from chronotope.ingest.columns.hashing import SEED
from chronotope.ingest.spans.columns import Vocabulary
from chronotope.ingest.spans.index import first_seen
from chronotope.ingest.spans.observations import observations_of
from chronotope.ingest.spans.pairer import Outcome, Pairer
from chronotope.ingest.spans.pairing import calls_of
from chronotope.ingest.spans.table import read_traces
from chronotope.schema.storage.store import Store

SETTLE_S = 5.0


class _Paired(NamedTuple):
    due: float
    batch: int
    before: np.ndarray
    fresh: np.ndarray


class SharedPairer(Pairer):
    """A pairer beside others. What came before is always asked of the store, never of memory alone."""

    def __init__(
        self, store: Store, vocabulary: Vocabulary, *, writer: str, settle_s: float = SETTLE_S, **more: Any
    ) -> None:
        super().__init__(store, vocabulary, writer=writer, **more)
        self._settle_s = settle_s
        self._unsettled: deque[_Paired] = deque()

    def release(self, now: float) -> Outcome:
        """As `Pairer.release`; also look again at the batches that are due."""
        outcome = Outcome()
        while self._unsettled and self._unsettled[0].due <= now:
            outcome.observations += self._look_again(self._unsettled[0])
            self._unsettled.popleft()
        outcome.add(super().release(now))
        return outcome

    def _remember(self) -> None:
        """Others write too: memory would not be complete."""

    def _known(self, traces: np.ndarray) -> np.ndarray:
        return read_traces(self._store, self._vocabulary, traces)

    def _settled(self, known: np.ndarray, fresh: np.ndarray) -> np.ndarray:
        before = self._before(self._batch, fresh)
        self._unsettled.append(_Paired(self._clock() + self._settle_s, self._batch, before, fresh))
        return before

    def _before(self, batch: int, fresh: np.ndarray) -> np.ndarray:
        earlier = read_traces(self._store, self._vocabulary, np.unique(fresh["trace_lo"]), before_batch=batch)
        others: np.ndarray = earlier[first_seen(fresh, earlier, SEED)]
        return others

    def _look_again(self, paired: _Paired) -> int:
        """Write what spans that became visible late change in a batch's difference; return the observations."""
        before = self._before(paired.batch, paired.fresh)
        if len(before) == len(paired.before):
            return 0
        right, wrong = self._difference(before, paired.fresh), self._difference(paired.before, paired.fresh)
        after = np.concatenate([right[1], wrong[0]])
        table = observations_of(after, np.concatenate([right[0], wrong[1]]), self._vocabulary)
        self._insert("observations", table, f"late-{paired.batch}")
        return int(table.num_rows)

    def _difference(self, before: np.ndarray, fresh: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The calls without and with a batch."""
        with_fresh = np.concatenate([before, fresh])
        return calls_of(before, self._rules).rows, calls_of(with_fresh, self._rules).rows
