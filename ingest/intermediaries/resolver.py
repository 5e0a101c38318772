"""The background task that resolves hops, ten minutes at a time, and again whenever new evidence came later.

Invariant: after a run, the rows written for each ten minutes are the result of all evidence that was there before the
run. A crash loses nothing: the task reads back what is written, and adds only the difference.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from hashlib import blake2b

import numpy as np
import pyarrow as pa
from prometheus_client import CollectorRegistry, Counter, Gauge

from chronotope.ingest.flows.attribution import Attribution
from chronotope.ingest.flows.edges import flow_rules
from chronotope.ingest.flows.rows import FlowVocabulary
from chronotope.ingest.identity.known import KnownIdentities, configured_claims, read_claims
from chronotope.ingest.identity.owners import Ownership
from chronotope.ingest.intermediaries.connections import Connections, by_port, finer_series
from chronotope.ingest.intermediaries.declared import Declared, declare, read_known
from chronotope.ingest.intermediaries.evidence import Written, read_calls, read_hops, read_kinds, read_written
from chronotope.ingest.intermediaries.hops import Hops
from chronotope.ingest.intermediaries.hops_to_edges import Knowledge, resolve
from chronotope.ingest.intermediaries.observations import difference, observations_of, wanted
from chronotope.schema.config.config import Config
from chronotope.schema.observations import BUCKET_S, VIA_SEPARATOR
from chronotope.schema.repeating import Repeating, log_failure
from chronotope.schema.storage.store import Store

logger = logging.getLogger(__name__)

EPOCH_S = 600
ROUND_S = 5.0
_SETTLING_MS = 15_000  # an insert may become visible this much later than its own time
# For each epoch: when its last evidence came, when it was resolved (0: never), and with which declarations.
_EPOCHS = """
SELECT toUnixTimestamp(epoch) AS epoch_s, toUnixTimestamp64Milli(max(a.arrived_at)) AS arrived_ms,
       toUnixTimestamp64Milli(any(r.resolved_at)) AS resolved_ms, any(r.declared) AS declared
FROM epoch_arrivals AS a LEFT JOIN (SELECT * FROM resolved_epochs FINAL) AS r USING (epoch)
WHERE epoch >= toDateTime({oldest:UInt32}, 'UTC')
GROUP BY epoch
ORDER BY epoch
"""
_NOW = "SELECT toUnixTimestamp64Milli(now64(3))"


class IntermediaryMetrics:
    """The resolution's own metrics."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.epochs = Counter("chronotope_intermediaries_epochs", "Ten-minute epochs resolved.", registry=registry)
        self.rounds = Counter("chronotope_intermediaries_rounds", "Looks for new evidence.", registry=registry)
        self.edges = Counter("chronotope_intermediaries_rows", "Rows written by the resolution.", registry=registry)
        self.failing = Gauge("chronotope_intermediaries_failing", "1 while rounds fail.", registry=registry)


class IntermediaryResolver:
    """Resolves hops through intermediaries, round after round. `rounds` starts and stops the task."""

    def __init__(
        self, store: Store, config: Config, owners: KnownIdentities, registry: CollectorRegistry | None = None
    ) -> None:
        self._store = store
        self._config = config
        vocabulary, aliases = FlowVocabulary(), config.final_aliases
        self._connections = Connections(
            store,
            vocabulary,
            flow_rules(config, vocabulary),
            Attribution(vocabulary, aliases),
            owners.snapshot,
            aliases,
        )
        self._metrics = IntermediaryMetrics(registry or CollectorRegistry())
        self._failing, self._took_s = False, 0.0
        self.rounds = Repeating(
            "intermediaries", self._timed, self._failed, lambda: max(ROUND_S, 2 * self._took_s), pause_first=True
        )

    def _timed(self) -> None:
        began = time.monotonic()
        try:
            self.round()
        finally:
            self._took_s = time.monotonic() - began
        self._ended(failing=False)

    def _failed(self, error: Exception) -> None:
        if not self._failing:  # once, until a round succeeds
            log_failure(logger, "intermediaries are not resolved", error)
        self._ended(failing=True)

    def _ended(self, *, failing: bool) -> None:
        self._failing = failing
        self._metrics.failing.set(failing)
        self._metrics.rounds.inc()

    def round(self) -> int:
        """Resolve every epoch with new evidence; return how many there were.

        Raises:
            StoreError: the store refused; the next round begins where this one ended.
        """
        declared = self._declared()
        if not declared.services and not self._ever_resolved():
            return 0
        stale = self._stale(declared)
        for epoch in stale:
            if self.rounds.stopping.is_set():
                break
            resolved_at = int(self._store.rows(_NOW)[0][0])
            self._resolve_epoch(epoch, declared, stale[epoch])
            self._note(epoch, resolved_at - _SETTLING_MS, declared)
            self._metrics.epochs.inc()
        return len(stale)

    def _declared(self) -> Declared:
        entries = self._config.intermediaries
        claims: Iterable[Ownership] = ()
        if any(not entry.service_id for entry in entries):
            claims = [*configured_claims(self._config.identities), *read_claims(self._store)]
        aliases = self._config.final_aliases
        found = declare(entries, read_known(self._store), claims)
        return Declared(frozenset(aliases.get(name, name) for name in found.services), found.targets)

    def _ever_resolved(self) -> bool:
        return bool(self._store.rows("SELECT 1 FROM resolved_epochs LIMIT 1"))

    def _stale(self, declared: Declared) -> dict[int, int]:
        """Epochs that must be resolved, rising, with when they were resolved before."""
        kept_s = self._config.retention.kept_s(embedded=self._store.location.embedded)["10s"]
        oldest = 0 if kept_s is None else max(int(time.time()) - kept_s + 2 * EPOCH_S, 0)
        rows = self._store.query(_EPOCHS, {"oldest": oldest})
        epoch, arrived, resolved = (
            rows.column(name).to_numpy().astype(np.int64) for name in ("epoch_s", "arrived_ms", "resolved_ms")
        )
        newer = epoch[arrived >= resolved]
        digests = np.array(rows.column("declared").to_pylist(), object)
        near = np.isin(epoch, np.concatenate([newer - EPOCH_S, newer, newer + EPOCH_S]))
        due = near | (digests != declared.digest)
        return dict(zip(epoch[due].tolist(), resolved[due].tolist(), strict=True))

    def _resolve_epoch(self, epoch: int, declared: Declared, resolved_before_ms: int) -> None:
        store, names = self._store, declared.services
        start, end = max(epoch - EPOCH_S, 0), epoch + 2 * EPOCH_S
        seen = read_hops(store, names, start, end)
        knowledge = Knowledge(declared.targets)
        if len(seen):
            records = self._connections.read(names, start, end)
            seen = by_port(seen, records, names, start)
            finer = {name: series for name in names if (series := finer_series(records, name)) is not None}
            knowledge = Knowledge(declared.targets, read_calls(store, seen, names, start, end), finer)
        resolved = resolve(seen, names, knowledge)
        first = (epoch - start) // BUCKET_S
        before = read_written(store, epoch, epoch + EPOCH_S)
        added = difference(wanted(seen, resolved, slice(first, first + EPOCH_S // BUCKET_S)), before)
        kinds = read_kinds(store, {name for key in added.rows for name in key[:2]})
        rows = observations_of(added, epoch, {**kinds, **dict.fromkeys(names, "intermediary")})
        if rows is not None:
            store.insert("observations", rows, _token(epoch, resolved_before_ms, added))
            self._metrics.edges.inc(rows.num_rows)
        self._write_confidence(epoch, seen, resolved)

    def _write_confidence(self, epoch: int, seen: Hops, resolved: Hops) -> None:
        best: dict[tuple[str, str, str, str], tuple[float, bool]] = {}
        for at in range(len(seen), len(resolved)):
            route = resolved.routes[at]
            key = (route.source, route.target, route.protocol, VIA_SEPARATOR.join(route.via))
            best[key] = max(best.get(key, (0.0, False)), (float(resolved.confidence[at]), not resolved.inferred[at]))
        known = {
            tuple(map(str, row[:4])): (round(float(row[4]), 4), not row[5])
            for row in self._store.rows(_RESOLUTIONS, {"epoch": epoch})
        }
        changed = {key: value for key, value in best.items() if known.get(key) != (round(value[0], 4), value[1])}
        changed |= {key: (0.0, False) for key, value in known.items() if key not in best and value[0] > 0}  # type: ignore[misc]
        if changed:
            self._store.insert("resolutions", _confidence_table(epoch, changed))

    def _note(self, epoch: int, resolved_at_ms: int, declared: Declared) -> None:
        row = {
            "epoch": pa.array([epoch], pa.uint32()),
            "resolved_at": pa.array([resolved_at_ms], pa.timestamp("ms", tz="UTC")),
            "declared": [declared.digest],
        }
        self._store.insert("resolved_epochs", pa.table(row))


_RESOLUTIONS = """
SELECT source, target, protocol, via, confidence, inferred FROM resolutions FINAL
WHERE epoch = toDateTime({epoch:UInt32}, 'UTC')
"""


def _confidence_table(epoch: int, rows: dict[tuple[str, str, str, str], tuple[float, bool]]) -> pa.Table:
    columns: dict[str, pa.Array] = {"epoch": pa.array(np.full(len(rows), epoch), pa.uint32())}
    for place, name in enumerate(("source", "target", "protocol", "via")):
        columns[name] = pa.array([key[place] for key in rows], pa.string())
    columns["confidence"] = pa.array([round(sure, 4) for sure, _ in rows.values()], pa.float32())
    columns["inferred"] = pa.array([int(not certain) for _, certain in rows.values()], pa.uint8())
    now = pa.scalar(time.time_ns() // 10**6, pa.timestamp("ms", tz="UTC"))
    columns["resolved_at"] = pa.array([now.as_py()] * len(rows), pa.timestamp("ms", tz="UTC"))
    return pa.table(columns)


def _token(epoch: int, resolved_before_ms: int, added: Written) -> str:
    """The same step after the same earlier one has the same token: two servers that take it write it once."""
    digest = blake2b(digest_size=16)
    for key in sorted(added.rows):
        digest.update(repr(key).encode() + added.rows[key].tobytes())
    return f"intermediaries-{epoch}-{resolved_before_ms}-{digest.hexdigest()}"
