"""One look at a source, for a check: what is there now.

Invariant: nothing is written. A source that cannot be read is an error that names it.
"""

from __future__ import annotations

from typing import Any

import urllib3

from chronotope.ingest.identity.owners import Identities
from chronotope.ingest.metrics.mapping.checking import report
from chronotope.ingest.metrics.mapping.pipeline import MetricsPipeline
from chronotope.ingest.metrics.mapping.plain_names import selector_of
from chronotope.ingest.metrics.sources.collector import open_source, target_of
from chronotope.ingest.metrics.sources.scrape import Scraper
from chronotope.schema.config.config import Config
from chronotope.schema.config.metrics import PrometheusEntry, TargetEntry
from chronotope.schema.errors import SourceError


def check_target(config: Config, entry: TargetEntry, identities: Identities, now_ms: int) -> dict[str, Any]:
    """Return the findings at an endpoint: those of `checking.report`, with `source` and `other_metrics`.

    Raises:
        SourceError: the endpoint cannot be scraped.
    """
    pipeline = MetricsPipeline(config, lambda: identities)
    target = target_of(entry, config.metrics.interval, config.metrics.timeout)
    scraper = Scraper(target, pipeline.table, urllib3.PoolManager(), wanted=pipeline.rules.wanted)
    scrape = scraper.scrape()
    if not scrape.up:
        raise SourceError(scrape.error)
    return {"source": entry.url, "other_metrics": scraper.parser.ignored, **report(pipeline, now_ms)}


def check_prometheus(
    config: Config, entry: PrometheusEntry, identities: Identities, begin_ms: int, end_ms: int
) -> dict[str, Any]:
    """Return the same findings for a time of a Prometheus.

    Raises:
        SourceError: the Prometheus cannot be read.
    """
    pipeline = MetricsPipeline(config, lambda: identities)
    source = open_source(entry, pipeline)
    names = source.metric_names(begin_ms, end_ms)
    wanted = [name for name in names if pipeline.rules.selected(name)]
    if wanted:
        for _ in source.read([selector_of(name) for name in wanted], begin_ms, end_ms):
            pass
    return {"source": entry.url, "other_metrics": len(names) - len(wanted), **report(pipeline, end_ms)}
