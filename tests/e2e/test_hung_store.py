"""A ClickHouse that accepts connections and never answers keeps no command from its end."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from chronotope.schema.storage.migrate import migrate
from chronotope.schema.storage.store import Store
from tests.conftest import ClickHouseHttp
from tests.e2e.process import ChronotopeProcess

pytestmark = pytest.mark.slow


class Half:
    """A way to a server on which the first connection gets through, and any later one gets no answer."""

    def __init__(self, server_port: int) -> None:
        self._server_port = server_port
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = [self._listening]
        self.port: int = self._listening.getsockname()[1]
        self.silent = threading.Semaphore(0)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """End all connections."""
        for one in self._open:
            with suppress(OSError):  # it is over already
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _accept(self) -> None:
        first, _ = self._listening.accept()
        server = socket.create_connection(("127.0.0.1", self._server_port))
        self._open += [first, server]
        for ends in ((first, server), (server, first)):
            threading.Thread(target=_pass, args=ends, daemon=True).start()
        while True:
            try:
                self._open.append(self._listening.accept()[0])
            except OSError:
                return
            self.silent.release()


def _pass(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65_536):
            target.sendall(data)
    except OSError:
        return


@contextmanager
def half_way(server_port: int) -> Iterator[Half]:
    own = Half(server_port)
    try:
        yield own
    finally:
        own.close()


def test_ctrl_c_ends_a_command_whose_queries_hang(clickhouse_http: ClickHouseHttp, clickhouse_url: str) -> None:
    """Its own thread is answered; those that ask beside it are not."""
    with Store.open(clickhouse_url) as store:
        migrate(store)
    with half_way(clickhouse_http.port) as way:
        url = clickhouse_url.replace(f":{clickhouse_http.port}/", f":{way.port}/")
        with ChronotopeProcess("graph", "--store", url, "--at", "now") as command:
            assert way.silent.acquire(timeout=120)
            assert command.stop() == 1
            assert "Traceback" not in command.log
