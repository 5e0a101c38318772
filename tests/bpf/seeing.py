"""What the programs told of a network, added up for tests: other traffic of the machine is left out."""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np

from chronotope.bpf.program import FlowProgram, listeners_of
from chronotope.bpf.records import CLIENT, FLOW, SERVER
from tests.bpf.network import Network


class Totals(NamedTuple):
    connections: int
    failed: int
    bytes_out: int
    bytes_in: int


NOTHING = Totals(0, 0, 0, 0)


class Seeing:
    """Everything read so far."""

    def __init__(self, program: FlowProgram, network: Network) -> None:
        self._program = program
        self._network = network
        self.flows = np.zeros(0, FLOW)
        self.listeners = np.zeros(0, FLOW)
        self._since_ns = time.monotonic_ns()
        program.read(network.paths)

    def read(self) -> np.ndarray:
        """Read once; return what is new of both namespaces."""
        flows, self.listeners = listeners_of(self._program.read(self._network.paths))
        # A namespace's number is used again: what an earlier test's sockets do late is not this test's.
        ours = np.isin(flows["netns"], list(self._network.paths))
        new = flows[ours & ((flows["opened_ns"] == 0) | (flows["opened_ns"] >= self._since_ns))]
        self.flows = np.concatenate([self.flows, new])
        return new

    def read_until(self, connections: int, failed: int = 0, timeout_s: float = 20) -> None:
        """Read until both ends told of so many connections: a socket may outlive its close for a moment."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            self.read()
            client, server = self.of(CLIENT), self.of(SERVER)
            if (client.connections, client.failed, server.connections) == (connections, failed, connections):
                return
            time.sleep(0.02)

    def of(self, role: int, flows: np.ndarray | None = None) -> Totals:
        chosen = self.flows if flows is None else flows
        mine = chosen[chosen["role"] == role]
        return Totals(*(int(mine[name].sum()) for name in ("connections", "failed", "bytes_out", "bytes_in")))


def settle() -> None:
    """Wait until the kernel has done what a system call has only begun."""
    time.sleep(0.05)
