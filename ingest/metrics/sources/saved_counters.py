"""The counters of scraped endpoints in the store: a process goes on where the last one ended.

Invariant: whenever a process ends, what the next one counts is neither twice in the store nor missing, as far as
samples tell. A round's values and its observations are saved in one insert, before the observations themselves are
inserted. The next process inserts those again under the same tokens, which counts them once.

A target's last whole answer is remembered too, under a name made of its address, its labels and its wanted metrics. If
any of these changed, nothing is known of which series are new.

The saved state is bounded: series that were silent for `KEPT_MS`, and observations that are too old to be inserted
again, are deleted once an hour.
"""

from __future__ import annotations

import hashlib
import logging
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from chronotope.ingest.metrics.counters.columns import NO_TIME
from chronotope.ingest.metrics.counters.increases import Remembered
from chronotope.ingest.metrics.counters.state import remembered, rows
from chronotope.ingest.metrics.sources.scrape import Target
from chronotope.schema.errors import StoreError
from chronotope.schema.storage.store import Store

logger = logging.getLogger(__name__)

AGAIN_MS = 3_600_000  # observations that are older are not inserted again: the store may have forgotten their token
KEPT_MS = 7 * 86_400_000  # a series that returns after so long a silence and a restart may count as new
PRUNE_MS = 3_600_000
_WATCHED, _UNDER_WAY = "watched ", "under way "

Waiting = tuple[pa.Table, str]  # observations, and the token of their insert


@dataclass(frozen=True, slots=True)
class Past:
    """The state that earlier processes left."""

    counters: Remembered
    watched: dict[str, int]  # name of a target → when all that it had was read
    round_ms: int  # of the last round; 0: there was none


class CounterMemory:
    """Saves and loads the state of the counters.

    Args:
        store: open and migrated.
        insert: puts a table in the store with a token.
    """

    def __init__(self, store: Store, insert: Callable[[str, pa.Table, str], None]) -> None:
        self._store = store
        self._insert = insert
        self._own = uuid.uuid4().hex
        self._pruned_ms = 0

    def load(self, now_ms: int) -> Past:
        """Return the saved state, after storing all observations that may be missing.

        Raises:
            StoreError: the store cannot answer.
        """
        self._repeat(now_ms)
        state = self._store.query(
            "SELECT series, argMax(c.value, round) AS value, argMax(c.time, round) AS time, "
            "argMax(c.created, round) AS created, max(c.round) AS latest FROM metric_counters AS c "
            "WHERE NOT startsWith(series, {under_way:String}) GROUP BY series",
            {"under_way": _UNDER_WAY},
        )
        names = state.column("series").to_pylist()
        is_target = np.array([name.startswith(_WATCHED) for name in names], np.bool_)
        targets = state.filter(pa.array(is_target)).select(["series", "time"]).to_pylist()
        latest = state.column("latest").to_pylist()
        return Past(
            remembered(state.filter(pa.array(~is_target))),
            {row["series"].removeprefix(_WATCHED): int(row["time"]) for row in targets},
            int(max(latest, default=0)),
        )

    def save(self, state: pa.Table, watched: dict[str, int], waiting: Sequence[Waiting], round_ms: int) -> None:
        """Save the values of a round, and its observations that are not stored yet.

        Raises:
            StoreError: it is not saved.
        """
        known = {name: at for name, at in watched.items() if at != NO_TIME}
        names = [_WATCHED + name for name in known]
        none = np.full(len(names), NO_TIME)
        targets = rows(names, round_ms, np.zeros(len(names)), np.array(list(known.values()), np.int64), none)
        parts = [state, targets, self._under_way(waiting, round_ms)]
        self._insert("metric_counters", pa.concat_tables(parts), f"{self._own} {round_ms}")
        if round_ms >= self._pruned_ms + PRUNE_MS:
            self._prune(round_ms)

    def _prune(self, now_ms: int) -> None:
        """Delete what nobody will ask for; a store that does not is asked again an hour later."""
        self._pruned_ms = now_ms
        try:
            self._store.command(
                "DELETE FROM metric_counters WHERE round < {kept:UInt64} "
                "OR (round < {again:UInt64} AND startsWith(series, {under_way:String}))",
                {"kept": max(now_ms - KEPT_MS, 0), "again": max(now_ms - AGAIN_MS, 0), "under_way": _UNDER_WAY},
            )
        except StoreError as error:
            logger.warning("old counters could not be deleted", extra={"error": str(error)})

    def _under_way(self, waiting: Sequence[Waiting], round_ms: int) -> pa.Table:
        """One row for each table; without any, one that says so."""
        found = list(waiting) or [(None, "")]
        names = [f"{_UNDER_WAY}{self._own} {number} {token}" for number, (_, token) in enumerate(found)]
        bodies = [b"" if table is None else _packed(table) for table, _ in found]
        none = np.full(len(found), NO_TIME)
        return rows(names, round_ms, np.zeros(len(found)), np.full(len(found), round_ms), none, bodies)

    def _repeat(self, now_ms: int) -> None:
        """Insert again what the last round of each process had under way."""
        found = self._store.query(
            "SELECT series, round, body FROM metric_counters "
            "WHERE startsWith(series, {under_way:String}) AND round >= {since:UInt64}",
            {"under_way": _UNDER_WAY, "since": max(now_ms - AGAIN_MS, 0)},
        )
        bodies = found.column("body").cast(pa.binary()).to_pylist()
        names = [name.split(" ") for name in found.column("series").to_pylist()]
        rounds = found.column("round").to_pylist()
        last: dict[str, int] = {}
        for (_, _, process, _, _), at in zip(names, rounds, strict=True):
            last[process] = max(last.get(process, 0), at)
        for (_, _, process, _, token), at, body in zip(names, rounds, bodies, strict=True):
            if at == last[process] and body:
                self._insert("observations", _unpacked(body), token)


def name_of(target: Target, wanted: Iterable[str]) -> str:
    """Return the name under which a target's last whole answer is saved."""
    parts = (target.url, *sorted(f"{key}={value}" for key, value in target.labels.items()), "", *sorted(wanted))
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=16).hexdigest()


def _packed(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def _unpacked(body: bytes) -> pa.Table:
    with pa.ipc.open_stream(body) as reader:
        return reader.read_all()
