"""Backfill past metrics of a Prometheus, chunk by chunk.

Invariant: every increase that ends in the asked time is in the store once, however often a backfill is stopped,
repeated or asked for times that overlap. The result of a chunk depends on its samples and on those before it, not on
which of them an earlier run had read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from chronotope.ingest.metrics.counters.columns import Samples, join_samples
from chronotope.ingest.metrics.counters.increases import LONGEST_GAP_MS
from chronotope.ingest.metrics.counters.series_starts import UP
from chronotope.ingest.metrics.mapping.pipeline import MetricsPipeline
from chronotope.ingest.metrics.mapping.plain_names import selector_of
from chronotope.ingest.metrics.sources.earlier_series import EarlierSeries
from chronotope.ingest.metrics.sources.finished_times import Ledger, Span, missing
from chronotope.ingest.metrics.sources.prometheus_api import PrometheusSource
from chronotope.ingest.metrics.sources.replicas import Replicas
from chronotope.schema.storage.store import Store

CHUNK_MS = 3_600_000


@dataclass(slots=True)
class Backfilled:
    """The counts of a backfill."""

    samples: int = 0
    observations: int = 0
    chunks: int = 0
    known_ms: int = 0  # how much of the time was in the store already


class Backfill:
    """Reads one Prometheus into the store.

    Args:
        store: open and migrated.
        source: the Prometheus, over the pipeline's table.
        pipeline: makes observations; nobody else may use it meanwhile.
        replica_label: what tells apart servers that scrape the same targets; empty: there is one.
        insert: puts a table in the store with a token; default: the store's own.
    """

    def __init__(
        self,
        store: Store,
        source: PrometheusSource,
        pipeline: MetricsPipeline,
        *,
        replica_label: str = "",
        insert: Callable[..., None] | None = None,
    ) -> None:
        self.ledger = Ledger(store, source.http.url)
        self.source = source
        self.pipeline = pipeline
        self._replicas = Replicas(pipeline.table, replica_label) if replica_label else None
        self._replica_label = replica_label
        self._earlier = EarlierSeries(source)
        pipeline.on_forget.append(self._earlier.forget)
        self._insert = insert or store.insert
        if self._replicas is not None:
            pipeline.on_forget.append(self._replicas.clear)

    @property
    def skipped(self) -> Counter[str]:
        """Samples, increases and births that were not used, by reason."""
        return +(self.pipeline.skipped + self._earlier.skipped)

    def selectors(self, begin_ms: int, end_ms: int) -> list[str]:
        """Return the metrics that are there and that some mapping uses, and `up`, which tells when series are born."""
        names = self.source.metric_names(begin_ms, end_ms)
        wanted = [selector_of(name) for name in names if self.pipeline.rules.selected(name)]
        return [UP, *wanted] if wanted and UP in names and UP not in wanted else wanted

    def run(
        self,
        begin_ms: int,
        end_ms: int,
        *,
        chunk_ms: int = CHUNK_MS,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> Backfilled:
        """Store [begin_ms, end_ms), as far as it is missing.

        Args:
            on_progress: called with (milliseconds done, milliseconds in all).

        Raises:
            SourceError: the Prometheus cannot be read; what was finished before stays.
            StoreError: the store refuses.
        """
        chunks = missing(begin_ms, end_ms, self.ledger.done(), chunk_ms)
        known_ms = end_ms - begin_ms - sum(last - first for first, last in chunks)
        result = Backfilled(known_ms=known_ms)
        selectors = self.selectors(begin_ms - LONGEST_GAP_MS, end_ms)
        before: Span | None = None
        for chunk in chunks:
            if before is None or before[1] != chunk[0]:
                self.prime(selectors, chunk[0])
            self.take(selectors, chunk, result)
            known_ms += chunk[1] - chunk[0]
            if on_progress is not None:
                on_progress(known_ms, end_ms - begin_ms)
            before = chunk
        return result

    def prime(self, selectors: list[str], begin_ms: int) -> None:
        """Read the last values before a time, so that the first increases after it are known."""
        self.pipeline.begin_anew(begin_ms - LONGEST_GAP_MS)
        self._earlier.begin(begin_ms - LONGEST_GAP_MS)
        before = self._read(selectors, (begin_ms - LONGEST_GAP_MS, begin_ms))
        self.pipeline.increases(before)
        self.pipeline.native_increases(before)

    def take(self, selectors: list[str], chunk: Span, result: Backfilled, *, noted_from: int | None = None) -> None:
        """Read one chunk, insert its observations and note it (as part of the time from `noted_from`)."""
        samples = self._read(selectors, chunk)
        for part, table in enumerate(self.pipeline.accept(samples)):
            self._insert("observations", table, self.ledger.token(*chunk, part))
            result.observations += table.num_rows
        self.ledger.note(chunk[0] if noted_from is None else noted_from, chunk[1])
        self.pipeline.tidy(chunk[1])
        result.samples += len(samples)
        result.chunks += 1

    def _read(self, selectors: list[str], chunk: Span) -> Samples:
        """Return all samples of a time in one piece: a histogram's buckets belong together."""
        read = self.source.read(selectors, *chunk, chunk_ms=chunk[1] - chunk[0]) if selectors else ()
        samples = join_samples([part.samples for part in read])
        samples = self.pipeline.series_starts.watched(
            self._replicas.deduplicate(samples) if self._replicas else samples
        )
        return self._earlier.without_returning(samples, self.pipeline.counters.last_time, self._replica_label)
