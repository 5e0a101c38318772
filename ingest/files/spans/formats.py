"""Read a file of spans as batches: which importer reads which format.

Invariant: batches hold at most 200,000 rows and share the vocabulary. Memory does not grow with the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from chronotope.ingest.files.opening import InputFile, Progress, open_input
from chronotope.ingest.files.spans.jaeger import import_jaeger
from chronotope.ingest.files.spans.otlp import import_otlp
from chronotope.ingest.files.spans.span_tables import import_spans
from chronotope.ingest.files.spans.zipkin import import_zipkin
from chronotope.ingest.spans.columns import SpanBatch, Vocabulary
from chronotope.schema.errors import InvalidValue

Importer = Callable[[InputFile, Vocabulary], Iterator[SpanBatch]]

FORMATS: dict[str, Importer] = {
    "otlp": import_otlp,
    "jaeger": import_jaeger,
    "zipkin": import_zipkin,
    "spans": import_spans,
}


def no_progress(done_bytes: int, total_bytes: int) -> None:
    """Do nothing with how far an import is."""


def read_batches(
    path: str | Path, format: str, vocabulary: Vocabulary, on_progress: Progress = no_progress
) -> Iterator[SpanBatch]:
    """Yield the spans of a file.

    Args:
        path: plain, gzip or zstd; `-` is standard input.
        format: a key of `FORMATS`.
        vocabulary: where the codes of the rows come from.
        on_progress: called with (bytes read so far, size of the file); the size is 0 when unknown.

    Yields:
        Batches of at most 200,000 rows, all `RELEASED`.

    Raises:
        InvalidValue: no such format, before the file is opened.
        NotFound: no such file.
        InvalidPayload: not of that format, or damaged; what came before the damage was yielded.
    """
    importer = FORMATS.get(format)
    if importer is None:
        raise InvalidValue(f"input format {format!r}: one of {', '.join(sorted(FORMATS))} is accepted")
    return _read(path, importer, vocabulary, on_progress)


def _read(path: str | Path, importer: Importer, vocabulary: Vocabulary, on_progress: Progress) -> Iterator[SpanBatch]:
    with open_input(path, on_progress) as source:
        yield from importer(source, vocabulary)
