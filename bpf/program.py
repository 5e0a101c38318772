"""The running kernel programs: load, attach and read them.

Invariant: every byte and connection that the programs see is in exactly one answer of `read`, or is counted in
`counters` as lost. Reading never stops the programs.
"""

from __future__ import annotations

import logging
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from chronotope.bpf import kernel
from chronotope.bpf.btf import Btf
from chronotope.bpf.compiling import compile_flows
from chronotope.bpf.namespaces import find_namespaces, in_namespace, own_namespace
from chronotope.bpf.offsets import offset_flags
from chronotope.bpf.records import COUNTERS, DATAGRAM_KEY, FLOW, LISTENER, PAIR_KEY, PROCESS
from chronotope.bpf.ring import Ring

_TRACEPOINTS = {
    "on_state": "inet_sock_set_state",
    "on_exec": "sched_process_exec",
}
_READS = "tcp_rcv_space_adjust"  # attached only when it is needed
_PEERS = (kernel.PEERS4, kernel.PEERS6)
_PACKETS = {"on_send": kernel.SENDS, "on_arrival": kernel.ARRIVALS}
_MAPS = (
    "rows",
    "connections",
    "listeners",
    "processes",
    "recent",
    "pairs",
    "datagrams",
    "closed",
    "seen",
    "counters",
    "phase",
)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The limits of what the kernel keeps."""

    connections: int = 131_072  # that live at one time; there is room for some more
    detailed: int = 4_096  # that close between two reads and are reported one by one; beyond it, summed by pair
    pairs: int = 16_384  # of client, server, port and process that are summed between two reads
    datagrams: int = 65_536  # pairs of UDP sockets between two reads

    def flags(self) -> list[str]:
        """Return the limits as flags for the compiler."""
        return [
            f"-DMAX_CONNECTIONS={self.places}",
            f"-DMAX_PAIRS={self.pairs}",
            f"-DMAX_DATAGRAMS={self.datagrams}",
            "-DMAX_LISTENERS=16384",
            "-DMAX_PROCESSES=16384",
            f"-DCLOSED_PAGES={self.closed_bytes // os.sysconf('SC_PAGE_SIZE')}",
            f"-DSEEN_PAGES={self.seen_bytes // os.sysconf('SC_PAGE_SIZE')}",
        ]

    @property
    def places(self) -> int:
        """The number of places for connections: a power of two, filled to two thirds at most; see places.c."""
        return 1 << (max(self.connections, 8) * 3 // 2 - 1).bit_length()

    @property
    def closed_bytes(self) -> int:
        """Size of the ring of closed connections: the power of two that holds `detailed` of them."""
        return max(1 << (self.detailed * (FLOW.itemsize + 8) - 1).bit_length(), os.sysconf("SC_PAGE_SIZE"))

    @property
    def seen_bytes(self) -> int:
        """Size of the ring of new processes."""
        return 1 << 20


class FlowProgram:
    """The programs, from construction until `close`."""

    def __init__(
        self, limits: Limits | None = None, *, own_pid: int = 0, cgroup: Path | None = None, datagrams: bool = True
    ) -> None:
        """Compile, load and attach.

        Args:
            limits: how much the kernel keeps.
            own_pid: whose connections are left out.
            cgroup: root of the second cgroup hierarchy; without one, UDP is not seen, and every read of a connection
                costs time.
            datagrams: see UDP.

        Raises:
            UnknownType: this kernel lacks something that the programs read.
            CannotCompile: bcc is absent.
            KernelRefused: no privilege, or the kernel is too old.
        """
        self.limits = limits or Limits()
        self._links: list[int] = []
        self._loaded: dict[str, int] = {}
        self._watches_reads = False
        self._cpus = _possible_cpus()
        self._phase = 0
        self._own_netns = own_namespace()
        self._closed_namespaces: set[int] = set()
        btf = Btf.of_kernel()
        flags = [*offset_flags(btf), *self.limits.flags(), f"-DOWN_PID={own_pid}"]
        names = [*_TRACEPOINTS, "on_socket", "on_read", "on_peer", *_PACKETS]
        compiled = compile_flows(flags, names, _MAPS)
        self._maps: Mapping[str, int] = compiled.maps
        try:
            self._load(btf, compiled.programs)
            if cgroup:
                self._attach_to(cgroup, compiled.programs, datagrams)
            else:
                self._watch_reads()
        except BaseException:
            self._close_descriptors()
            raise
        self._closed = Ring(self._maps["closed"], self.limits.closed_bytes, FLOW)
        self.processes = Ring(self._maps["seen"], self.limits.seen_bytes, PROCESS)

    def read(self, namespaces: Mapping[int, str]) -> np.ndarray:
        """Return FLOW[N]: what happened since the last call, and the current listeners (role LISTENER).

        Args:
            namespaces: inode number → path, of those whose living connections are looked at.

        Raises:
            KernelRefused: a map or namespace cannot be read.
        """
        before, self._phase = self._phase, self._phase + 1
        kernel.update(self._maps["phase"], struct.pack("<I", 0), struct.pack("<I", self._phase & 0xFFFFFFFF))
        found = [self._sweep(netns, path) for netns, path in namespaces.items()]
        kernel.wait_for_programs()
        if not self._watches_reads and self._count("unnamed"):
            self._watch_reads()
        found.append(self._closed.read())
        for name, key in (("pairs", PAIR_KEY), ("datagrams", DATAGRAM_KEY)):
            found += self._take(self._maps[name], key, before & 0xFFFFFFFF)
        return np.concatenate(found)

    def counters(self) -> dict[str, int]:
        """Return the counts since the start, by the names of COUNTERS.

        Beside them, `lost_changes`: changes of TCP state in an interrupt of the program for such changes, which the
        kernel lets nobody see.
        """
        return {name: self._count(name) for name in COUNTERS} | {
            "lost_changes": kernel.missed_runs(self._loaded["on_state"])
        }

    def close(self) -> None:
        """Detach the programs. What was not read is lost."""
        self._closed.close()
        self.processes.close()
        self._close_descriptors()

    def _load(self, btf: Btf, programs: Mapping[str, bytes]) -> None:
        """Load what traces, and attach the tracepoints that are always needed."""
        for name, tracepoint in {**_TRACEPOINTS, "on_read": _READS}.items():
            self._loaded[name] = kernel.load_program(
                name, programs[name], kernel.TRACEPOINT, btf.tracepoint(tracepoint)
            )
        for name, tracepoint in _TRACEPOINTS.items():
            self._links.append(kernel.attach(self._loaded[name], f"to the tracepoint {tracepoint}"))
        target = btf.function("bpf_iter_tcp")
        self._loaded["on_socket"] = kernel.load_program("on_socket", programs["on_socket"], kernel.ITERATOR, target)

    def _attach_to(self, cgroup: Path, programs: Mapping[str, bytes], datagrams: bool) -> None:
        """Attach what works on a cgroup."""
        descriptor = os.open(cgroup, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for name, kind in _PACKETS.items() if datagrams else ():
                self._hook(descriptor, name, programs, kind)
            self._watch_accepts(descriptor, programs)
        finally:
            os.close(descriptor)

    def _watch_accepts(self, cgroup: int, programs: Mapping[str, bytes]) -> None:
        """See who accepts; where the kernel refuses that, who reads."""
        try:
            for kind in _PEERS:
                self._hook(cgroup, "on_peer", programs, kind)
        except kernel.KernelRefused as error:
            logger.info("every read of a connection is watched", extra={"reason": str(error)})
            self._watch_reads()

    def _hook(self, cgroup: int, name: str, programs: Mapping[str, bytes], kind: int) -> None:
        self._links.append(kernel.load_program(name, programs[name], kind))
        self._links.append(kernel.attach_to_cgroup(self._links[-1], cgroup, kind))

    def _watch_reads(self) -> None:
        """Attach the program for reads, which costs time at each."""
        self._watches_reads = True
        self._links.append(kernel.attach(self._loaded["on_read"], f"to the tracepoint {_READS}"))

    def _count(self, name: str) -> int:
        """One of COUNTERS, of all CPUs."""
        values = kernel.lookup(self._maps["counters"], struct.pack("<I", COUNTERS.index(name)), 8 * self._cpus)
        return sum(struct.unpack(f"<{self._cpus}Q", values)) if values else 0

    def _sweep(self, netns: int, path: str) -> np.ndarray:
        """The living connections and listeners of a namespace; none when it is gone, or not ours to enter."""
        if netns == self._own_netns:
            return np.frombuffer(kernel.iterate(self._loaded["on_socket"]), FLOW)
        try:
            return self._sweep_inside(path)
        except FileNotFoundError:  # the process that led there has ended; another may be there still
            other = find_namespaces().get(netns)
        except (OSError, kernel.KernelRefused) as error:
            if netns not in self._closed_namespaces:
                logger.warning("a namespace is not looked into", extra={"netns": netns, "reason": str(error)})
            self._closed_namespaces.add(netns)
            other = None
        try:
            return self._sweep_inside(other) if other else np.zeros(0, FLOW)
        except FileNotFoundError:
            return np.zeros(0, FLOW)

    def _sweep_inside(self, path: str) -> np.ndarray:
        return np.frombuffer(in_namespace(path, lambda: kernel.iterate(self._loaded["on_socket"])), FLOW)

    @staticmethod
    def _take(table: int, keys: np.dtype, phase: int) -> list[np.ndarray]:
        """Entries of a phase that is over, which are deleted."""
        found = []
        gone = []
        for key, value in kernel.read_entries(table, keys, FLOW):
            over = key["phase"] == phase
            found.append(value[over])
            gone.append(key[over])
        for key in gone:
            kernel.delete_entries(table, key)
        return found

    def _close_descriptors(self) -> None:
        for descriptor in (*reversed(self._links), *self._loaded.values(), *self._maps.values()):
            os.close(descriptor)
        self._links.clear()


def listeners_of(flows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split the answer of `read`: FLOW[N] connections and datagrams, FLOW[M] listeners."""
    is_listener = flows["role"] == LISTENER
    return flows[~is_listener], flows[is_listener]


def _possible_cpus() -> int:
    """Return the number of values in a per-CPU map: one for every CPU that may ever be added."""
    last = Path("/sys/devices/system/cpu/possible").read_text().strip().rpartition("-")[2].rpartition(",")[2]
    return int(last) + 1
