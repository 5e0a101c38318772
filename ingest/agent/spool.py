"""Batches that wait for the server, in a directory or in memory.

Invariant: batches leave in the order in which they came. Each has one key for ever, so a batch that is sent twice
counts once. When the limit is reached, the oldest batch is dropped and counted. A batch in the directory outlives the
process.
"""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from chronotope.schema.errors import ChronotopeError

_ENDING, _UNFINISHED = ".arrow", ".part"

logger = logging.getLogger(__name__)


class SpoolUnusable(ChronotopeError):
    """The spool's directory cannot be read or written."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One request: its route, its key, and its body or where that is."""

    route: str
    key: str
    size: int
    path: Path | None = None
    body: bytes = b""

    def read(self) -> bytes:
        """Return the body.

        Raises:
            OSError: somebody took the file away.
        """
        return self.path.read_bytes() if self.path else self.body


class Spool:
    """A queue of batches. Safe for threads: one puts, another takes."""

    def __init__(self, directory: Path | None, limit_bytes: int) -> None:
        """Load the batches that an earlier process left.

        Raises:
            SpoolUnusable: the directory cannot be made, read or written.
        """
        self._directory = directory
        self._limit = limit_bytes
        self._batches: deque[Batch] = deque()
        self._changed = threading.Condition()
        self.bytes = 0
        self.dropped_batches = 0
        self.dropped_bytes = 0
        self.write_errors = 0
        if directory:
            self._resume(directory)

    def put(self, route: str, body: bytes) -> None:
        """Add a batch. If the directory cannot be written, it waits in memory."""
        name = f"{time.time_ns():020d}-{route}-{uuid.uuid4().hex}"
        batch = Batch(route, name, len(body), self._write(name, body), body)
        if batch.path:
            batch = Batch(route, name, len(body), batch.path)
        with self._changed:
            self._batches.append(batch)
            self.bytes += batch.size
            while self.bytes > self._limit and self._batches:
                self.dropped_batches += 1
                self.dropped_bytes += self._batches[0].size
                self._forget(self._batches.popleft())
            self._changed.notify_all()

    def oldest(self, timeout_s: float = 0) -> Batch | None:
        """Return the next batch, None when none came in time. It stays until `done`."""
        with self._changed:
            self._changed.wait_for(lambda: self._batches, timeout_s)
            return self._batches[0] if self._batches else None

    def done(self, batch: Batch) -> None:
        """Forget a batch, if it is still there."""
        with self._changed:
            if self._batches and self._batches[0] is batch:
                self._forget(self._batches.popleft())

    def wake(self) -> None:
        """Wake the thread that waits in `oldest`."""
        with self._changed:
            self._changed.notify_all()

    def __len__(self) -> int:
        return len(self._batches)

    def _resume(self, directory: Path) -> None:
        try:
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            for path in directory.glob(f"*{_UNFINISHED}"):
                path.unlink()
            for path in sorted(directory.glob(f"*{_ENDING}")):
                size = path.stat().st_size
                self._batches.append(Batch(path.stem.split("-")[1], path.stem, size, path))
                self.bytes += size
            probe = directory / f"probe{_UNFINISHED}"
            probe.write_bytes(b"")
            probe.unlink()
        except (OSError, IndexError) as error:
            raise SpoolUnusable(f"--spool {directory} cannot be used: {error}") from error

    def _write(self, name: str, body: bytes) -> Path | None:
        if not self._directory:
            return None
        path, unfinished = self._directory / f"{name}{_ENDING}", self._directory / f"{name}{_UNFINISHED}"
        try:
            unfinished.write_bytes(body)
            return unfinished.rename(path)
        except OSError as error:
            self.write_errors += 1
            logger.warning("the spool cannot be written, batches wait in memory", extra={"reason": str(error)})
            unfinished.unlink(missing_ok=True)
            return None

    def _forget(self, batch: Batch) -> None:
        self.bytes -= batch.size
        if batch.path:
            batch.path.unlink(missing_ok=True)
