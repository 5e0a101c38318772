"""The network namespaces of the host: find them, and run a function in one.

Invariant: only a thread made for the work changes its namespace, and it ends with the work. No other thread notices.
"""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

from chronotope.bpf.kernel import KernelRefused

_CLONE_NEWNET = 0x40000000
_NAMED = Path("/run/netns")
_ASK_AGAIN_S = 10.0
_libc = ctypes.CDLL(None, use_errno=True)
T = TypeVar("T")


def find_namespaces(proc: Path = Path("/proc")) -> dict[int, str]:
    """Return the namespaces that a process lives in or that have a name: inode number → a path that opens it."""
    return Namespaces(proc).find()


class Namespaces:
    """The same for repeated calls: a known process is looked at again only after a while."""

    def __init__(self, proc: Path = Path("/proc"), clock: Callable[[], float] = time.monotonic) -> None:
        self._proc = proc
        self._clock = clock
        self._asked_s = -_ASK_AGAIN_S
        self._known: dict[str, int] = {}  # path → inode number

    def find(self) -> dict[int, str]:
        """Return what find_namespaces does. A process that changes its namespace is found there within ten seconds."""
        now_s = self._clock()
        if now_s - self._asked_s >= _ASK_AGAIN_S:
            self._known.clear()
            self._asked_s = now_s
        found: dict[int, str] = {}
        known: dict[str, int] = {}
        for path in _of_processes(self._proc):
            inode = self._known.get(path) or _inode_of(path)
            if inode:
                known[path] = inode
                found.setdefault(inode, path)
        self._known = known
        for path in _named():
            found.setdefault(_inode_of(path), path)
        found.pop(0, None)
        return found


def own_namespace() -> int:
    """Return the inode number of this process's namespace."""
    return os.stat("/proc/self/ns/net").st_ino


def in_namespace(path: str, work: Callable[[], T]) -> T:
    """Run a function in a namespace, and return its result.

    Raises:
        KernelRefused: the namespace cannot be entered; a namespace that is gone is `FileNotFoundError`.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    results: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            if _libc.setns(descriptor, _CLONE_NEWNET):
                code = ctypes.get_errno()
                raise KernelRefused(f"entering {path} is refused: {os.strerror(code)}; CAP_SYS_ADMIN is needed")
            results.append(work())
        except BaseException as error:  # noqa: BLE001 - raised again by the caller's thread
            errors.append(error)

    thread = threading.Thread(target=run, name="namespace", daemon=True)
    try:
        thread.start()
        thread.join()
    finally:
        os.close(descriptor)
    if errors:
        raise errors[0]
    return results[0]


def _inode_of(path: str) -> int:
    """The inode number of a namespace; 0 where it ended meanwhile, or is another user's."""
    try:
        return os.stat(path).st_ino
    except OSError:
        return 0


def _of_processes(proc: Path) -> Iterable[str]:
    return (f"{proc}/{name}/ns/net" for name in os.listdir(proc) if name.isdecimal())


def _named() -> Iterable[str]:
    try:
        return [str(path) for path in _NAMED.iterdir()]
    except OSError:
        return []
