"""Exposition text (Prometheus 0.0.4, OpenMetrics 1.0) to samples.

Invariant: each line gives a sample, describes a family, or is counted in `skipped` by its reason. A body of which
nothing can be read is `InvalidPayload`. The memory of a parser is bounded by `max_series` texts.

A line that is cut off at the end of the body is no sample, unless the body is known to be complete: half a number would
look like a counter that was reset.
Exemplars, units and help texts are not read. Protobuf expositions are not read either: prometheus_client has no parser
for them, and every server that offers them offers text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

import numpy as np

from chronotope.ingest.metrics.counters.columns import (
    NO_TIME,
    REFUSED,
    Samples,
    SeriesTable,
    join_samples,
    sorted_labels,
)
from chronotope.ingest.metrics.formats.line_scan import (
    EOF,
    GOOD_COMMENTS,
    NEEDED,
    NO_ROOM,
    POSITION,
    REASONS,
    ROWS,
    SLOW_VALUES,
    scan_lines,
)
from chronotope.ingest.metrics.formats.series_text import REFUSALS, Refused, parse_series, parse_type
from chronotope.ingest.metrics.formats.text_cache import TextCache
from chronotope.schema.errors import InvalidPayload

TEXT_TYPE = "text/plain"
OPENMETRICS_TYPE = "application/openmetrics-text"
BLOCK_ROWS = 65_536

_COMMENT = -100
_IGNORED = -1 - REFUSALS.index("ignored")
_CREATED_OF = ("", "_total", "_count", "_bucket", "_sum")


def is_openmetrics(content_type: str) -> bool:
    """Whether a Content-Type header says OpenMetrics."""
    return content_type.partition(";")[0].strip().lower() == OPENMETRICS_TYPE


class ExpositionParser:
    """Parses one target's expositions. It remembers the series texts that it saw.

    Args:
        table: where series are interned; several parsers may share one.
        target_labels: labels that all series of this target get, such as `job` and `instance`.
        wanted: says by its name whether a metric is used; the others are counted in `ignored` and take no memory in
            the table. A counter's `_created` series is wanted with it.
        max_series: texts (series and `# TYPE` lines) remembered, and so distinct ones read of one body.
        max_labels: labels a series may have.
        max_line_bytes: bytes a line may have.
    """

    def __init__(
        self,
        table: SeriesTable,
        *,
        target_labels: Mapping[str, str] | None = None,
        wanted: Callable[[str], bool] | None = None,
        max_series: int = 200_000,
        max_labels: int = 128,
        max_line_bytes: int = 65_536,
    ) -> None:
        self.table = table
        self.skipped: Counter[str] = Counter()  # reason → number of lines
        self.ignored = 0  # samples of metrics that nobody wants
        self.readable = 0  # lines that an exposition may have; `parse` begins anew
        self.consumed = 0  # bytes that the last `blocks` has read
        self.ended = False  # OpenMetrics' `# EOF` was read
        self.watched_ms = NO_TIME  # time of the last body of which all was read
        self._target_labels = dict(target_labels or {})
        self._wanted = wanted
        self._max_labels = max_labels
        self._longest = np.uint64(max_line_bytes)
        self._cache = TextCache(max_series)
        self._codes = np.empty(0, np.int32)

    def parse(self, body: bytes, time_ms: int, *, openmetrics: bool = False, complete: bool = False) -> Samples:
        """Return all samples of a body.

        Args:
            body: the whole exposition, decompressed.
            time_ms: the time of samples that have no timestamp: when the scrape began, Unix milliseconds.
            openmetrics: timestamps are seconds, exemplars may follow, `# EOF` ends all.
            complete: the transport vouches that nothing is missing at the end; else a last line without its newline
                is refused (`cut_line`).

        Returns:
            Samples in the order of their lines; a series that comes twice is twice in them. A series that is new in
            them was born after the last complete body of which every line was read: that is what `watched` says.

        Raises:
            InvalidPayload: there are lines, but none that an exposition may have.
        """
        before = self.skipped.copy()
        self.readable, self.ended = 0, False
        samples = join_samples(list(self.blocks(body, time_ms, openmetrics=openmetrics, complete=complete)))
        wrong = self.skipped - before
        if not self.readable and wrong.total():
            raise InvalidPayload(f"not an exposition: none of {wrong.total()} lines can be read ({_most(wrong)})")
        self._tidy(len(samples))
        samples = replace(samples, watched=np.full(len(samples), self.watched_ms))
        if complete and not wrong.total() and (self.ended or not openmetrics):
            self.watched_ms = max(self.watched_ms, time_ms)
        return samples

    def blocks(
        self,
        body: bytes | bytearray | memoryview,
        time_ms: int = NO_TIME,
        *,
        openmetrics: bool,
        whole: bool = True,
        complete: bool = False,
    ) -> Iterator[Samples]:
        """Yield the samples of a body in blocks of at most 65,536; see `parse`.

        Args:
            body: the exposition or, when not `whole`, a piece of it that begins with a line. A line at its end
                without its newline is then not read, and `consumed` says where it begins.
            time_ms: NO_TIME, the default, refuses lines without a timestamp as `no_timestamp`.
        """
        buffer = np.frombuffer(body, np.uint8)
        entries, times = np.empty(BLOCK_ROWS, np.int32), np.empty(BLOCK_ROWS, np.int64)
        values, slow = np.empty(BLOCK_ROWS), np.empty((BLOCK_ROWS, 3), np.int64)
        bad, state = np.zeros(len(REASONS), np.int64), np.zeros(7, np.int64)
        state[EOF], self.consumed = self.ended, 0
        while True:
            self._scan(buffer, time_ms, (openmetrics, whole, complete), entries, times, values, slow, bad, state)
            self._learn()
            rows = int(state[ROWS])
            self.readable += rows + int(state[GOOD_COMMENTS])
            _read_slow(body, values, slow[: state[SLOW_VALUES]])
            self.consumed, self.ended = int(state[POSITION]), bool(state[EOF])
            yield self._samples(entries[:rows], times[:rows], values[:rows])
            if rows < BLOCK_ROWS:
                break
            state[[ROWS, SLOW_VALUES, GOOD_COMMENTS]] = 0
        for reason, count in zip(REASONS, bad.tolist(), strict=True):
            if count:
                self.skipped[reason] += count

    @property
    def crowded(self) -> bool:
        """Whether the memory of texts is nearly full."""
        return self._cache.entries > self._cache.max_entries // 2

    def forget(self) -> None:
        """Forget all texts: needed after the table is compacted."""
        self._cache.clear()
        self._codes = np.empty(0, np.int32)

    def _scan(self, buffer: np.ndarray, time_ms: int, how: tuple[bool, bool, bool], *columns: np.ndarray) -> None:
        """Fill one block, and make room in the cache as often as it is full."""
        openmetrics, whole, complete = how
        state, cache, end = columns[-1], self._cache, np.uint64(len(buffer))
        state[NEEDED] = 0
        while True:
            texts = (cache.fill, cache.slots, cache.hashes, cache.starts, cache.sizes, cache.arena, cache.seed)
            scan_lines(buffer, end, time_ms, openmetrics, whole, complete, self._longest, *texts, *columns)
            if not state[NO_ROOM]:
                return
            if not cache.make_room(int(state[NEEDED])):
                state[NEEDED] = -1

    def _learn(self) -> None:
        """Find the codes of the texts that are new."""
        known, entries = len(self._codes), self._cache.entries
        if entries > known:
            codes = [self._code(self._cache.text(entry)) for entry in range(known, entries)]
            self._codes = np.concatenate([self._codes, np.array(codes, np.int32)])

    def _code(self, text: bytes) -> int:
        if text.startswith(b"#"):
            declared = parse_type(text)
            if declared is not None:
                self.table.declare(*declared)
            return _COMMENT
        try:
            name, labels = parse_series(text, self._max_labels)
        except Refused as refusal:
            return -1 - REFUSALS.index(str(refusal))
        if self._wanted is not None and not self._is_wanted(name):
            return _IGNORED
        code = self.table.code(name, sorted_labels(labels, self._target_labels))
        return -1 - REFUSALS.index("series_limit") if code == REFUSED else code

    def _is_wanted(self, name: str) -> bool:
        assert self._wanted is not None
        if self._wanted(name):
            return True
        family = name.removesuffix("_created")
        return family != name and any(self._wanted(family + suffix) for suffix in _CREATED_OF)

    def _samples(self, entries: np.ndarray, times: np.ndarray, values: np.ndarray) -> Samples:
        """Return the rows that have a code and a time; count the others."""
        codes = self._codes[entries] if len(entries) else np.empty(0, np.int32)
        timeless = times == NO_TIME
        chosen = (codes >= 0) & ~timeless
        if not chosen.all():
            refused, count = np.unique(codes[codes < 0], return_counts=True)
            for code, lines in zip(refused.tolist(), count.tolist(), strict=True):
                if code == _IGNORED:
                    self.ignored += lines
                else:
                    self.skipped[REFUSALS[-1 - code]] += lines
                    self.readable -= lines
            if without := int((timeless & (codes >= 0)).sum()):
                self.skipped["no_timestamp"] += without
        return Samples(codes[chosen], times[chosen], values[chosen])

    def _tidy(self, used: int) -> None:
        """Forget all texts when most of them did not come again: series come and go for months."""
        if self._cache.entries > 4 * (used + 1024):
            self.forget()


def _read_slow(body: bytes | bytearray | memoryview, values: np.ndarray, slow: np.ndarray) -> None:
    """Fill in the values that only `float` reads exactly. The scan has checked that they are numbers."""
    for row, begin, end in slow.tolist():
        values[row] = float(bytes(body[begin:end]))


def _most(reasons: Counter[str]) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in reasons.most_common(3))
