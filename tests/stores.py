"""Empty migrated stores for tests: migrated once, then lent to one test after the other and emptied in between.

Invariant: whoever borrows finds the tables as migrations leave them, and no rows. A store that cannot be emptied,
because a test changed a table or the ledger of migrations, is closed, and the next borrower gets a new one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from chronotope.schema.storage.migrate import migrate
from chronotope.schema.storage.store import Store

_TABLES = "SELECT name, create_table_query FROM system.tables WHERE database = currentDatabase() ORDER BY name"
_LEDGER = "SELECT version, name, checksum, applied_at FROM schema_migrations ORDER BY version"
_FILLED = """
SELECT DISTINCT table FROM system.parts WHERE database = currentDatabase() AND table != 'schema_migrations' AND active
"""


class KeptStore:
    """A store that outlives the tests that use it. It has one borrower at a time.

    An embedded engine ends with its last client, and a process has one engine: so a client of this object's own keeps
    the engine between two tests, and `end` frees the process for tests that open a store of their own.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._keeper: Store | None = None
        self._fresh: object = None
        self._is_lent = False

    @contextmanager
    def lend(self) -> Iterator[Store]:
        """Open the store for a borrower, and empty it when it comes back.

        A process has one engine: where the file's own store is open, the borrower shares it.
        """
        if self._is_lent:
            raise RuntimeError(f"{self._url} is lent already: two borrowers would see each other's rows")
        if self._keeper is None:
            keeper = Store.open(self._url)
            if not migrate(keeper):
                with keeper:
                    yield keeper
                return
            self._keeper, self._fresh = keeper, _state(keeper)
        _truncate(self._keeper)  # a thread of the last borrower may have written late
        self._is_lent = True
        try:
            with Store.open(self._url) as lent:
                yield lent
        finally:
            self._is_lent = False
            self._empty(self._keeper)

    def end(self) -> None:
        """Close the store, unless somebody has it."""
        if self._keeper is not None and not self._is_lent:
            self._keeper.close()
            self._keeper = None

    def _empty(self, keeper: Store) -> None:
        if _state(keeper) != self._fresh:
            if not keeper.location.embedded:  # an engine in memory forgets by itself
                keeper.command(f"DROP DATABASE `{keeper.location.database}`")
            self.end()
            return
        _truncate(keeper)


def _truncate(store: Store) -> None:
    for (table,) in store.rows(_FILLED):
        store.command(f"TRUNCATE TABLE `{table}`")


def _state(store: Store) -> object:
    return list(store.rows(_TABLES)), list(store.rows(_LEDGER))


EMBEDDED = KeptStore("chdb://memory")
