"""Which series a Prometheus had before we began to read it: a series that returns with its old value is not new.

Invariant: a series counts from 0 only if the Prometheus had no sample of it before the time from which we know all
samples. If the Prometheus cannot say, the series does not count from 0, and is counted.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import replace

import numpy as np

from chronotope.ingest.metrics.counters.columns import NO_TIME, REFUSED, Samples, SeriesTable
from chronotope.ingest.metrics.counters.series_starts import target_of_labels
from chronotope.ingest.metrics.sources.prometheus_api import PrometheusSource
from chronotope.schema.errors import SourceError

logger = logging.getLogger(__name__)

AT_ONCE = 100  # matchers in one request
LOOK_BACK_MS = 7 * 86_400_000  # a series that was silent for longer is taken for another one

_Question = tuple[str, str, str]  # metric, job, instance


class EarlierSeries:
    """Queries a Prometheus once for each metric of a target that seems to have a new series.

    Args:
        source: the Prometheus; samples are of its table.
    """

    def __init__(self, source: PrometheusSource) -> None:
        self.skipped: Counter[str] = Counter()  # reason → series that may have been born
        self._source = source
        self._table: SeriesTable = source.table
        self.begin(0)

    def begin(self, before_ms: int) -> None:
        """Begin again: from here on, all samples from a time on are known."""
        self._before_ms = before_ms
        self._asked: set[_Question] = set()
        self._unsure: set[_Question] = set()
        self._there: set[int] = set()  # codes of series that were there before

    def without_returning(self, samples: Samples, last_time: np.ndarray, replica_label: str = "") -> Samples:
        """Return the samples. Series that were there before are not marked as new.

        Args:
            samples: with `watched`, where their target was watched.
            last_time: int64 by series code: NO_TIME where no sample of a series was read.
            replica_label: label that series of the Prometheus have beside those of the table.
        """
        if samples.watched is None or not self._before_ms:
            return samples
        known = np.full(len(self._table), NO_TIME)
        known[: len(last_time)] = last_time
        rows = np.flatnonzero((samples.watched != NO_TIME) & (known[samples.series] == NO_TIME))
        if not len(rows):
            return samples
        new = {int(code): self._question(int(code)) for code in np.unique(samples.series[rows])}
        self._ask(sorted(set(new.values()) - self._asked), replica_label)
        back = {code for code, question in new.items() if code in self._there or question in self._unsure}
        self.skipped["returned"] += len(back & self._there)
        self.skipped["birth_unknown"] += len(back - self._there)
        watched = samples.watched.copy()
        watched[rows[np.isin(samples.series[rows], list(back))]] = NO_TIME
        return replace(samples, watched=watched)

    def forget(self) -> None:
        """Forget codes: needed after the table is compacted. All queries are then made again."""
        self.begin(self._before_ms)

    def _question(self, code: int) -> _Question:
        return (self._table.names[code], *target_of_labels(self._table.labels[code]))

    def _ask(self, questions: list[_Question], replica_label: str) -> None:
        begin_ms = max(self._before_ms - LOOK_BACK_MS, 0)
        for first in range(0, len(questions), AT_ONCE):
            some = questions[first : first + AT_ONCE]
            try:
                found = self._source.series([_selector(*question) for question in some], begin_ms, self._before_ms)
            except SourceError as error:
                logger.warning("it is not known which series are new", extra={"error": str(error)})
                self._unsure.update(some)
                continue
            finally:
                self._asked.update(some)
            for name, labels in found:
                code = self._table.code(name, tuple(pair for pair in labels if pair[0] != replica_label))
                if code != REFUSED:
                    self._there.add(code)


def _selector(name: str, job: str, instance: str) -> str:
    labels = (("__name__", name), ("job", job), ("instance", instance))
    return "{" + ",".join(f"{label}={_quoted(value)}" for label, value in labels) + "}"


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
