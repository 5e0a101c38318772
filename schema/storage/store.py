"""The store: one facade over clickhouse-connect for the embedded engine and for a server.

Invariant: an insert that returned is durable; one repeated with the same token counts once in every table behind it.
Each thread has a client of its own: calls on one embedded handle wait for each other. Queries that are asked together
run on a few threads of the store beside the caller's; they and their clients end with the store.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any

import clickhouse_connect
import pyarrow as pa
from clickhouse_connect.driver.binding import quote_identifier
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, DatabaseError

from chronotope.schema.errors import StoreClosed, StoreError
from chronotope.schema.storage.location import Location, allow_open_files, check_path, parse_store_url
from chronotope.schema.storage.workers import Beside

Asked = tuple[str, Mapping[str, Any]]  # a query and its parameters

_UNKNOWN_DATABASE = 81
_BESIDE = 3  # threads for queries that are asked together; a graph needs four answers
# Set once a client: with settings of its own, each query of the embedded engine takes several calls instead of one.
_SETTINGS: dict[str, Any] = {
    "output_format_arrow_low_cardinality_as_dictionary": 1,
    "output_format_arrow_string_as_string": 1,
    "async_insert": 0,  # a newer server gathers inserts by default: one insert would no longer be one block
    "deduplicate_blocks_in_dependent_materialized_views": 1,
    "optimize_on_insert": 0,  # merges add up; sorting out doubles at insert costs a third of the throughput
    "max_partitions_per_insert_block": 0,  # an import may span decades
    "min_insert_block_size_rows": 4_000_000,  # one insert is one block is one part: it lands whole or not at all
    "min_insert_block_size_bytes": 2_000_000_000,
    "max_insert_block_size": 4_000_000,
}
# In one process nothing is saved by compressing answers: half a million rows take 46 ms with it, 35 without.
_EMBEDDED_SETTINGS = {**_SETTINGS, "output_format_arrow_compression_method": "none"}


class Store:
    """An open store. Use `Store.open`; `close` when done, or use it as a context manager."""

    def __init__(self, location: Location) -> None:
        self.location = location
        self._local = threading.local()
        self._clients: list[Client] = []
        self._lock = threading.Lock()
        self._closed = False
        self._beside = Beside(_BESIDE, "store")

    @classmethod
    def open(cls, url: str) -> Store:
        """Open the store at an address and see that it answers.

        Raises:
            InvalidStoreUrl, StoreInUse, StoreError: with the remedy in the message.
        """
        location = parse_store_url(url)
        if location.embedded:
            allow_open_files()
            check_path(location)
        store = cls(location)
        store.command("SELECT 1")
        return store

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close every thread's client. An embedded engine ends with its last one."""
        with self._lock:
            if not self._closed:
                self._beside.close()
            self._closed = True
            clients, self._clients = self._clients, []
        for client in clients:
            client.close()
        self._local = threading.local()

    def command(self, sql: str, parameters: Mapping[str, Any] | None = None) -> object:
        """Run a statement that returns nothing, or one value."""
        return self._call("command", sql, parameters=dict(parameters or {}))

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None, **settings: object) -> pa.Table:
        """Return a query's answer as Arrow columns; low-cardinality strings come dictionary-encoded.

        Values go in as server-side parameters, `{name:Type}` in the SQL, never by formatting.
        """
        more = {"settings": settings} if settings else {}
        answer: pa.Table = self._call("query_arrow", sql, parameters=dict(parameters or {}), **more)
        return answer

    def query_together(self, *asked: Asked) -> list[pa.Table]:
        """Return the answers of queries that need nothing of each other, in their order; put the longest first.

        The caller's thread takes part: it runs the first, and then each that no other thread has begun. So no caller
        waits for a free thread, however many there are.

        Raises:
            StoreError: of the first query that failed; what still runs is not waited for.
        """
        waiting = [self._submit(one) for one in asked[1:]]
        try:
            answers = [self.query(*one) for one in asked[:1]]
            for one, future in zip(asked[1:], waiting, strict=True):
                answers.append(self.query(*one) if future.cancel() else future.result())
            return answers
        finally:
            for future in waiting:
                future.cancel()

    def rows(self, sql: str, parameters: Mapping[str, Any] | None = None) -> Sequence[Sequence[Any]]:
        """Return a small answer as Python rows."""
        rows: Sequence[Sequence[Any]] = self._call("query", sql, parameters=dict(parameters or {})).result_rows
        return rows

    def insert(self, table: str, columns: pa.Table, token: str = "") -> None:
        """Insert columns as one block. With a token, repeating it inserts nothing twice; without, each call counts.

        Raises:
            StoreError: refused or not reachable; it is then not known whether the rows are in: repeat with the token.
        """
        if columns.num_rows == 0:
            return
        # Without any token the engine would take equal rows, inserted again on purpose, for a repetition and drop them.
        settings = {"insert_deduplication_token": token or uuid.uuid4().hex}
        self._call("insert_arrow", table, columns.combine_chunks(), settings=settings)

    def _submit(self, asked: Asked) -> Future[pa.Table]:
        with self._lock:  # what is closed takes nothing
            self._check_open()
            return self._beside.submit(partial(self.query, *asked))

    def _call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        try:
            return getattr(self._client(), method)(*args, **kwargs)
        except ClickHouseError as error:
            self._check_open()
            raise StoreError(f"store {self.location.shown}: {first_line(error)}") from error
        except OSError as error:
            raise StoreError(f"store {self.location.shown} cannot be reached: {error}") from error

    def _client(self) -> Client:
        client: Client | None = getattr(self._local, "client", None)
        if client is None:
            self._check_open()
            client = connect(self.location)
            self._local.client = client
            with self._lock:
                self._clients.append(client)
            if self._closed:  # while it connected: nobody else would close this one
                client.close()
                self._check_open()
        return client

    def _check_open(self) -> None:
        if self._closed:
            raise StoreClosed(f"store {self.location.shown} is closed")


def connect(location: Location) -> Client:
    """Make one client for a location; a server's database is created when it is missing."""
    if location.embedded:
        return clickhouse_connect.get_client(interface="chdb", path=location.path, settings=_EMBEDDED_SETTINGS)
    options = dict(location.options)
    common: dict[str, Any] = {
        "host": location.host,
        "port": location.port,
        "username": location.user,
        "password": location.password,
        "secure": location.secure,
        "autogenerate_session_id": False,
        "connect_timeout": int(options.pop("connect_timeout", "10")),
        "send_receive_timeout": int(options.pop("send_receive_timeout", "300")),
        "settings": _SETTINGS,
        **options,
    }
    try:
        return clickhouse_connect.get_client(database=location.database, **common)
    except DatabaseError as error:
        if error.code != _UNKNOWN_DATABASE:
            raise
    on_cluster = f" ON CLUSTER {quote_identifier(location.cluster)}" if location.cluster else ""
    with clickhouse_connect.get_client(**common) as client:
        client.command(f"CREATE DATABASE IF NOT EXISTS {quote_identifier(location.database)}{on_cluster}")
    return clickhouse_connect.get_client(database=location.database, **common)


def first_line(error: Exception) -> str:
    """The part of the engine's message that a person can use: no stack, no SQL."""
    text = str(error).strip().split("\n")[0].split(", server response: ")[-1]
    for mark in (" (for url ", " In scope ", ": While executing", ": (in query", "Stack trace", ". (in query"):
        text = text.split(mark)[0]
    return text[:500] or type(error).__name__


def wait_until_answers(store: Store, timeout_s: float) -> None:
    """Wait for a server that is starting; raise the last StoreError when it does not answer in time."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            store.command("SELECT 1")
            return
        except StoreError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
