"""From samples to observations: the table of series, their meanings, counters and edges, wired once for every source.

Invariant: memory is bounded by the table's `max_series`; when it is nearly full, series that have been silent for an
hour are forgotten, in everything that holds their codes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa

from chronotope.ingest.identity import Identities
from chronotope.ingest.metrics.columns import Increases, Samples, SeriesTable
from chronotope.ingest.metrics.families import CREATED
from chronotope.ingest.metrics.increases import LONGEST_GAP_MS, Counters
from chronotope.ingest.metrics.mapping.observing import Observer
from chronotope.ingest.metrics.mapping.rules import Rules, rules_of
from chronotope.ingest.metrics.mapping.series import REASONS, USED, SeriesMeanings
from chronotope.schema.config import Config

SILENT_MS = 3_600_000
_NEARLY_FULL = 0.9


class MetricsPipeline:
    """Samples in, observations out.

    Args:
        config: presets, mappings and aliases.
        identities: returns who owns which address.
        longest_gap_ms: samples of a counter that are further apart give nothing.
    """

    def __init__(
        self,
        config: Config,
        identities: Callable[[], Identities] = Identities,
        *,
        longest_gap_ms: int = LONGEST_GAP_MS,
        max_series: int = 1_000_000,
    ) -> None:
        self.table = SeriesTable(max_series)
        self.rules: Rules = rules_of(config.metrics)
        self.meanings = SeriesMeanings(self.table, self.rules)
        self.identities = identities
        self.aliases = config.final_aliases
        self.on_forget: list[Callable[[], None]] = []  # those who hold codes of the table, such as parsers
        self._longest_gap_ms = longest_gap_ms
        self._skipped: Counter[str] = Counter()
        self.counters = Counters(self.table, longest_gap_ms=longest_gap_ms)
        self.observer = Observer(self.meanings, self.counters.families, identities, self.aliases)

    def accept(self, samples: Samples) -> list[pa.Table]:
        """Return the observations that samples make with those before them; each a table for the landing table."""
        return self.observer.observe(self.increases(samples))

    def increases(self, samples: Samples) -> Increases:
        """Return what the counters that have an edge rose by."""
        self.meanings.update()
        self.counters.grow()
        wanted = self.meanings.edge[samples.series] >= 0
        return self.counters.add(samples.take(wanted | (self.counters.families.role[samples.series] == CREATED)))

    def begin_anew(self) -> None:
        """Forget the counters' last values: what follows does not follow what was."""
        self._skipped += self.counters.ignored
        self.counters = Counters(self.table, longest_gap_ms=self._longest_gap_ms)
        observer = Observer(self.meanings, self.counters.families, self.identities, self.aliases)
        observer.skipped, observer.used = self.observer.skipped, self.observer.used
        self.observer = observer

    def tidy(self, now_ms: int) -> None:
        """Forget silent series when the table is nearly full."""
        if len(self.table) < _NEARLY_FULL * self.table.max_series:
            return
        renumbered = self.table.compact(self.counters.seen_since(now_ms - SILENT_MS))
        self.meanings.clear()
        self.counters.renumber(renumbered)
        for forget in self.on_forget:
            forget()

    def series(self) -> Counter[str]:
        """Return how many series are `used`, and how many are not by reason."""
        self.meanings.update()
        counts = np.bincount(self.meanings.reason, minlength=len(REASONS)).tolist()
        found = Counter({reason: counts[code] for code, reason in enumerate(REASONS) if reason and counts[code]})
        found["used"] = counts[USED]
        return found

    @property
    def skipped(self) -> Counter[str]:
        """Samples and increases that were not used, by reason."""
        reasons = self._skipped + self.counters.ignored + self.observer.skipped + self.table.skipped
        return +reasons


def rows_of(tables: Sequence[pa.Table]) -> int:
    """Return how many observations tables hold."""
    return sum(table.num_rows for table in tables)
