"""The stream of changes: after each closed bucket, what is new, gone and busy in the graph, and new events.

Invariant: a message's id says up to where a client knows everything; nothing else is kept of a client. So a client may
come back to this server, to one that started again, or to another one, and goes on from there. Events are sent at least
once: those of a minute before the id may come again, with the same id of their own.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec
import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge

from chronotope.schema.errors import Busy
from chronotope.schema.observations import BUCKET_S
from chronotope.schema.repeating import Repeating, log_failure
from chronotope.schema.storage.store import Store
from chronotope.schema.times import format_time
from chronotope.server.events.event import record_of
from chronotope.server.events.table import read_detected
from chronotope.server.evidence.columns import EdgeColumns, keep_edges
from chronotope.server.evidence.question import Question
from chronotope.server.evidence.settings import Settings
from chronotope.server.evidence.windows import read_window
from chronotope.server.graph.assemble import edge_records

MOST_CLIENTS = 16
WINDOW_S = 60  # of each graph: an edge called every half minute does not come and go
HEARTBEAT_S = 10.0
LAG_S = 5
_BUCKET_MS = BUCKET_S * 1000
_OVERLAP_MS = 60_000  # an event is visible some time after the instant that it was detected
_MOST_EVENTS = 10_000
_OLDEST_MS = 86_400_000  # a client that was away for longer begins anew
_WAITING = 30  # messages for a client that does not read: then it is cut off, and may come back

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Position:
    """Up to where a client knows everything: a bucket's end, and the detection time of events; Unix ms."""

    bucket_ms: int
    detected_ms: int

    def __str__(self) -> str:
        return f"{self.bucket_ms}.{self.detected_ms}"


@dataclass(slots=True, eq=False)
class Client:
    """One client: the texts that wait for it; None ends it."""

    waiting: queue.Queue[str | None] = field(default_factory=lambda: queue.Queue(_WAITING))
    ended: threading.Event = field(default_factory=threading.Event)

    def put(self, text: str | None) -> bool:
        """Queue a text; return False when too many wait."""
        try:
            self.waiting.put_nowait(text)
        except queue.Full:
            self.ended.set()
            return False
        return True


class Hub:
    """Makes each bucket's messages once, for all clients; without clients it reads nothing."""

    def __init__(self, store: Store, settings: Settings, registry: CollectorRegistry) -> None:
        self._store, self._settings = store, settings
        self._clients: set[Client] = set()
        self._lock = threading.Lock()
        self._last: tuple[int, EdgeColumns] | None = None
        self._at: Position | None = None
        failed = partial(log_failure, logger, "stream: this bucket is told with the next")
        self.rounds = Repeating("stream", self._next_bucket, failed, lambda: 0.5, pause_first=True)
        Gauge("chronotope_streams", "Clients of the stream.", registry=registry).set_function(
            lambda: len(self._clients)
        )
        self._refused = Counter("chronotope_streams_refused", "Clients of the stream turned away.", registry=registry)

    def stop(self, timeout_s: float) -> None:
        """End all streams."""
        self.rounds.stop(0)
        with self._lock:
            for client in self._clients:
                client.ended.set()
                client.put(None)
        self.rounds.stop(timeout_s)

    def join(self, known: Position | None) -> Iterator[bytes]:
        """Return the texts for a new client: first what it missed, or the whole graph, then each bucket's.

        Raises:
            Busy: there are as many clients as there may be.
            StoreError: the store cannot answer.
        """
        client = Client()
        with self._lock:
            if len(self._clients) >= MOST_CLIENTS or self.rounds.stopping.is_set():
                self._refused.inc()
                raise Busy(f"{MOST_CLIENTS} clients listen already; ask /api/v1/events and /api/v1/graph instead", 30)
            self._clients.add(client)
        try:
            position = Position(self._closed(), self._settings.clock())
            first = self._catch_up(known, position)
            self._at = self._at or position  # the first client's messages go on from here
        except BaseException:
            self._leave(client)
            raise
        return self._texts(client, first)

    def _texts(self, client: Client, first: str) -> Iterator[bytes]:
        try:
            yield f"retry: 3000\n\n{first}".encode()
            while not client.ended.is_set():
                try:
                    text = client.waiting.get(timeout=HEARTBEAT_S)
                except queue.Empty:
                    yield b": still here\n\n"
                    continue
                if text is None:
                    return
                yield text.encode()
        finally:
            self._leave(client)

    def _leave(self, client: Client) -> None:
        with self._lock:
            self._clients.discard(client)

    def _next_bucket(self) -> None:
        closed = self._closed()
        if not self._clients:
            self._at = self._last = None
            return
        if self._at is not None and closed <= self._at.bucket_ms:
            return
        text = self.tick(closed)
        with self._lock:
            for client in self._clients:
                client.put(text)

    def tick(self, closed_ms: int) -> str:
        """Return the messages of the buckets since the last tick."""
        now = Position(closed_ms, self._settings.clock())
        before = self._at or Position(closed_ms - _BUCKET_MS, now.detected_ms - _BUCKET_MS)
        text = self._between(before, now, self._columns(before.bucket_ms))
        self._at = now
        return text

    def _closed(self) -> int:
        return (self._settings.clock() - LAG_S * 1000) // _BUCKET_MS * _BUCKET_MS

    def _catch_up(self, known: Position | None, now: Position) -> str:
        if known is None or not now.bucket_ms - _OLDEST_MS <= known.bucket_ms <= now.bucket_ms:
            return _message("graph", _delta(None, self._columns(now.bucket_ms), now.bucket_ms), str(now))
        return self._between(known, now, self._columns(known.bucket_ms))

    def _between(self, before: Position, now: Position, known: EdgeColumns) -> str:
        events = read_detected(self._store, before.detected_ms - _OVERLAP_MS, now.detected_ms, _MOST_EVENTS)
        texts = [_message("dependency" if event.edge else "change", record_of(event), "") for event in events]
        delta = _delta(known, self._columns(now.bucket_ms), now.bucket_ms)
        return "".join([*texts, _message("graph", delta, str(now))])

    def _columns(self, at_ms: int) -> EdgeColumns:
        last = self._last  # another thread may replace it
        if last is not None and last[0] == at_ms:
            return last[1]
        question = Question(start_ms=max(at_ms - WINDOW_S * 1000, 0), end_ms=at_ms)
        columns = read_window(self._store, self._settings, question, self._settings.clock())[1]
        self._last = at_ms, columns
        return columns


def parse_position(text: str) -> Position | None:
    """Return the position that a client sends back; None when it is not one of ours."""
    bucket, dot, detected = text.partition(".")
    if not dot or not (bucket.isascii() and bucket.isdigit() and detected.isascii() and detected.isdigit()):
        return None
    return Position(int(bucket[:15]), int(detected[:15]))


def _delta(known: EdgeColumns | None, now: EdgeColumns, at_ms: int) -> dict[str, Any]:
    """Which edges came, which went, and how busy each is, as columns by layer."""
    before, after = set(known.ids) if known is not None else set(), set(now.ids)
    fresh = np.array([id_ not in before for id_ in now.ids], bool)
    return {
        "time": format_time(at_ms),
        "window": {"from": format_time(at_ms - WINDOW_S * 1000), "to": format_time(at_ms), "seconds": WINDOW_S},
        "reset": known is None,
        "added": edge_records(keep_edges(now, fresh), WINDOW_S, full=False) if fresh.any() else [],
        "removed": sorted(before - after),
        "active": {name: _active(now, name) for name in now.layers},
    }


def _active(columns: EdgeColumns, name: str) -> dict[str, list[Any]]:
    layer = columns.layers[name]
    rows = np.flatnonzero(layer.alive)
    measures = ("connections", "bytes_sent", "bytes_received") if name == "network" else ("calls", "errors")
    found = {measure: layer.measures[measure][rows].tolist() for measure in measures}
    return {"id": [columns.ids[row] for row in rows.tolist()], **found}


def _message(kind: str, body: Any, id_: str) -> str:
    data = msgspec.json.encode(body).decode()  # one line: JSON escapes line ends
    return f"event: {kind}\n{f'id: {id_}' + chr(10) if id_ else ''}data: {data}\n\n"
