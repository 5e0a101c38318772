"""Opening: plain, gzip, zstd, standard input; damage and bombs."""

from __future__ import annotations

import gzip
import importlib
import io
import sys
import tracemalloc
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from chronotope.ingest.files.opening import open_input
from chronotope.ingest.files.spans.formats import read_batches
from chronotope.ingest.spans.columns import Vocabulary
from chronotope.schema.errors import InvalidPayload, InvalidValue, NotFound


def content_of(path: Path | str) -> bytes:
    with open_input(path, lambda done, total: None) as source:
        return b"".join(source.blocks())


def zstd_bytes(content: bytes) -> bytes:
    for name in ("compression.zstd", "backports.zstd", "zstandard"):
        try:
            module: Any = importlib.import_module(name)
        except ModuleNotFoundError:
            continue
        return bytes(module.compress(content))
    pytest.skip("no zstd library is installed")


def test_plain_gzip_and_zstd_give_the_same_bytes(tmp_path: Path) -> None:
    """The compression is known by the first bytes, not by the name; gzip members may follow each other."""
    content = b"spans\n" * 500_000
    versions = [content, gzip.compress(content[:999]) + gzip.compress(content[999:]), zstd_bytes(content)]
    for version in versions:
        (tmp_path / "input").write_bytes(version)
        assert content_of(tmp_path / "input") == content


def test_a_dash_is_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(gzip.compress(b"piped"))))
    assert content_of("-") == b"piped"


def test_peeked_bytes_are_read_again(tmp_path: Path) -> None:
    (tmp_path / "input").write_bytes(b"abcdef")
    with open_input(tmp_path / "input", lambda done, total: None) as source:
        assert source.peek(4) == b"abcd"
        assert source.read(2) == b"ab"
        assert source.peek(99) == b"cdef"
        assert source.read_exactly(99) == b"cdef"


def test_progress_ends_at_the_size_on_disk(tmp_path: Path) -> None:
    path = tmp_path / "input"
    path.write_bytes(gzip.compress(b'{"traceId":"1"}\n' * 100_000))
    told: list[tuple[int, int]] = []
    with open_input(path, lambda done, total: told.append((done, total))) as source:
        list(source.blocks())
    assert told[-1] == (path.stat().st_size, path.stat().st_size)
    assert told == sorted(told)


@pytest.mark.parametrize("end", [-9, 40])
def test_a_gzip_file_cut_short_is_a_named_error(tmp_path: Path, end: int) -> None:
    path = tmp_path / "cut.gz"
    path.write_bytes(gzip.compress(bytes(range(256)) * 400)[:end])
    with pytest.raises(InvalidPayload, match=r"cut\.gz: damaged or cut short"):
        content_of(path)


def test_damaged_zstd_is_a_named_error(tmp_path: Path) -> None:
    path = tmp_path / "damaged.zst"
    path.write_bytes(zstd_bytes(b"abc" * 1000)[:12] + b"\xff" * 20)
    with pytest.raises(InvalidPayload, match=r"damaged\.zst: damaged or cut short"):
        content_of(path)


def test_without_a_zstd_library_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(name: str) -> ModuleType:
        raise ModuleNotFoundError(name)

    (tmp_path / "input.zst").write_bytes(zstd_bytes(b"abc"))
    monkeypatch.setattr(importlib, "import_module", none)
    with pytest.raises(InvalidPayload, match="install `zstandard`"):
        content_of(tmp_path / "input.zst")


def test_what_is_no_file_is_said_to_be_so(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="is a directory"):
        content_of(tmp_path)
    with pytest.raises(NotFound, match="No such file"):
        content_of(tmp_path / "absent")


def test_an_unknown_format_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="jaeger, otlp, spans, zipkin"):
        read_batches(tmp_path / "absent", "jager", Vocabulary())


@pytest.mark.slow
@pytest.mark.parametrize("input_format", ["otlp", "jaeger", "zipkin", "spans"])
@pytest.mark.parametrize("filling", [b"\n", b" ", b"[1],"])
def test_a_gzip_bomb_is_read_in_flat_memory(tmp_path: Path, input_format: str, filling: bytes) -> None:
    """What no importer can use: white space, or elements by the hundred thousand."""
    size = 100_000 if filling == b"[1]," else 24_000_000
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(b"[" + filling * (size // len(filling)), 6))
    tracemalloc.start()
    try:
        with pytest.raises(InvalidPayload):
            for _ in read_batches(path, input_format, Vocabulary()):
                pass
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < (100 << 20 if filling == b" " else 64 << 20)
