"""The collector's loop: at each end of an interval, it puts what happened since the last one into the spool.

Invariant: a record lies within one interval, and intervals begin at multiples of their length. So no record crosses a
bucket of ten seconds, unless longer intervals were asked for. Each event of the kernel is in one batch, once.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection
from typing import NamedTuple, TypeVar

import numpy as np
import pyarrow as pa

from chronotope.bpf.namespaces import Namespaces, in_namespace, own_namespace
from chronotope.bpf.program import FlowProgram, listeners_of
from chronotope.bpf.records import UDP
from chronotope.ingest.agent.claims import Claim, Listener, claim_table, claims, listeners_from
from chronotope.ingest.agent.ownership import LocalOwners
from chronotope.ingest.agent.records import DirectedFlows, Interval, Observer, address_text, directed_flows, flow_table
from chronotope.ingest.hosts.addresses import read_addresses
from chronotope.ingest.hosts.naming import Owner
from chronotope.ingest.hosts.processes import Processes
from chronotope.ingest.hosts.translations import Translations, read_translations
from chronotope.schema.errors import ChronotopeError

_BATCH_RECORDS = 50_000
_HEARTBEAT_MS = 30_000
_MS = 1_000_000

logger = logging.getLogger(__name__)
Found = TypeVar("Found")


class Ours(NamedTuple):
    """Our own process and connections, which are left out."""

    pid: int = 0
    connections: Callable[[], Collection[tuple[str, int]]] = tuple


class Collector:
    """Reads the kernel programs and puts batches: `put(route, body)`."""

    def __init__(
        self, program: FlowProgram, processes: Processes, put: Callable[[str, bytes], None], host: str, ours: Ours
    ) -> None:
        self._program = program
        self._processes = processes
        self._put = put
        self._host = host
        self._ours = ours
        self._owners = LocalOwners(processes)
        self._hearing = threading.Lock()
        self._own_netns = own_namespace()
        self._all_namespaces = Namespaces()
        self._seen: dict[int, set[Owner]] = {}
        self._claimed: frozenset[Claim] = frozenset()
        self._claimed_ms = 0
        self._closed = False
        self.records = 0
        self.namespaces = 0
        self._carried = self._first_read()
        self._listening = threading.Thread(target=self._listen, name="processes", daemon=True)
        self._listening.start()

    def run(self, interval_s: int, stopping: threading.Event) -> None:
        """Collect until `stop` is set, and once more at the end."""
        step_ms = interval_s * 1000
        start_ms = time.time_ns() // _MS
        while not stopping.is_set():
            boundary_ms = (start_ms // step_ms + 1) * step_ms
            stopping.wait(max(boundary_ms - time.time_ns() // _MS, 0) / 1000)
            end_ms = (
                boundary_ms if not stopping.is_set() else min(max(time.time_ns() // _MS, start_ms + 1), boundary_ms)
            )
            try:
                self.collect(Interval(start_ms, end_ms))
            except ChronotopeError as error:
                logger.error("a round failed", extra={"reason": str(error)})
            now_ms = time.time_ns() // _MS
            # After the machine slept, or its clock was set, the intervals in between are empty.
            start_ms = end_ms if 0 <= now_ms - end_ms < step_ms else now_ms // step_ms * step_ms

    def collect(self, interval: Interval) -> None:
        """Put the records of an interval that ends now into the spool."""
        observer = Observer(self._host, self._own_netns, time.time_ns() - time.monotonic_ns())
        namespaces = self._namespaces()
        flows, listeners = listeners_of(self._program.read(namespaces))
        flows, later = _part(np.concatenate([self._carried, flows]), interval.end_ms, observer)
        self._carried = later
        self._hear()
        owners = self._owners.listen(listeners)
        seen = directed_flows(flows, self._ours.connections(), self._ours.pid)
        table = flow_table(seen, self._owners, interval, observer, self._translations(namespaces))
        self._claim(listeners_from(listeners, owners), seen, namespaces, interval)
        for begin in range(0, table.num_rows, _BATCH_RECORDS):
            self._put("flows", _stream(table.slice(begin, _BATCH_RECORDS)))
        self.records += table.num_rows

    def close(self) -> None:
        """Stop watching processes."""
        self._closed = True
        self._listening.join()

    def _first_read(self) -> np.ndarray:
        """Find what is open already, so that it is reported from here on."""
        flows, listeners = listeners_of(self._program.read(self._namespaces()))
        self._owners.listen(listeners)
        return flows

    def _namespaces(self) -> dict[int, str]:
        found = self._all_namespaces.find()
        self.namespaces = len(found)
        return found

    def _listen(self) -> None:
        while not self._closed:
            if self._program.processes.wait(0.5):
                self._hear()

    def _hear(self) -> None:
        with self._hearing:
            self._processes.learn(self._program.processes.read())

    def _claim(
        self, listeners: list[Listener], seen: DirectedFlows, namespaces: dict[int, str], interval: Interval
    ) -> None:
        """Put claims when they changed, and from time to time."""
        code, owners = self._owners(seen.flows)
        for netns, place in {*zip(seen.flows["netns"].tolist(), code.tolist(), strict=True)}:
            self._seen.setdefault(netns, set()).add(owners[place])
        for listener in listeners:
            self._seen.setdefault(listener.netns, set()).add(listener.owner)
        self._seen = {netns: owners for netns, owners in self._seen.items() if netns in namespaces}
        addresses = self._in_each(namespaces, read_addresses)
        now = claims([*listeners, *_datagram_listeners(seen, code, owners)], addresses, self._seen)
        if now and (now != self._claimed or interval.end_ms - self._claimed_ms >= _HEARTBEAT_MS):
            self._put("identities", _stream(claim_table(now, interval.start_ms)))
            self._claimed_ms = interval.end_ms
        self._claimed = now

    def _translations(self, namespaces: dict[int, str]) -> dict[int, Translations]:
        return {netns: found for netns, found in self._in_each(namespaces, read_translations).items() if found}

    def _in_each(self, namespaces: dict[int, str], read: Callable[[], Found]) -> dict[int, Found]:
        """Return the result of reading in each namespace that we may enter."""
        found = {}
        for netns, path in namespaces.items():
            try:
                found[netns] = read() if netns == self._own_netns else in_namespace(path, read)
            except (OSError, ChronotopeError) as error:
                logger.debug("a namespace is not read", extra={"netns": netns, "reason": str(error)})
        return found


def _part(flows: np.ndarray, end_ms: int, observer: Observer) -> tuple[np.ndarray, np.ndarray]:
    """Split the flows that closed before the end of the interval from those that closed while it was read."""
    closed_ms = (flows["at_ns"].astype(np.int64) + observer.wall_less_monotonic_ns) // _MS
    single = (flows["transport"] != UDP) & (flows["local_port"] > 0) & (flows["remote_port"] > 0)
    later = single & (flows["alive"] == 0) & (closed_ms >= end_ms)
    return flows[~later], flows[later]


def _datagram_listeners(seen: DirectedFlows, code: np.ndarray, owners: list[Owner]) -> list[Listener]:
    """Return the UDP sockets that were seen to serve. The kernel does not list those that only wait."""
    rows = np.flatnonzero((seen.flows["transport"] == UDP) & seen.is_server)
    places = {
        (int(seen.flows["netns"][row]), seen.server[row].tobytes(), int(seen.server_port[row]), int(code[row]))
        for row in rows.tolist()
    }
    return [Listener(netns, address_text(at), port, False, owners[place]) for netns, at, port, place in places]


def _stream(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    body: bytes = sink.getvalue().to_pybytes()
    return body
