"""The host's processes and their owners, as long as flows of them are reported.

Invariant: a process is its pid and its start, so a pid that is used again is another process. What was known of a
process at its first connection stays known after its end.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np

from chronotope.ingest.hosts.facts import (
    Facts,
    parse_arguments,
    parse_cgroup,
    parse_environment,
    parse_start_ticks,
    program_of,
)
from chronotope.ingest.hosts.naming import NOBODY, Naming, Owner

_MOST = 65_536
_TICKS = os.sysconf("SC_CLK_TCK")
_SOCKET = "socket:["
Key = TypeVar("Key")


class Processes:
    """Finds the owners of processes. Safe for two threads: one learns of processes, the other asks for owners."""

    def __init__(self, naming: Naming, proc: Path = Path("/proc")) -> None:
        self._naming = naming
        self._proc = proc
        self._lock = threading.Lock()
        self._owners: OrderedDict[tuple[int, int], Owner] = OrderedDict()
        self._cgroups: OrderedDict[int, Owner] = OrderedDict()
        self._sockets: dict[int, tuple[int, int]] = {}

    def learn(self, events: np.ndarray) -> None:
        """Learn of processes, bpf.records.PROCESS[N]: at their first connection, and at the first after an `exec`."""
        for event in events:
            pid, ticks, cgroup = int(event["pid"]), ticks_of(int(event["start_ns"])), int(event["cgroup"])
            facts = self._merged_facts(event, self._read(pid, ticks))
            owner = self._naming.owner_of(facts)
            with self._lock:
                if facts.container or facts.pod or facts.unit:
                    same = self._cgroups.get(cgroup, owner) == owner
                    _remember(self._cgroups, cgroup, owner if same else NOBODY)
                elif not facts.cgroup and not facts.environment:  # gone before it could be read
                    owner = self._cgroups.get(cgroup, owner)
                _remember(self._owners, (pid, ticks), owner)

    def owner(self, pid: int, start_ns: int) -> Owner:
        """Return the owner of a process; NOBODY if it is gone and was never known."""
        return self._owner(pid, ticks_of(start_ns))

    def owner_of_socket(self, inode: int) -> Owner:
        """Return the owner of a socket that was open before the agent started; see `find_sockets`."""
        holder = self._sockets.get(inode)
        return self._owner(*holder) if holder else NOBODY

    def knows_sockets(self, inodes: Iterable[int]) -> bool:
        """Return whether the owners of all these sockets are known."""
        return all(inode in self._sockets for inode in inodes)

    def find_sockets(self) -> None:
        """Search all processes for their sockets. A socket of several processes belongs to the oldest one."""
        found: dict[int, tuple[int, int]] = {}
        for pid in sorted(int(name) for name in os.listdir(self._proc) if name.isdecimal()):
            ticks = self._start(pid)
            for inode in self._held(pid) if ticks >= 0 else ():
                if inode not in found or ticks < found[inode][1]:
                    found[inode] = (pid, ticks)
        self._sockets = found

    def _owner(self, pid: int, ticks: int) -> Owner:
        with self._lock:
            known = self._owners.get((pid, ticks))
        if known is not None:
            return known
        facts = self._read(pid, ticks)
        if facts is None or not _runs(facts):
            return NOBODY
        owner = self._naming.owner_of(facts)
        with self._lock:
            _remember(self._owners, (pid, ticks), owner)
        return owner

    def _merged_facts(self, event: np.void, read: Facts | None) -> Facts:
        """Return the facts of a process; if it has ended, the environment that the kernel copied, and its cgroup."""
        if read and _runs(read):
            return read
        environment = bytes(event["environ"])[: int(event["environ_bytes"])]
        return replace(
            read or Facts(),
            environment=parse_environment(environment, self._naming.variables),
            program=bytes(event["comm"]).decode("utf-8", "backslashreplace"),
        )

    def _read(self, pid: int, ticks: int) -> Facts | None:
        """The facts of a process, None when it is gone or its pid is another's now."""
        arguments = parse_arguments(self._bytes(pid, "cmdline"))
        path, container, pod, unit = parse_cgroup(self._bytes(pid, "cgroup"))
        executable = self._executable(pid)
        facts = Facts(
            environment=parse_environment(self._bytes(pid, "environ"), self._naming.variables),
            command_line=" ".join(arguments),
            executable=executable,
            program=program_of(arguments, executable),
            unit=unit,
            container=container,
            pod=pod,
            cgroup=path,
        )
        return facts if self._start(pid) == ticks else None

    def _start(self, pid: int) -> int:
        return parse_start_ticks(self._bytes(pid, "stat"))

    def _bytes(self, pid: int, name: str) -> bytes:
        try:
            return (self._proc / str(pid) / name).read_bytes()
        except OSError:  # gone, or not ours to read
            return b""

    def _executable(self, pid: int) -> str:
        try:
            return os.readlink(self._proc / str(pid) / "exe").removesuffix(" (deleted)")
        except OSError:
            return ""

    def _held(self, pid: int) -> Iterator[int]:
        try:
            with os.scandir(self._proc / str(pid) / "fd") as descriptors:
                for descriptor in descriptors:
                    target = os.readlink(descriptor.path)
                    if target.startswith(_SOCKET):
                        yield int(target[len(_SOCKET) : -1])
        except OSError:
            return


def _runs(facts: Facts) -> bool:
    """Return whether a process still had its memory when it was read. Kernel threads never have any."""
    return bool(facts.executable or facts.command_line)


def ticks_of(start_ns: int) -> int:
    """Return a start in the clock ticks of /proc/PID/stat."""
    return start_ns * _TICKS // 1_000_000_000


def _remember(table: OrderedDict[Key, Owner], key: Key, owner: Owner) -> None:
    table[key] = owner
    table.move_to_end(key)
    if len(table) > _MOST:
        table.popitem(last=False)
