"""The kernel programs while they run: loaded, attached, read.

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
    "on_read": "tcp_rcv_space_adjust",
    "on_exec": "sched_process_exec",
}
_PACKETS = {"on_send": kernel.SENDS, "on_arrival": kernel.ARRIVALS}
_MAPS = ("connections", "listeners", "processes", "pairs", "datagrams", "closed", "seen", "counters", "phase")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much the kernel keeps at most."""

    connections: int = 131_072  # that live at one time
    detailed: int = 4_096  # that close between two reads and are told one by one; beyond it, summed by pair
    pairs: int = 16_384  # of client, server, port and process that are summed between two reads
    datagrams: int = 65_536  # pairs of UDP sockets between two reads

    def flags(self) -> list[str]:
        """Return the limits as flags for the compiler."""
        return [
            f"-DMAX_CONNECTIONS={self.connections}",
            f"-DMAX_PAIRS={self.pairs}",
            f"-DMAX_DATAGRAMS={self.datagrams}",
            "-DMAX_LISTENERS=16384",
            "-DMAX_PROCESSES=16384",
            f"-DCLOSED_PAGES={self.closed_bytes // os.sysconf('SC_PAGE_SIZE')}",
            f"-DSEEN_PAGES={self.seen_bytes // os.sysconf('SC_PAGE_SIZE')}",
        ]

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

    def __init__(self, limits: Limits | None = None, *, own_pid: int = 0, cgroup: Path | None = None) -> None:
        """Compile, load and attach.

        Args:
            limits: how much the kernel keeps.
            own_pid: whose connections are left out.
            cgroup: root of the second cgroup hierarchy; without one, UDP is not seen.

        Raises:
            UnknownType: this kernel lacks something that the programs read.
            CannotCompile: bcc is absent.
            KernelRefused: no privilege, or the kernel is too old.
        """
        self._limits = limits or Limits()
        self._links: list[int] = []
        self._phase = 0
        self._own_netns = own_namespace()
        self._closed_namespaces: set[int] = set()
        btf = Btf.of_kernel()
        flags = [*offset_flags(btf), *self._limits.flags(), f"-DOWN_PID={own_pid}"]
        names = [*_TRACEPOINTS, "on_socket", *(_PACKETS if cgroup else ())]
        compiled = compile_flows(flags, names, _MAPS)
        self._maps: Mapping[str, int] = compiled.maps
        try:
            self._iterator = self._load(btf, compiled.programs)
            self._attach_packets(compiled.programs, cgroup)
        except BaseException:
            self._close_descriptors()
            raise
        self._closed = Ring(self._maps["closed"], self._limits.closed_bytes, FLOW)
        self.processes = Ring(self._maps["seen"], self._limits.seen_bytes, PROCESS)

    def read(self, namespaces: Mapping[int, str]) -> np.ndarray:
        """Return FLOW[N]: what happened since the last call, and who listens now (role LISTENER).

        Args:
            namespaces: inode number → path, of those whose living connections are looked at.

        Raises:
            KernelRefused: a map or namespace cannot be read.
        """
        before, self._phase = self._phase, self._phase + 1
        kernel.update(self._maps["phase"], struct.pack("<I", 0), struct.pack("<I", self._phase & 0xFFFFFFFF))
        found = [self._sweep(netns, path) for netns, path in namespaces.items()]
        kernel.wait_for_programs()
        found.append(self._closed.read())
        for name, key in (("pairs", PAIR_KEY), ("datagrams", DATAGRAM_KEY)):
            found += self._take(self._maps[name], key, before & 0xFFFFFFFF)
        return np.concatenate(found)

    def counters(self) -> dict[str, int]:
        """Return what was counted since the start, by the names of COUNTERS."""
        cpus = _possible_cpus()
        counts = {}
        for index, name in enumerate(COUNTERS):
            values = kernel.lookup(self._maps["counters"], struct.pack("<I", index), 8 * cpus)
            counts[name] = sum(struct.unpack(f"<{cpus}Q", values)) if values else 0
        return counts

    def close(self) -> None:
        """Detach the programs; what was not read is lost."""
        self._closed.close()
        self.processes.close()
        self._close_descriptors()

    def _load(self, btf: Btf, programs: Mapping[str, bytes]) -> int:
        """Attach the tracepoints; return the iterator's descriptor."""
        for name, tracepoint in _TRACEPOINTS.items():
            program = kernel.load_program(name, programs[name], kernel.TRACEPOINT, btf.tracepoint(tracepoint))
            self._links += [program, kernel.attach(program, f"to the tracepoint {tracepoint}")]
        target = btf.function("bpf_iter_tcp")
        iterator = kernel.load_program("on_socket", programs["on_socket"], kernel.ITERATOR, target)
        self._links.append(iterator)
        return iterator

    def _attach_packets(self, programs: Mapping[str, bytes], cgroup: Path | None) -> None:
        if cgroup is None:
            return
        descriptor = os.open(cgroup, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for name, kind in _PACKETS.items():
                program = kernel.load_program(name, programs[name], kind)
                self._links += [program, kernel.attach_to_cgroup(program, descriptor, kind)]
        finally:
            os.close(descriptor)

    def _sweep(self, netns: int, path: str) -> np.ndarray:
        """The living connections and listeners of a namespace; none when it is gone, or not ours to enter."""
        if netns == self._own_netns:
            return np.frombuffer(kernel.iterate(self._iterator), FLOW)
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
        return np.frombuffer(in_namespace(path, lambda: kernel.iterate(self._iterator)), FLOW)

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
        for descriptor in (*reversed(self._links), *self._maps.values()):
            os.close(descriptor)
        self._links.clear()


def listeners_of(flows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Part the answer of `read`: FLOW[N] connections and datagrams, FLOW[M] listeners."""
    is_listener = flows["role"] == LISTENER
    return flows[~is_listener], flows[is_listener]


def _possible_cpus() -> int:
    """How many values a per-CPU map has: every CPU that may ever come."""
    last = Path("/sys/devices/system/cpu/possible").read_text().strip().rpartition("-")[2].rpartition(",")[2]
    return int(last) + 1
