"""Import files of metrics with timestamps.

Invariant: a file counts once, however often it is imported under the same configuration: the same observations are
inserted with the same tokens. Increases wait in memory until the file ends, because files come series after series, and
the buckets of a histogram belong together. At `MOST_WAITING` they are aggregated (see `aggregation`), so memory is
bounded by edges and time. When even that is too much, they are written before the end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow as pa

from chronotope.ingest.files.opening import Progress, open_input
from chronotope.ingest.identity.owners import Identities
from chronotope.ingest.metrics.counters.columns import Increases, join_increases
from chronotope.ingest.metrics.formats.openmetrics import OpenMetricsFile
from chronotope.ingest.metrics.mapping.aggregation import Aggregator
from chronotope.ingest.metrics.mapping.pipeline import MetricsPipeline
from chronotope.ingest.writing.insert import table_digest
from chronotope.schema.config.config import Config

LONGEST_GAP_MS = 3_600_000  # files often have a sample only every few minutes
MOST_WAITING = 1_000_000
MOST_FOLDED = 4_000_000


class MetricsImport:
    """Reads files one after the other.

    Args:
        config: presets, mappings and aliases.
        identities: returns who owns which address.
    """

    def __init__(self, config: Config, identities: Callable[[], Identities] = Identities) -> None:
        self.pipeline = MetricsPipeline(config, identities, longest_gap_ms=LONGEST_GAP_MS)
        self.samples = 0
        self.held = 0  # increases that wait

    def tables(self, path: str | Path, on_progress: Progress) -> Iterator[tuple[pa.Table, str]]:
        """Yield the observations of a file, each table with the token of its insert.

        Raises:
            InvalidPayload, NotFound: the file cannot be read.
        """
        with open_input(path, on_progress) as opened:
            file = OpenMetricsFile(cast(BinaryIO, opened), self.pipeline.table, wanted=self.pipeline.rules.wanted)
            self.pipeline.begin_anew()
            aggregator = Aggregator(self.pipeline.meanings, self.pipeline.counters.families, self.pipeline.table.names)
            waiting: list[Increases] = []
            folded = 0
            for samples in file:
                self.samples += len(samples)
                waiting.append(self.pipeline.increases(samples))
                self.held = sum(map(len, waiting))
                if self.held > MOST_WAITING + folded:
                    waiting[:] = [aggregator.aggregate(join_increases(waiting))]
                    self.held = folded = len(waiting[0])
                if folded > MOST_FOLDED:
                    folded = 0
                    yield from self._observed(waiting)
            yield from self._observed(waiting)
            self.pipeline.table.skipped += file.parser.skipped

    def _observed(self, waiting: list[Increases]) -> Iterator[tuple[pa.Table, str]]:
        increases = join_increases(waiting)
        waiting.clear()
        for table in self.pipeline.observer.observe(increases):
            yield table, table_digest(table, 16).hex()
