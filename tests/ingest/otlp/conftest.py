"""Recorded requests and a decoder."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
import zstandard

from chronotope.ingest.otlp.decode import OtlpDecoder
from chronotope.ingest.spans.columns import Vocabulary


@pytest.fixture(scope="session")
def recorded_requests() -> list[bytes]:
    """Every request of the live capture; skips where the shared data is not at hand."""
    path = Path(__file__).parents[4] / "shared" / "data" / "live_capture" / "otlp_traces.jsonl.zst"
    if not path.exists():
        pytest.skip("the shared data folder is not beside the repository")
    return [base64.b64decode(orjson.loads(line)["body_b64"]) for line in _lines(path)]


def _lines(path: Path) -> Iterator[str]:
    with path.open("rb") as packed:
        yield from io.TextIOWrapper(zstandard.ZstdDecompressor().stream_reader(packed))


@pytest.fixture
def vocabulary() -> Vocabulary:
    return Vocabulary()


@pytest.fixture
def decoder(vocabulary: Vocabulary) -> OtlpDecoder:
    return OtlpDecoder(vocabulary)
