"""Collect metrics while they are counted: scrape endpoints and query Prometheus servers, round after round.

Invariant: a source that fails delays nobody and loses nothing but its own time. Its counters go on with its next
answer. A round's observations are in the store before the next round begins.
"""

from __future__ import annotations

import collections
import logging
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import urllib3
from prometheus_client import CollectorRegistry, Counter, Gauge

from chronotope.ingest.identity.owners import Identities
from chronotope.ingest.metrics.counters.columns import NO_TIME, Samples, join_samples
from chronotope.ingest.metrics.counters.increases import LONGEST_GAP_MS
from chronotope.ingest.metrics.counters.state import state_of
from chronotope.ingest.metrics.mapping.pipeline import MetricsPipeline
from chronotope.ingest.metrics.sources.history import Backfill, Backfilled
from chronotope.ingest.metrics.sources.prometheus_api import PrometheusSource
from chronotope.ingest.metrics.sources.prometheus_http import PrometheusHttp
from chronotope.ingest.metrics.sources.saved_counters import CounterMemory, Waiting, name_of
from chronotope.ingest.metrics.sources.scrape import Scraper, Target
from chronotope.schema.config.config import Config
from chronotope.schema.config.metrics import PrometheusEntry, TargetEntry
from chronotope.schema.errors import ChronotopeError, StoreClosed, StoreError
from chronotope.schema.repeating import Repeating, log_failure
from chronotope.schema.storage.store import Store

logger = logging.getLogger(__name__)

LAG_MS = 15_000  # a scrape's samples are in a Prometheus only when it is over
CATCH_UP_MS = 3_600_000  # how far back a Prometheus is read after a pause
RELIST_MS = 120_000  # how often the metrics of a Prometheus are listed: new ones are read from then on
MOST_WAITING = 5_000_000  # rows that wait for a store that takes none
_THREADS = 8


class MetricsOfMetrics:
    """The collector's own metrics."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.lag = Gauge("chronotope_metrics_lag_seconds", "Age of what was read last.", ["source"], registry=registry)
        self.reads = Counter("chronotope_metrics_reads", "Scrapes and queries.", ["source"], registry=registry)
        self.failures = Counter(
            "chronotope_metrics_read_failures", "Scrapes and queries that failed.", ["source"], registry=registry
        )
        self.samples = Counter("chronotope_metrics_samples", "Samples read.", registry=registry)
        self.observations = Counter("chronotope_metrics_observations", "Observations written.", registry=registry)
        self.skipped = Counter(
            "chronotope_metrics_skipped",
            "Samples, increases, births and histograms that were not used, by reason.",
            ["reason"],
            registry=registry,
        )
        self.series = Gauge(
            "chronotope_metrics_series", "Series by use: `used`, or why not.", ["use"], registry=registry
        )


@dataclass(slots=True)
class Asked:
    """A Prometheus that is queried round after round."""

    backfill: Backfill
    since_ms: int = 0  # where this run began; 0: not yet
    read_to_ms: int = 0
    listed_ms: int = 0  # when its metrics were listed
    selectors: list[str] = field(default_factory=list)


class MetricsCollector:
    """Reads all sources of a configuration, at fixed moments of the clock; `rounds` starts and stops that.

    Args:
        store: open and migrated.
        config: `metrics:` names the sources.
        identities: returns who owns which address.
        registry: where its own metrics go.
        clock: Unix seconds.
    """

    def __init__(
        self,
        store: Store,
        config: Config,
        identities: Callable[[], Identities] = Identities,
        registry: CollectorRegistry | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.config = config.metrics
        self.metrics = MetricsOfMetrics(registry or CollectorRegistry())
        self.pipeline = MetricsPipeline(config, identities, since_ms=round(clock() * 1000))
        self._store = store
        self._clock = clock
        failed = partial(log_failure, logger, "a round of metrics failed")
        self.rounds = Repeating("metrics", self.round, failed, self._pause_s)
        pool = urllib3.PoolManager(num_pools=max(len(self.config.targets), 1), maxsize=1)
        self.scrapers = [
            Scraper(
                target_of(entry, self.config.interval, self.config.timeout),
                self.pipeline.table,
                pool,
                wanted=self.pipeline.rules.wanted,
                clock=clock,
            )
            for entry in self.config.targets
        ]
        self._memory = CounterMemory(store, self._insert)
        self._names = [name_of(scraper.target, self.pipeline.rules.names) for scraper in self.scrapers]
        self._recalled = False
        self._waiting: list[Waiting] = []
        self._uses: set[str] = set()
        self._skipped: collections.Counter[str] = collections.Counter()
        self.pipeline.on_forget += [scraper.parser.forget for scraper in self.scrapers]
        self._asked = [self._open(entry, config, identities) for entry in self.config.prometheus]

    def _pause_s(self) -> float:
        return self.config.interval - self._clock() % self.config.interval

    def round(self) -> int:
        """Read every source once; return the number of observations.

        Raises:
            StoreError: the store did not take them in spite of repetition.
        """
        written = 0
        if self.scrapers:
            if not self._recalled:
                self._recall()
            written = self._scraped()
        for asked in self._asked:
            written += self._ask(asked)
        self._report()
        return written

    def _report(self) -> None:
        """Say how series are used, and what was skipped, of all sources together."""
        pipelines = [self.pipeline, *(asked.backfill.pipeline for asked in self._asked)]
        series = sum((pipeline.series() for pipeline in pipelines), collections.Counter[str]())
        for use in self._uses | set(series):
            self.metrics.series.labels(use).set(series[use])
        self._uses |= set(series)
        skipped = self.pipeline.skipped + sum(
            (scraper.parser.skipped for scraper in self.scrapers), collections.Counter[str]()
        )
        skipped += sum((asked.backfill.skipped for asked in self._asked), collections.Counter[str]())
        for reason, count in (skipped - self._skipped).items():
            self.metrics.skipped.labels(reason).inc(count)
        self._skipped |= skipped  # the highest: a count that begins anew must not fall

    def _scraped(self) -> int:
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="scrape") as executor:
            fetching = [(scraper, executor.submit(scraper.fetch)) for scraper in self.scrapers]
            samples = join_samples([self._parsed(scraper, future) for scraper, future in fetching])
        self.metrics.samples.inc(len(samples))
        answered = any(not future.exception() for _, future in fetching)
        if answered:
            self._waiting += [(table, uuid.uuid4().hex) for table in self.pipeline.accept(samples)]
            self._remember(np.unique(samples.series))
        written = 0
        while self._waiting:
            table, token = self._waiting[0]
            self._insert("observations", table, token)
            del self._waiting[0]
            written += table.num_rows
            self.metrics.observations.inc(table.num_rows)
        self.pipeline.tidy(round(self._clock() * 1000))
        return written

    def _recall(self) -> None:
        """Go on with the counters where the last process was."""
        now_ms = round(self._clock() * 1000)
        past = self._memory.load(now_ms)
        self.pipeline.counters.remembered = past.counters
        if past.round_ms:
            self.pipeline.counters.since_ms = min(past.round_ms, now_ms)
        for scraper, name in zip(self.scrapers, self._names, strict=True):
            scraper.parser.watched_ms = past.watched.get(name, NO_TIME)
        self._recalled = True

    def _remember(self, series: np.ndarray) -> None:
        """Save the values of a round with its observations, before these are stored."""
        round_ms = round(self._clock() * 1000)
        while sum(table.num_rows for table, _ in self._waiting) > MOST_WAITING:
            table, _ = self._waiting.pop(0)
            logger.error("observations are lost: the store takes none", extra={"observations": table.num_rows})
        state = state_of(self.pipeline.counters, self.pipeline.table, series, round_ms)
        # A series without room is not in the state. It must not seem to be new later.
        full = bool(self.pipeline.table.skipped["series_limit"])
        seen = zip(self._names, self.scrapers, strict=True)
        watched = {} if full else {name: scraper.parser.watched_ms for name, scraper in seen}
        self._memory.save(state, watched, self._waiting, round_ms)

    def _parsed(self, scraper: Scraper, future: Future[tuple[int, bytes, bool, bool]]) -> Samples:
        url = scraper.target.url
        self.metrics.reads.labels(url).inc()
        try:
            time_ms, body, openmetrics, complete = future.result()
            samples = scraper.parser.parse(body, time_ms, openmetrics=openmetrics, complete=complete)
        except ChronotopeError as error:
            self._failed(url, error)
            return join_samples([])
        self.metrics.lag.labels(url).set(self._clock() - time_ms / 1000)
        return samples

    def _ask(self, asked: Asked) -> int:
        url = asked.backfill.source.http.url
        now_ms = round(self._clock() * 1000)
        end_ms = now_ms - LAG_MS
        result = Backfilled()
        self.metrics.reads.labels(url).inc()
        try:
            if not asked.since_ms:
                self._begin(asked, end_ms)
            elif end_ms > asked.read_to_ms:
                if end_ms >= asked.listed_ms + RELIST_MS:
                    self._list(asked, asked.read_to_ms, end_ms)
                asked.backfill.take(asked.selectors, (asked.read_to_ms, end_ms), result, noted_from=asked.since_ms)
                asked.read_to_ms = end_ms
        except StoreClosed:
            raise
        except ChronotopeError as error:
            asked.since_ms = 0
            self._failed(url, error)
        self.metrics.lag.labels(url).set((now_ms - asked.read_to_ms) / 1000)
        self.metrics.samples.inc(result.samples)
        self.metrics.observations.inc(result.observations)
        return result.observations

    def _begin(self, asked: Asked, end_ms: int) -> None:
        """Go on from where the last run ended, if that is not long ago."""
        ended = max((end for _, end in asked.backfill.ledger.done() if end <= end_ms), default=0)
        begin_ms = ended if ended >= end_ms - CATCH_UP_MS else end_ms
        asked.selectors = []
        self._list(asked, begin_ms - LONGEST_GAP_MS, end_ms)
        asked.backfill.prime(asked.selectors, begin_ms)
        asked.since_ms = asked.read_to_ms = begin_ms

    def _list(self, asked: Asked, begin_ms: int, end_ms: int) -> None:
        """Look for metrics that are new; a new one's series are born, or were there before, as any others are."""
        found = asked.backfill.selectors(begin_ms, end_ms + LAG_MS)
        asked.selectors += [name for name in found if name not in asked.selectors]
        asked.listed_ms = end_ms

    def _failed(self, url: str, error: ChronotopeError) -> None:
        self.metrics.failures.labels(url).inc()
        logger.warning("metrics could not be read", extra={"source": url, "error": str(error)})

    def _insert(self, table: str, columns: pa.Table, token: str = "", attempts: int = 5) -> None:
        for attempt in range(attempts):
            try:
                return self._store.insert(table, columns, token)
            except StoreError:
                if attempt == attempts - 1 or self.rounds.stopping.wait(2.0**attempt):
                    raise

    def _open(self, entry: PrometheusEntry, config: Config, identities: Callable[[], Identities]) -> Asked:
        pipeline = MetricsPipeline(config, identities)
        return Asked(open_backfill(self._store, entry, pipeline, self._insert))


def open_backfill(
    store: Store, entry: PrometheusEntry, pipeline: MetricsPipeline, insert: Callable[..., None] | None = None
) -> Backfill:
    """Return the reader of a configured Prometheus."""
    source = open_source(entry, pipeline)
    return Backfill(store, source, pipeline, replica_label=entry.replica_label, insert=insert)


def open_source(entry: PrometheusEntry, pipeline: MetricsPipeline) -> PrometheusSource:
    """Return a configured Prometheus, over the table of a pipeline."""
    http = PrometheusHttp(entry.url, headers=entry.headers)
    return PrometheusSource(http, pipeline.table, more_labels=entry.labels or None)


def target_of(entry: TargetEntry, interval_s: float, timeout_s: float) -> Target:
    """Return the scrape target with its labels: `instance` is its address, `job` its host."""
    parts = urlsplit(entry.url)
    labels = {"job": parts.hostname or "", "instance": parts.netloc.rpartition("@")[2], **entry.labels}
    if entry.service:
        labels |= {"service_name": entry.service, "service_namespace": entry.namespace}
    return Target(url=entry.url, labels=labels, interval_s=interval_s, timeout_s=timeout_s)
