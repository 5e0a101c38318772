"""Files of OpenMetrics (or 0.0.4) with timestamps, as `promtool tsdb dump-openmetrics` writes them, to samples.

Invariant: memory stays flat, however long the file or a line is. Lines come in the file's order, which may be series
after series or scrape after scrape.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import BinaryIO

from chronotope.ingest.metrics.counters.columns import Samples, SeriesTable
from chronotope.ingest.metrics.formats.exposition import ExpositionParser
from chronotope.schema.errors import InvalidPayload

CHUNK_BYTES = 1 << 22


class OpenMetricsFile:
    """One file to be read once, by iteration.

    Args:
        file: the file's bytes, decompressed.
        table: where the series are interned; its `skipped` gets the reasons of lines that are not used.
        wanted: which metrics are used, by name; see `ExpositionParser`.
        openmetrics: timestamps are seconds; else (0.0.4) milliseconds.
    """

    def __init__(
        self,
        file: BinaryIO,
        table: SeriesTable,
        *,
        wanted: Callable[[str], bool] | None = None,
        openmetrics: bool = True,
        max_line_bytes: int = 65_536,
    ) -> None:
        self.parser = ExpositionParser(table, wanted=wanted, max_line_bytes=max_line_bytes)
        self.bytes_read = 0
        self._file = file
        self._openmetrics = openmetrics
        self._longest = max_line_bytes

    def __iter__(self) -> Iterator[Samples]:
        """Yield the samples in blocks of at most 65,536.

        Raises:
            InvalidPayload: there are lines, but none that such a file may have.
        """
        rest, dropping = b"", False
        while chunk := self._file.read(CHUNK_BYTES):
            self.bytes_read += len(chunk)
            if dropping:
                _, newline, chunk = chunk.partition(b"\n")
                dropping = not newline
            piece = rest + chunk
            yield from self._blocks(piece, whole=False)
            rest = piece[self.parser.consumed :]
            if len(rest) > self._longest:
                self.parser.skipped["line_too_long"] += 1
                rest, dropping = b"", True
            if self.parser.crowded:
                self.parser.forget()
        yield from self._blocks(rest, whole=True)
        if not self.parser.readable and self.parser.skipped.total():
            raise InvalidPayload(f"no line of the file is OpenMetrics: {dict(self.parser.skipped)}")

    def _blocks(self, piece: bytes, *, whole: bool) -> Iterator[Samples]:
        for block in self.parser.blocks(piece, openmetrics=self._openmetrics, whole=whole):
            if len(block):
                yield block
