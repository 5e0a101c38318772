"""The web server around the application. Its own refusals are problems too, and it stops without dropping an answer.

Invariant: `stop` closes a connection only after every request that reached the application is answered, unless that
takes longer than the given time.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import msgspec
from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.server import BaseWSGIServer, create_server
from waitress.task import ErrorTask

from chronotope.server.api.problems import MEDIA_TYPE, TYPE_PREFIX, Problem

_THREADS = 16
_SILENT_MS = 60_000  # a peer that takes nothing for so long is gone, also one in the middle of an answer
_LOOK_AGAIN_S = 0.02


class _Refusal(ErrorTask):  # type: ignore[misc]
    """A refusal of the web server itself: HTTP that cannot be parsed, headers or bodies beyond all limits."""

    def execute(self) -> None:
        error = self.request.error
        name = error.reason.lower().replace(" ", "-")
        path = getattr(self.request, "path", "") or "/"  # there is none when the first line was not understood
        problem = Problem(TYPE_PREFIX + name, error.reason, error.code, str(error.body), path)
        body = msgspec.json.encode(problem)
        self.status = f"{error.code} {error.reason}"
        self.response_headers.append(("Content-Type", MEDIA_TYPE))
        self.set_close_on_finish()
        self.content_length = len(body)
        self.write(body)


class _Channel(HTTPChannel):  # type: ignore[misc]
    error_task_class = _Refusal


class WebServer:
    """Serves a WSGI application on sockets that already listen."""

    def __init__(
        self, app: Callable[..., Any], sockets: Sequence[socket.socket], max_body_bytes: int, streams: int = 0
    ) -> None:
        """Make it; nothing is answered until `run`. Answers that never end hold a thread each: `streams` of them."""
        self._map: dict[int, Any] = {}
        self._server = create_server(
            app,
            map=self._map,
            sockets=list(sockets),
            threads=_THREADS + streams,
            max_request_body_size=max_body_bytes,
            channel_timeout=60,
            connection_limit=1000,
            ident="chronotope",
            asyncore_use_poll=True,  # the embedded engine keeps hundreds of files open; select ends at number 1024
        )
        self._listening = [entry for entry in self._map.values() if isinstance(entry, BaseWSGIServer)]
        for server in self._listening:
            server.channel_class = _Channel
            silent = (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _SILENT_MS)
            server.adj.socket_options = [*server.adj.socket_options, silent]

    def run(self) -> None:
        """Serve until `stop`."""
        self._server.run()

    def stop(self, timeout_s: float) -> None:
        """Stop listening, let the requests that came be answered, then close every connection.

        The sockets belong to the thread that runs: it makes the changes.
        """
        self._in_loop(lambda: [wasyncore.dispatcher.close(server) for server in self._listening])
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline and any(map(_is_busy, list(self._map.values()))):
            time.sleep(_LOOK_AGAIN_S)
        self._server.task_dispatcher.shutdown(timeout=1)
        self._in_loop(lambda: wasyncore.close_all(self._map, ignore_all=True))

    def _in_loop(self, change: Callable[[], object]) -> None:
        # Another pull may run the change, which closes the trigger, before this one is written: then it is done.
        with suppress(OSError):
            self._listening[0].trigger.pull_trigger(change)


def _is_busy(entry: object) -> bool:
    return isinstance(entry, HTTPChannel) and bool(entry.requests or entry.total_outbufs_len)
