"""Reading bytes or a file by an importer, all at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from chronotope.ingest.files.spans.formats import read_batches
from chronotope.ingest.spans.columns import SpanBatch, Vocabulary, join_batches


class Imported(NamedTuple):
    batch: SpanBatch
    vocabulary: Vocabulary

    @property
    def rows(self) -> Any:
        return self.batch.rows

    @property
    def skipped(self) -> dict[str, int]:
        return dict(self.batch.skipped)

    def services(self) -> list[str]:
        return [self.vocabulary.nodes[code].id for code in self.rows["service"].tolist()]

    def hint(self, row: int) -> Any:
        code = int(self.rows["peer"][row])
        return self.vocabulary.hints[code] if code >= 0 else None

    def protocol(self, row: int) -> str:
        return self.vocabulary.protocols[int(self.rows["protocol"][row])]


Import = Callable[[bytes | Path, str], Imported]


def import_path(path: Path, input_format: str) -> Imported:
    vocabulary = Vocabulary()
    return Imported(join_batches(list(read_batches(path, input_format, vocabulary))), vocabulary)


@pytest.fixture
def imported(tmp_path: Path) -> Import:
    """Import bytes, or a file, in a format."""

    def read(content: bytes | Path, input_format: str) -> Imported:
        path = content if isinstance(content, Path) else tmp_path / "input"
        if isinstance(content, bytes):
            path.write_bytes(content)
        return import_path(path, input_format)

    return read
