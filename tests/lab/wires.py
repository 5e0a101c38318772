"""Hosts that share a switch: network namespaces on one bridge, which lives in a namespace too. Removed afterwards."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self


def ip(*words: str) -> None:
    """Run iproute2."""
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


class Wires:
    """Hosts by name, each with an address; processes that are started on them end with it."""

    def __init__(self, hosts: Sequence[str], network: str = "10.231") -> None:
        self._lab = uuid.uuid4().hex[:6]
        self._hub = f"lab-{self._lab}-hub"
        self.addresses = {host: f"{network}.{at // 200}.{at % 200 + 1}" for at, host in enumerate(hosts)}
        self._made: list[str] = []
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        try:
            self._add(self._hub)
            ip("-n", self._hub, "link", "add", "hub", "type", "bridge")
            ip("-n", self._hub, "link", "set", "hub", "up")
            for at, (host, address) in enumerate(self.addresses.items()):
                self._plug(at, self.namespace(host), address)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for namespace in reversed(self._made):
            subprocess.run(["ip", "netns", "del", namespace], check=False)

    def namespace(self, host: str) -> str:
        """The network namespace that a host is."""
        return f"lab-{self._lab}-{list(self.addresses).index(host)}"

    def start(self, host: str, *command: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start a process on a host, known by the service's name as OpenTelemetry's processes are."""
        process = subprocess.Popen(
            ["ip", "netns", "exec", self.namespace(host), *command],
            env={**os.environ, "OTEL_SERVICE_NAME": host, **(env or {})},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.processes[f"{host} {command[0]} {len(self.processes)}"] = process
        return process

    def _add(self, namespace: str) -> None:
        ip("netns", "add", namespace)
        self._made.append(namespace)
        ip("-n", namespace, "link", "set", "lo", "up")

    def _plug(self, at: int, namespace: str, address: str) -> None:
        self._add(namespace)
        port = f"p{at}"
        ip(*f"link add eth0 netns {namespace} type veth peer name {port} netns {self._hub}".split())
        ip("-n", namespace, "addr", "add", f"{address}/16", "dev", "eth0")
        ip("-n", namespace, "link", "set", "eth0", "up")
        ip("-n", self._hub, "link", "set", port, "master", "hub", "up")
