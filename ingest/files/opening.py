"""Open an input as one forward stream of decompressed bytes: plain, gzip or zstd, a path or standard input.

Invariant: no more than one block is held, whatever size a compressed file claims to have. A damaged container is
`InvalidPayload` with the file's name, never an exception of the codec.
"""

from __future__ import annotations

import gzip
import importlib
import io
import os
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias, cast

from chronotope.schema.errors import InvalidPayload, NotFound

Progress = Callable[[int, int], None]
Buffered: TypeAlias = "io.BufferedReader[_CountedFile]"

BLOCK_BYTES = 1 << 20
GZIP_MAGIC = b"\x1f\x8b"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


class _CountedFile(io.RawIOBase):
    """A file as it is on disk, which tells how far it was read."""

    def __init__(self, file: BinaryIO, total_bytes: int, on_progress: Progress) -> None:
        self._file = file
        self._total_bytes = total_bytes
        self._on_progress = on_progress
        self.done_bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        self.done_bytes += len(data)
        self._on_progress(self.done_bytes, self._total_bytes)
        return len(data)


class InputFile:
    """One opened input: its name for messages, its decompressed bytes, and its path where it can be seeked.

    `path` is set for a plain file only; formats that need random access (Parquet) say so when it is None.
    """

    def __init__(self, name: str, stream: BinaryIO, path: Path | None, on_progress: Progress) -> None:
        self.name = name
        self.path = path
        self.on_progress = on_progress
        self._stream = stream
        self._ahead = b""
        self._read_bytes = 0

    def peek(self, size: int) -> bytes:
        """Return the next `size` bytes (fewer at the end) without taking them."""
        while len(self._ahead) < size:
            more = self._take(size - len(self._ahead))
            if not more:
                break
            self._ahead += more
        return self._ahead[:size]

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes, b"" at the end."""
        if self._ahead:
            data, self._ahead = self._ahead[:size], self._ahead[size:]
            return data
        return self._take(size)

    def read_exactly(self, size: int) -> bytes:
        """Return `size` bytes; fewer only when the input ends."""
        parts: list[bytes] = []
        while size > 0:
            data = self.read(min(size, BLOCK_BYTES))
            if not data:
                break
            parts.append(data)
            size -= len(data)
        return b"".join(parts)

    def blocks(self) -> Iterator[bytes]:
        """Yield the rest of the input in blocks of at most `BLOCK_BYTES`."""
        while data := self.read(BLOCK_BYTES):
            yield data

    def invalid(self, problem: str) -> InvalidPayload:
        """Return (not raise) the error for a problem with this input."""
        return InvalidPayload(f"{self.name}: {problem}")

    def _take(self, size: int) -> bytes:
        try:
            data = self._stream.read(size)
        except (EOFError, zlib.error, OSError, ValueError) as cause:
            raise self._damaged(cause) from cause
        except Exception as cause:  # each zstd binding has an error class of its own, under Exception
            if "zst" not in f"{type(cause).__module__}{type(cause).__name__}".lower():
                raise
            raise self._damaged(cause) from cause
        self._read_bytes += len(data)
        return data

    def _damaged(self, cause: Exception) -> InvalidPayload:
        return self.invalid(f"damaged or cut short after {self._read_bytes} bytes of content ({cause})")


@contextmanager
def open_input(path: str | Path, on_progress: Progress) -> Iterator[InputFile]:
    """Open a path, or standard input for `-`; gzip and zstd are known by their first bytes.

    Args:
        path: the file; `-` is standard input.
        on_progress: called with (bytes read so far, size), both as stored on disk; the size is 0 when unknown.

    Raises:
        NotFound: no such file, or it cannot be read.
        InvalidPayload: zstd data where no zstd decoder is installed.
    """
    if str(path) == "-":
        yield _decoded("standard input", sys.stdin.buffer, 0, None, on_progress)
        return
    path = Path(path)
    try:
        if path.is_dir():
            raise NotFound(f"{path} is a directory: name the files in it")
        file = path.open("rb")
    except OSError as cause:
        raise NotFound(f"{path} cannot be read: {cause.strerror or cause}") from cause
    with file:
        yield _decoded(str(path), file, os.fstat(file.fileno()).st_size, path, on_progress)


def _decoded(name: str, file: BinaryIO, size: int, path: Path | None, on_progress: Progress) -> InputFile:
    """Choose the decompressor by the first bytes."""
    counted: Buffered = io.BufferedReader(_CountedFile(file, size, on_progress), BLOCK_BYTES)
    magic = counted.peek(4)[:4]
    if magic.startswith(GZIP_MAGIC):
        return InputFile(name, cast(BinaryIO, gzip.GzipFile(fileobj=counted)), None, on_progress)
    if magic == ZSTD_MAGIC:
        return InputFile(name, _open_zstd(name, counted), None, on_progress)
    return InputFile(name, cast(BinaryIO, counted), path, on_progress)


def _open_zstd(name: str, file: Buffered) -> BinaryIO:
    """Return a zstd reader from whichever library is there; each bounds its window at 128 MiB by itself."""
    for module in ("compression.zstd", "backports.zstd"):
        try:
            return cast(BinaryIO, importlib.import_module(module).ZstdFile(file, "rb"))
        except ModuleNotFoundError:
            continue
    try:
        zstandard = importlib.import_module("zstandard")
    except ModuleNotFoundError as cause:
        raise InvalidPayload(
            f"{name}: zstd data, and this Python has no zstd decoder: install `zstandard`, "
            "or decompress it first (`zstd -d`)"
        ) from cause
    return cast(BinaryIO, zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True))
