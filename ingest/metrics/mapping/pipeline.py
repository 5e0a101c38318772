"""From samples to observations: the table of series, their meanings, counters and edges, wired once for every source.

Invariant: memory is bounded by the table's `max_series`. When the table is nearly full, series that have been silent
for an hour are forgotten, in everything that holds their codes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from chronotope.ingest.identity.owners import Identities
from chronotope.ingest.metrics.counters.columns import NO_TIME, Increases, Samples, SeriesTable
from chronotope.ingest.metrics.counters.families import CREATED
from chronotope.ingest.metrics.counters.increases import LONGEST_GAP_MS, Counters
from chronotope.ingest.metrics.counters.native_histograms import NativeCounters, NativeIncreases
from chronotope.ingest.metrics.counters.series_starts import SeriesStarts, target_of_labels
from chronotope.ingest.metrics.mapping.duplicates import COUNTING, Coverage
from chronotope.ingest.metrics.mapping.observations import Observer
from chronotope.ingest.metrics.mapping.rules import Adds, Rules, rules_of
from chronotope.ingest.metrics.mapping.series import REASONS, USED, SeriesMeanings
from chronotope.schema.config.config import Config

SILENT_MS = 3_600_000
_NEARLY_FULL = 0.9


class MetricsPipeline:
    """Samples in, observations out.

    Args:
        config: presets, mappings and aliases.
        identities: returns who owns which address.
        longest_gap_ms: samples of a counter that are further apart give nothing.
        since_ms: when watching began; see `Counters`.
    """

    def __init__(
        self,
        config: Config,
        identities: Callable[[], Identities] = Identities,
        *,
        longest_gap_ms: int = LONGEST_GAP_MS,
        max_series: int = 1_000_000,
        since_ms: int | None = None,
    ) -> None:
        self.table = SeriesTable(max_series)
        self.rules: Rules = rules_of(config.metrics)
        self.meanings = SeriesMeanings(self.table, self.rules)
        self.identities = identities
        self.aliases = config.final_aliases
        self.on_forget: list[Callable[[], None]] = []  # those who hold codes of the table, such as parsers
        self._longest_gap_ms = longest_gap_ms
        self._skipped: Counter[str] = Counter()
        self._forgetful: set[tuple[str, str]] = set()  # targets of which a series was forgotten
        self.counters = Counters(self.table, longest_gap_ms=longest_gap_ms, since_ms=since_ms)
        self.natives = NativeCounters(longest_gap_ms=longest_gap_ms)
        self.series_starts = SeriesStarts(self.table)
        self.observer = self._observer()

    def accept(self, samples: Samples) -> list[pa.Table]:
        """Return the observations that samples make with those before them; as rows of the table `observations`."""
        return self.observer.observe(self.increases(samples), self.native_increases(samples))

    def increases(self, samples: Samples) -> Increases:
        """Return the increases of the counters that have an edge."""
        self.meanings.update()
        self.counters.grow()
        wanted = (self.meanings.edge[samples.series] >= 0) & ~self._native(samples.series)
        samples = samples.take(wanted | (self.counters.families.role[samples.series] == CREATED))
        before_ms = self._before(samples)
        increases = self.counters.add(self._without_returning(samples) if self._forgetful else samples)
        self._note(samples.series, before_ms, samples.time_ms)
        self._note(increases.series, increases.begin_ms, increases.end_ms)
        return increases

    def native_increases(self, samples: Samples) -> NativeIncreases | None:
        """Return the increases of the native histograms that have an edge; None if there are none."""
        native = samples.native
        if native is None:
            return None
        self.meanings.update()
        native = native.take(np.flatnonzero((self.meanings.edge[native.series] >= 0) & self._native(native.series)))
        native = native.take(np.argsort(native.time_ms, kind="stable"))
        found = self.natives.add(native, self.meanings.unit_s[native.series])
        self._note(native.series, native.time_ms, native.time_ms)
        self._note(found.increases.series, found.increases.begin_ms, found.increases.end_ms)
        return found

    def _before(self, samples: Samples) -> np.ndarray:
        """Return when the sample before each one's was, if it is known and its series goes on; else its own time."""
        last = self.counters.last_time[samples.series]
        ended = np.isnan(self.counters.last_value[samples.series])
        follows = ~ended & (last < samples.time_ms) & (last >= samples.time_ms - self._longest_gap_ms)
        before: np.ndarray = np.where(follows, last, samples.time_ms)
        return before

    def _note(self, series: np.ndarray, begin_ms: np.ndarray, end_ms: np.ndarray) -> None:
        """Tell the observer when metrics were there."""
        counting = np.flatnonzero((self.meanings.adds[series] & COUNTING) != 0)
        place = self.meanings.place[series[counting]]
        self.observer.coverage.note(place, begin_ms[counting], end_ms[counting])

    def _observer(self) -> Observer:
        coverage = Coverage(self._longest_gap_ms)
        return Observer(self.meanings, self.counters.families, self.identities, self.aliases, coverage)

    def _native(self, series: np.ndarray) -> np.ndarray:
        native: np.ndarray = (self.meanings.adds[series] & Adds.NATIVE) != 0
        return native

    def begin_anew(self, since_ms: int | None = None) -> None:
        """Forget the counters' last values: the next samples do not follow the last ones."""
        self._skipped += self.counters.ignored + self.natives.ignored
        self.counters = Counters(self.table, longest_gap_ms=self._longest_gap_ms, since_ms=since_ms)
        self.natives = NativeCounters(longest_gap_ms=self._longest_gap_ms)
        self.series_starts.clear()
        observer = self._observer()
        observer.skipped, observer.used = self.observer.skipped, self.observer.used
        self.observer = observer

    def tidy(self, now_ms: int) -> None:
        """Forget silent series when the table is nearly full."""
        if len(self.table) < _NEARLY_FULL * self.table.max_series:
            return
        kept = self.counters.seen_since(now_ms - SILENT_MS)
        self._forgetful |= {target_of_labels(self.table.labels[code]) for code in np.flatnonzero(~kept).tolist()}
        renumbered = self.table.compact(kept)
        self.meanings.clear()
        self.observer.coverage.clear()
        self.series_starts.clear()
        self.counters.renumber(renumbered)
        self.natives.renumber(renumbered)
        for forget in self.on_forget:
            forget()

    def _without_returning(self, samples: Samples) -> Samples:
        """Of a target of which a series was forgotten, one that seems to be born may be that one again."""
        if samples.watched is None:
            return samples
        watched, last = samples.watched.copy(), self.counters.last_time[samples.series]
        for row in np.flatnonzero((last == NO_TIME) & (watched != NO_TIME)).tolist():
            if target_of_labels(self.table.labels[samples.series[row]]) in self._forgetful:
                watched[row] = NO_TIME
        return replace(samples, watched=watched)

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
        ignored = self.counters.ignored + self.natives.ignored
        reasons = self._skipped + ignored + self.observer.skipped + self.table.skipped
        reasons["too_many_bounds"] += self.counters.families.refused
        return +reasons


def rows_of(tables: Sequence[pa.Table]) -> int:
    """Return how many observations tables hold."""
    return sum(table.num_rows for table in tables)
