"""OpenMetrics files: streamed, whatever their order, with memory flat."""

from __future__ import annotations

import io
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from chronotope.ingest.metrics.counters.columns import Increases, SeriesTable, join_samples
from chronotope.ingest.metrics.counters.increases import Counters
from chronotope.ingest.metrics.formats import openmetrics
from chronotope.ingest.metrics.formats.openmetrics import OpenMetricsFile
from chronotope.schema.errors import InvalidPayload


class Repeated(io.RawIOBase):
    """A file that is one text many times over, without being in memory."""

    def __init__(self, text: bytes, times: int) -> None:
        self.text, self.left = text, len(text) * times

    def read(self, size: int = -1) -> bytes:
        size = min(size, self.left)
        start = (-self.left) % len(self.text)
        self.left -= size
        return (self.text * (size // len(self.text) + 2))[start : start + size]


def test_a_file_is_read_as_one_body_would_be(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "# TYPE a counter\n" + "".join(f'a_total{{i="{i % 5}"}} {i} {i}.5\n' for i in range(400)) + "# EOF\n"
    whole = join_samples(list(OpenMetricsFile(io.BytesIO(text.encode()), SeriesTable())))
    for size in (1, 7, 100):
        monkeypatch.setattr(openmetrics, "CHUNK_BYTES", size)
        table = SeriesTable()
        samples = join_samples(list(OpenMetricsFile(io.BytesIO(text.encode()), table)))
        assert np.array_equal(samples.value, whole.value)
        assert np.array_equal(samples.time_ms, np.arange(400) * 1000 + 500)
        assert np.array_equal(samples.series, whole.series)
        assert table.types == {"a": "counter"}


def test_a_line_longer_than_a_chunk_is_skipped_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openmetrics, "CHUNK_BYTES", 1000)
    body = b"a 1 1\n" + b"x" * 500_000 + b" 1 1\nb 2 2\n# EOF\n"
    file = OpenMetricsFile(io.BytesIO(body), SeriesTable(), max_line_bytes=2000)
    assert join_samples(list(file)).value.tolist() == [1.0, 2.0]
    assert file.parser.skipped == {"line_too_long": 1}
    assert file.bytes_read == len(body)


def test_lines_without_a_time_and_a_cut_line_are_counted() -> None:
    file = OpenMetricsFile(io.BytesIO(b"a 1\na 2 5\na 3 6"), SeriesTable())
    assert join_samples(list(file)).value.tolist() == [2.0]
    assert file.parser.skipped == {"no_timestamp": 1, "cut_line": 1}


def test_what_follows_the_end_is_refused_in_every_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openmetrics, "CHUNK_BYTES", 8)
    file = OpenMetricsFile(io.BytesIO(b"a 1 1\n# EOF\nb 2 2\nc 3 3\n"), SeriesTable())
    assert len(join_samples(list(file))) == 1
    assert file.parser.skipped == {"after_eof": 2}


def test_a_file_of_something_else_is_refused() -> None:
    with pytest.raises(InvalidPayload, match="no line of the file is OpenMetrics"):
        list(OpenMetricsFile(io.BytesIO(b"\x1f\x8b\x08garbage\n" * 10), SeriesTable()))


def test_memory_stays_flat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openmetrics, "CHUNK_BYTES", 1 << 16)
    text = "".join(f'a_total{{i="{i}"}} 1 1\n' for i in range(100)).encode()
    peaks = []
    for times in (200, 2000):
        tracemalloc.start()
        count = sum(len(block) for block in OpenMetricsFile(Repeated(text, times), SeriesTable()))  # type: ignore[arg-type]
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert count == 100 * times
    assert peaks[1] < 1.2 * peaks[0]


def test_more_series_than_a_parser_remembers_are_all_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openmetrics, "CHUNK_BYTES", 1 << 16)
    body = "".join(f'a{{i="{i}"}} 1 1\n' for i in range(250_000)).encode()
    table = SeriesTable()
    assert len(join_samples(list(OpenMetricsFile(io.BytesIO(body), table)))) == 250_000
    assert len(table) == 250_000


def test_a_file_of_ten_minutes_between_samples_gives_kialis_rates(shared_data: Path) -> None:
    """Kiali's own fixture: the increase over its window is the rate it shows, with a gap limit that allows it."""
    table = SeriesTable()
    counters = Counters(table, longest_gap_ms=3_600_000)
    with (shared_data / "kiali_golden" / "openmetrics_TestWorkloadNodeGraph.txt").open("rb") as file:
        parts = [counters.add(block) for block in OpenMetricsFile(file, table)]
    rates = rates_of(table, parts)
    assert rates["source", "productpage-v1", "reviews-v2", "200"] == pytest.approx(20.0)
    assert rates["destination", "unknown", "productpage-v1", "200"] == pytest.approx(50.0)
    assert rates["source", "productpage-v1", "unknown", "404"] == pytest.approx(4.0)
    assert not counters.ignored


def rates_of(table: SeriesTable, parts: list[Increases]) -> dict[tuple[str, ...], float]:
    """Return calls a second by reporter, workloads and code."""
    rates: dict[tuple[str, ...], float] = {}
    keys = ("reporter", "source_workload", "destination_workload", "response_code")
    for part in parts:
        for code, increase, begin, end in zip(
            *(column.tolist() for column in (part.series, part.increase, part.begin_ms, part.end_ms)), strict=True
        ):
            if table.names[code] == "istio_requests_total":
                key = tuple(table.labels[code].get(label, "") for label in keys)
                rates[key] = rates.get(key, 0.0) + increase * 1000 / (end - begin)
    return rates
