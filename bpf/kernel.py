"""The system call bpf(2): load and attach programs, read and change maps, run iterators.

Invariant: when the kernel refuses, `KernelRefused` says what was refused, why, and which capability or version would
allow it. The caller owns every file descriptor that is opened here.

Source: include/uapi/linux/bpf.h, union bpf_attr.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterator

import numpy as np

from chronotope.schema.errors import ChronotopeError

_SYSCALL = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "ppc64le": 361, "s390x": 351}
_MEMBARRIER = {"x86_64": 324, "aarch64": 283, "riscv64": 283, "ppc64le": 365, "s390x": 356}
_MAP_LOOKUP, _MAP_UPDATE, _PROG_LOAD, _RAW_TRACEPOINT_OPEN = 1, 2, 5, 17
_LOOKUP_BATCH, _DELETE_BATCH = 24, 27
_LINK_CREATE, _ITER_CREATE = 28, 33
_INFORMATION, _PROGRAM_BYTES, _MISSES = 15, 216, 208  # BPF_OBJ_GET_INFO_BY_FD; struct bpf_prog_info
_CGROUP_SKB, _CGROUP_SOCK_ADDR, _TRACING = 8, 18, 26  # BPF_PROG_TYPE_…
ARRIVALS, SENDS, TRACEPOINT, ITERATOR = 0, 1, 23, 28  # BPF_CGROUP_INET_INGRESS, _EGRESS, BPF_TRACE_RAW_TP, _ITER
PEERS4, PEERS6 = 29, 30  # BPF_CGROUP_INET4_GETPEERNAME, _INET6_
_PROGRAM_TYPES = {ARRIVALS: _CGROUP_SKB, SENDS: _CGROUP_SKB, PEERS4: _CGROUP_SOCK_ADDR, PEERS6: _CGROUP_SOCK_ADDR}
_LICENSE = ctypes.create_string_buffer(b"GPL")
_LOG_BYTES = 1 << 20
_PER_CALL = 4096  # entries of a map that one call takes

_libc = ctypes.CDLL(None, use_errno=True)


class KernelRefused(ChronotopeError):
    """The kernel refuses, or does not know the operation."""


def load_program(name: str, instructions: bytes, kind: int, target: int = 0) -> int:
    """Load a program; return its file descriptor.

    Args:
        name: what errors call it.
        instructions: 8 bytes each.
        kind: ARRIVALS, SENDS, PEERS4, PEERS6, TRACEPOINT or ITERATOR.
        target: of a TRACEPOINT or ITERATOR, what BTF calls that which is traced.

    Raises:
        KernelRefused: no privilege, or the verifier says why not.
    """
    code = ctypes.create_string_buffer(instructions, len(instructions))
    log = ctypes.create_string_buffer(_LOG_BYTES)
    for verbose in (0, 1):  # the log costs time, and without a refusal nobody reads it
        attributes = struct.pack(
            "<IIQQIIQII16sIIIIQIIQII",
            *(
                _PROGRAM_TYPES.get(kind, _TRACING),
                len(instructions) // 8,
                ctypes.addressof(code),
                ctypes.addressof(_LICENSE),
            ),
            *(verbose, _LOG_BYTES if verbose else 0, ctypes.addressof(log) if verbose else 0),
            *(0, 0, name.encode()[:15], 0, kind, 0, 0, 0, 0, 0, 0, 0),
            target,
        )
        descriptor = _bpf(_PROG_LOAD, attributes)
        if descriptor >= 0:
            return descriptor
    raise _refused(f"the program {name}", log.value.decode(errors="replace"))


def attach(program: int, name: str) -> int:
    """Attach a loaded program to what it traces; it runs until the returned descriptor is closed.

    Raises:
        KernelRefused: this kernel cannot trace it.
    """
    descriptor = _bpf(_RAW_TRACEPOINT_OPEN, struct.pack("<QII", 0, program, 0))
    if descriptor < 0:
        raise _refused(f"attaching {name}")
    return descriptor


def attach_to_cgroup(program: int, cgroup: int, kind: int) -> int:
    """Run a program for what a cgroup's sockets do until the returned descriptor is closed.

    Raises:
        KernelRefused: CAP_NET_ADMIN is missing, or the kernel has no such links (before 5.7).
    """
    link = _bpf(_LINK_CREATE, struct.pack("<IIIIQQ", program, cgroup, kind, 0, 0, 0))
    if link < 0:
        raise _refused("attaching to the root cgroup (CAP_NET_ADMIN is needed)")
    return link


def iterate(program: int) -> bytes:
    """Run an iterator over the network namespace of the calling thread; return all that it wrote.

    Raises:
        KernelRefused: this kernel has no iterators.
    """
    link = _bpf(_LINK_CREATE, struct.pack("<IIIIQQ", program, 0, ITERATOR, 0, 0, 0))
    if link < 0:
        raise _refused("an iterator over sockets")
    try:
        reader = _bpf(_ITER_CREATE, struct.pack("<II", link, 0))
        if reader < 0:
            raise _refused("an iterator over sockets")
        with os.fdopen(reader, "rb", buffering=0) as output:
            pieces = []
            while piece := output.read(1 << 16):
                pieces.append(piece)
            return b"".join(pieces)
    finally:
        os.close(link)


def lookup(table: int, key: bytes, size: int) -> bytes | None:
    """Return the value of a key (of all CPUs, one after the other, in a per-CPU map); None when there is none."""
    of, value = ctypes.create_string_buffer(key, len(key)), ctypes.create_string_buffer(size)
    attributes = struct.pack("<IIQQQ", table, 0, ctypes.addressof(of), ctypes.addressof(value), 0)
    return value.raw if _bpf(_MAP_LOOKUP, attributes) == 0 else None


def update(table: int, key: bytes, value: bytes) -> None:
    """Set the value of a key.

    Raises:
        KernelRefused: the map is full.
    """
    of, to = ctypes.create_string_buffer(key, len(key)), ctypes.create_string_buffer(value, len(value))
    if _bpf(_MAP_UPDATE, struct.pack("<IIQQQ", table, 0, ctypes.addressof(of), ctypes.addressof(to), 0)) < 0:
        raise _refused("writing a map")


def read_entries(table: int, keys: np.dtype, values: np.dtype) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield keys and values of a hash map in pieces of some thousand. Entries added meanwhile may be missed.

    Raises:
        KernelRefused: the kernel has no batches (before 5.6).
    """
    size = _PER_CALL
    place = next_place = None
    while True:
        found, contents = np.zeros(size, keys), np.zeros(size, values)
        following = ctypes.create_string_buffer(max(keys.itemsize, 8))
        answer, taken = _batch(_LOOKUP_BATCH, table, place, following, found, contents)
        if answer < 0 and ctypes.get_errno() == errno.ENOSPC:  # one bucket holds more than the piece
            size *= 2
            continue
        if answer < 0 and ctypes.get_errno() != errno.ENOENT:
            raise _refused("reading a map")
        yield found[:taken], contents[:taken]
        if answer < 0:
            return
        place, next_place = following, place
        del next_place


def delete_entries(table: int, keys: np.ndarray) -> None:
    """Delete keys of a hash map. Keys that are gone already are skipped."""
    while len(keys):
        answer, done = _batch(_DELETE_BATCH, table, None, None, np.ascontiguousarray(keys), None)
        keys = keys[done + (1 if answer < 0 else 0) :]


def _batch(
    command: int,
    table: int,
    place: ctypes.Array[ctypes.c_char] | None,
    following: ctypes.Array[ctypes.c_char] | None,
    keys: np.ndarray,
    values: np.ndarray | None,
) -> tuple[int, int]:
    """Make one call; return its answer and the number of entries it handled."""
    attributes = ctypes.create_string_buffer(
        struct.pack(
            "<QQQQIIQQ",
            ctypes.addressof(place) if place is not None else 0,
            ctypes.addressof(following) if following is not None else 0,
            keys.ctypes.data,
            values.ctypes.data if values is not None else 0,
            *(len(keys), table, 0, 0),
        )
    )
    answer = _libc.syscall(_number(_SYSCALL), command, attributes, 56)
    return answer, struct.unpack_from("<I", attributes, 32)[0]


def missed_runs(program: int) -> int:
    """Return how often a program was skipped because it already ran on that CPU; 0 if the kernel does not count."""
    of = ctypes.create_string_buffer(_PROGRAM_BYTES)
    _bpf(_INFORMATION, struct.pack("<IIQ", program, _PROGRAM_BYTES, ctypes.addressof(of)))
    misses: int = struct.unpack_from("<Q", of, _MISSES)[0]
    return misses


def wait_for_programs() -> None:
    """Wait until every program that runs now has ended: a grace period of RCU.

    Raises:
        KernelRefused: the kernel has no membarrier (before 4.3).
    """
    if _libc.syscall(_number(_MEMBARRIER), 1, 0, 0) < 0:  # MEMBARRIER_CMD_GLOBAL
        raise _refused("membarrier")


def _bpf(command: int, attributes: bytes) -> int:
    buffer = ctypes.create_string_buffer(attributes, len(attributes))
    answer: int = _libc.syscall(_number(_SYSCALL), command, buffer, len(attributes))
    return answer


def _number(of: dict[str, int]) -> int:
    try:
        return of[platform.machine()]
    except KeyError:
        raise KernelRefused(f"machine {platform.machine()} is not supported; supported: {', '.join(of)}") from None


def _refused(what: str, log: str = "") -> KernelRefused:
    code = ctypes.get_errno()
    said = next((line for line in reversed(log.splitlines()) if line and not line.startswith("processed")), "")
    remedy = ""
    if code in (errno.EPERM, errno.EACCES) and not said:
        remedy = "; CAP_BPF and CAP_PERFMON (or root) are needed"
    return KernelRefused(f"the kernel refuses {what}: {os.strerror(code)}{': ' + said if said else ''}{remedy}")
