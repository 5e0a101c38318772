"""An insert that survives a store that is full, restarting or away; and digests of tables, for its tokens.

Invariant: an insert returns when the rows are in the store, and raises only when the process stops.
"""

from __future__ import annotations

import hashlib
import logging
import threading

import pyarrow as pa

from chronotope.schema.errors import StoreError
from chronotope.schema.storage.store import Store

logger = logging.getLogger(__name__)


def table_digest(table: pa.Table, size: int) -> bytes:
    """Return a digest of a table's columns, of `size` bytes. The same table has the same digest in every process."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return hashlib.blake2b(sink.getvalue(), digest_size=size).digest()


class PatientInsert:
    """An insert that repeats until the store takes it, and gives up only when the process stops.

    A batch is half written when its second insert fails: nothing may come after it before it is whole.
    """

    def __init__(self, store: Store, stopping: threading.Event, longest_wait_s: float = 10.0) -> None:
        self._store = store
        self._stopping = stopping
        self._longest_wait_s = longest_wait_s
        self.failing = False

    def __call__(self, table: str, columns: pa.Table, token: str) -> None:
        """Insert as `Store.insert` does; raise its error only when the process stops."""
        wait_s = 0.25
        while True:
            try:
                self._store.insert(table, columns, token)
                self.failing = False
                return
            except StoreError as error:
                self.failing = True
                logger.warning("insert failed, trying again", extra={"table": table, "error": str(error)})
                if self._stopping.wait(wait_s):
                    raise
                wait_s = min(wait_s * 2, self._longest_wait_s)
