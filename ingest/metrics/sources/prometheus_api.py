"""Read the history and the present of counters from Prometheus, in chunks of time.

Invariant: chunks come in order of time and cover [begin, end) without overlap. Each holds every sample of all selectors
in its time, so counters, and pairs of replicas, see them in order. A chunk that fails fails all: the reader stores the
last chunk's end (and the counters' state), and goes on from there.

By default the stored samples themselves are read (a range selector, `metric[1h]`): exact times, every reset, no
repetition of stale values. With `step_ms` the server evaluates at steps instead (`query_range`, at most 11,000 points a
series): gentler where samples are dense, and for expressions that are no selectors. Resets between steps go unseen
then, which makes counts too low, never too high.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import msgspec

from chronotope.ingest.metrics.counters.columns import Labels, Samples, SeriesTable, join_samples, sorted_labels
from chronotope.ingest.metrics.formats.prometheus_json import parse_query_answer
from chronotope.ingest.metrics.sources.prometheus_http import PrometheusHttp, TooMuch
from chronotope.schema.errors import InvalidPayload, InvalidValue, SourceError

MAX_POINTS = 11_000
SHORTEST_MS = 1_000  # a chunk is not divided further than that


@dataclass(frozen=True, slots=True)
class Chunk:
    """All samples of the selectors with begin_ms <= time < end_ms."""

    begin_ms: int
    end_ms: int
    samples: Samples


class PrometheusSource:
    """Reads selectors from one Prometheus.

    Args:
        http: the server.
        table: where the series are interned.
        concurrency: requests under way at once.
        more_labels: labels that all series get.
    """

    def __init__(
        self,
        http: PrometheusHttp,
        table: SeriesTable,
        *,
        concurrency: int = 2,
        more_labels: Mapping[str, str] | None = None,
    ) -> None:
        self.http = http
        self.table = table
        self.divided = 0  # requests that had to be made for less at once
        self._concurrency = concurrency
        self._more_labels = more_labels

    def read(
        self,
        selectors: Sequence[str],
        begin_ms: int,
        end_ms: int,
        *,
        chunk_ms: int = 3_600_000,
        step_ms: int | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> Iterator[Chunk]:
        """Yield chunks of [begin_ms, end_ms), oldest first; not more than `concurrency` answers wait in memory.

        Args:
            selectors: `istio_requests_total{reporter="source"}`; together they make each chunk. Several narrow ones
                are gentler than one wide one.
            chunk_ms: how much time one request asks for. What is too much for the server is divided.
            step_ms: evaluate at steps, of which a chunk has at most 11,000; None: the stored samples.
            on_progress: called with (requests done, requests in all).

        Raises:
            SourceError: the server cannot be read or refuses; all chunks before were complete.
        """
        if step_ms is not None:
            if step_ms <= 0:
                raise InvalidValue(f"a step of {step_ms} ms is impossible; write at least 1")
            chunk_ms = max(min(chunk_ms, MAX_POINTS * step_ms) // step_ms, 1) * step_ms
        begins = range(begin_ms, end_ms, max(chunk_ms, SHORTEST_MS if step_ms is None else 1))
        total, done = len(begins) * len(selectors), 0
        questions = ((begin, selector) for begin in begins for selector in selectors)
        executor = ThreadPoolExecutor(self._concurrency, thread_name_prefix="prometheus")
        waiting: deque[tuple[int, Future[list[bytes]]]] = deque()
        parts: list[Samples] = []
        try:
            while True:
                while len(waiting) < self._concurrency and (question := next(questions, None)) is not None:
                    begin, selector = question
                    end = min(begin + begins.step, end_ms)
                    waiting.append((begin, executor.submit(self._fetch, selector, begin, end, step_ms)))
                if not waiting:
                    return
                begin, future = waiting.popleft()
                end = min(begin + begins.step, end_ms)
                parts += [self._parse(body, begin, end) for body in future.result()]
                done += 1
                if on_progress is not None:
                    on_progress(done, total)
                if done % len(selectors) == 0:
                    yield Chunk(begin, end, join_samples(parts))
                    parts = []
        finally:
            executor.shutdown(wait=False, cancel_futures=True)

    def types(self) -> int:
        """Declare the types of all metrics that the server knows of in the table; return how many there are."""
        try:
            answer = msgspec.json.decode(self.http.get("metadata"), type=_Metadata)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise SourceError(f"{self.http.url} does not answer as Prometheus does: {error}") from error
        for family, kinds in answer.data.items():
            if kinds:
                self.table.declare(family, kinds[0].type)
        return len(answer.data)

    def metric_names(self, begin_ms: int, end_ms: int) -> list[str]:
        """Return the names of all metrics that have samples in a time."""
        window = {"start": _seconds(begin_ms), "end": _seconds(end_ms)}
        try:
            return msgspec.json.decode(self.http.get("label/__name__/values", window), type=_Names).data
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise SourceError(f"{self.http.url} does not answer as Prometheus does: {error}") from error

    def series(self, selectors: Sequence[str], begin_ms: int, end_ms: int) -> list[tuple[str, Labels]]:
        """Return name and labels of all series of some selectors that have a sample in a time, as the table has them.

        Raises:
            SourceError: the server cannot be read or refuses.
        """
        form: dict[str, str | list[str]] = {"match[]": list(selectors)}
        form |= {"start": _seconds(begin_ms), "end": _seconds(end_ms - 1)}
        try:
            found = msgspec.json.decode(self.http.post("series", form), type=_SeriesAnswer).data
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise SourceError(f"{self.http.url} does not answer as Prometheus does: {error}") from error
        return [(labels.get("__name__", ""), sorted_labels(labels, self._more_labels)) for labels in found]

    def _fetch(self, selector: str, begin_ms: int, end_ms: int, step_ms: int | None) -> list[bytes]:
        """Return the answers for one selector and time, in order: one, or several when one would be too much."""
        try:
            if step_ms is None:
                # A range ends at its time and has no beginning (Prometheus 3), or has one (2).
                form = {"query": f"{selector}[{end_ms - begin_ms}ms]", "time": _seconds(end_ms - 1)}
                return [self.http.post("query", form)]
            form = {"query": selector, "start": _seconds(begin_ms), "end": _seconds(end_ms - 1)}
            return [self.http.post("query_range", {**form, "step": _seconds(step_ms)})]
        except TooMuch:
            if end_ms - begin_ms < 2 * max(SHORTEST_MS, step_ms or 0):
                raise
            self.divided += 1
            half = (end_ms - begin_ms) // 2
            middle = begin_ms + (half // step_ms * step_ms if step_ms else half)
            earlier = self._fetch(selector, begin_ms, middle, step_ms)
            return earlier + self._fetch(selector, middle, end_ms, step_ms)

    def _parse(self, body: bytes, begin_ms: int, end_ms: int) -> Samples:
        try:
            samples = parse_query_answer(body, self.table, more_labels=self._more_labels)
        except InvalidPayload as error:
            raise SourceError(f"{self.http.url}: {error}") from error
        return samples.between(begin_ms, end_ms)


class _Kind(msgspec.Struct):
    type: str = "unknown"


class _Metadata(msgspec.Struct):
    data: dict[str, list[_Kind]] = {}


class _SeriesAnswer(msgspec.Struct):
    data: list[dict[str, str]] = []


class _Names(msgspec.Struct):
    data: list[str] = []


def _seconds(time_ms: int) -> str:
    return f"{time_ms // 1000}.{time_ms % 1000:03d}"
