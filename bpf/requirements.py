"""What the programs need of a host, and a check whether it is there.

Invariant: each requirement is reported by itself, with its purpose and its remedy. The check leaves nothing behind.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from chronotope.bpf.btf import Btf
from chronotope.bpf.kernel import KernelRefused
from chronotope.bpf.offsets import offset_flags
from chronotope.bpf.program import FlowProgram, Limits
from chronotope.schema.errors import ChronotopeError

_HOST_PIDS = 0xEFFFFFFC  # inode number of the first pid namespace, in every kernel
_CAPABILITIES = {"CAP_NET_ADMIN": 12, "CAP_SYS_PTRACE": 19, "CAP_SYS_ADMIN": 21, "CAP_PERFMON": 38, "CAP_BPF": 39}


class Requirement(NamedTuple):
    """One requirement, and whether the host meets it."""

    name: str
    met: bool
    needed: bool  # without it there are no flows at all
    detail: str


def missing_capabilities(status: Path = Path("/proc/self/status")) -> frozenset[str]:
    """Return the capabilities that an agent can use and this process lacks; CAP_SYS_ADMIN includes the newer two."""
    held = next((int(line.split()[1], 16) for line in status.read_text().splitlines() if line.startswith("CapEff")), 0)
    lacking = {name for name, bit in _CAPABILITIES.items() if not held >> bit & 1}
    return frozenset(lacking if "CAP_SYS_ADMIN" in lacking else lacking - {"CAP_BPF", "CAP_PERFMON"})


def require_capabilities() -> None:
    """Check that this process may load programs.

    Raises:
        KernelRefused: they may not; the message names the capabilities.
    """
    lacking = sorted(missing_capabilities() & {"CAP_BPF", "CAP_PERFMON"})
    if lacking:
        raise KernelRefused(f"{' and '.join(lacking)} missing: run as root or grant them; `--check` tells all")


def cgroup_root(mounts: Path = Path("/proc/self/mounts")) -> Path | None:
    """Return where the second cgroup hierarchy is mounted, None where it is not."""
    for line in mounts.read_text().splitlines():
        _, place, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(place.replace("\\040", " "))
    return None


def check_host() -> list[Requirement]:
    """Return all requirements. The programs are loaded for a moment if nothing they need is missing."""
    lacking = missing_capabilities()
    found = [
        _capability("CAP_BPF", lacking, "to load programs", needed=True),
        _capability("CAP_PERFMON", lacking, "to trace the kernel", needed=True),
        _capability("CAP_NET_ADMIN", lacking, "UDP, connection tracking, and to watch no reads", needed=False),
        _capability("CAP_SYS_PTRACE", lacking, "the environment and sockets of other users' processes", needed=False),
        _capability("CAP_SYS_ADMIN", lacking, "connections of containers that were open before", needed=False),
        _tried("kernel types", lambda: offset_flags(Btf.of_kernel())),
        _cgroups(),
        _pids(),
    ]
    if not any(requirement.needed and not requirement.met for requirement in found):
        found.append(_tried("kernel programs", _load))
    return found


def _load() -> None:
    cgroup = None if "CAP_NET_ADMIN" in missing_capabilities() else cgroup_root()
    FlowProgram(Limits(connections=64, detailed=16, pairs=64, datagrams=64), cgroup=cgroup).close()


def _tried(name: str, what: Callable[[], object]) -> Requirement:
    try:
        what()
    except ChronotopeError as error:
        return Requirement(name, False, True, str(error))
    return Requirement(name, True, True, "all there")


def _capability(name: str, lacking: frozenset[str], use: str, *, needed: bool) -> Requirement:
    return Requirement(name, name not in lacking, needed, f"{use}; run as root or grant it" if name in lacking else use)


def _cgroups() -> Requirement:
    root = cgroup_root()
    detail = (
        f"mounted at {root}"
        if root
        else "not mounted, UDP is not seen and every read is watched; mount -t cgroup2 none /sys/fs/cgroup"
    )
    return Requirement("cgroup2", root is not None, False, detail)


def _pids() -> Requirement:
    same = os.stat("/proc/self/ns/pid").st_ino == _HOST_PIDS
    detail = "the host's" if same else "a container's: processes are not found; use hostPID or --pid=host"
    return Requirement("pid namespace", same, False, detail)
