"""The owner of the local end of each flow: found by its process, its socket, or the process that listens there.

Invariant: each process, socket and listener is looked up once for all flows that have it.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from chronotope.bpf.records import SERVER
from chronotope.ingest.hosts.naming import NOBODY, Owner
from chronotope.ingest.hosts.processes import Processes

_LOOK_AGAIN_S = 20.0  # sockets that no process holds would be looked for at every read
_PROCESS, _SOCKET, _LISTENER = 0, 1, 2


class LocalOwners:
    """Finds the owners of local ends. Not thread-safe."""

    def __init__(self, processes: Processes, clock: Callable[[], float] = time.monotonic) -> None:
        self._processes = processes
        self._clock = clock
        self._looked_s = -_LOOK_AGAIN_S
        self._listeners: dict[tuple[int, int], Owner] = {}  # namespace and port

    def listen(self, listeners: np.ndarray) -> list[Owner]:
        """Replace the known listeners by FLOW[N], and return their owners."""
        inodes = listeners["inode"].tolist()
        self._find(inodes)
        owners = [self._processes.owner_of_socket(inode) for inode in inodes]
        places = zip(listeners["netns"].tolist(), listeners["local_port"].tolist(), strict=True)
        self._listeners = dict(zip(places, owners, strict=True))
        return owners

    def __call__(self, flows: np.ndarray) -> tuple[np.ndarray, list[Owner]]:
        """Return the owner of each of FLOW[N]: int[N] into the list."""
        pid, inode = flows["pid"].astype(np.uint64), flows["inode"]
        kind = np.select([pid > 0, inode > 0], [_PROCESS, _SOCKET], _LISTENER)
        key = np.select([pid > 0, inode > 0], [flows["process_start_ns"], inode], flows["netns"].astype(np.uint64))
        self._find(np.unique(inode[kind == _SOCKET]).tolist())
        distinct, first, code = _distinct(
            kind, key, pid, flows["netns"], np.where(_serves(flows), flows["local_port"], 0)
        )
        del distinct
        return code, [self._owner(flows[row], int(kind[row])) for row in first.tolist()]

    def _owner(self, flow: np.void, kind: int) -> Owner:
        owner = NOBODY
        if kind == _PROCESS:
            owner = self._processes.owner(int(flow["pid"]), int(flow["process_start_ns"]))
        elif kind == _SOCKET:
            owner = self._processes.owner_of_socket(int(flow["inode"]))
        if not owner.service and flow["role"] == SERVER:
            owner = self._listeners.get((int(flow["netns"]), int(flow["local_port"])), NOBODY)
        return owner

    def _find(self, inodes: list[int]) -> None:
        now_s = self._clock()
        if now_s - self._looked_s >= _LOOK_AGAIN_S and not self._processes.knows_sockets(inodes):
            self._processes.find_sockets()
            self._looked_s = now_s


def _serves(flows: np.ndarray) -> np.ndarray:
    serves: np.ndarray = flows["role"] == SERVER
    return serves


def _distinct(*columns: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Like np.unique of rows with index and inverse, of columns one after the other."""
    code = np.zeros(len(columns[0]), np.int64)
    first = distinct = code[:0]
    for column in columns:
        values, of = np.unique(column, return_inverse=True)
        distinct, first, code = np.unique(code * max(len(values), 1) + of, return_index=True, return_inverse=True)
    return distinct, first, code
