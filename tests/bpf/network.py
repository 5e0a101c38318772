"""Two network namespaces with a wire between them, of real interfaces; removed afterwards."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
import uuid
from collections.abc import Callable
from types import TracebackType
from typing import Self

from chronotope.bpf.namespaces import in_namespace

CLIENT4, SERVER4 = "10.231.7.1", "10.231.7.2"
CLIENT6, SERVER6 = "fd31::1", "fd31::2"


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


class Network:
    """`client` and `server`: paths of the namespaces; sockets made there can be used from anywhere."""

    def __enter__(self) -> Self:
        name = uuid.uuid4().hex[:6]
        self._names = [f"ct-{name}-c", f"ct-{name}-s"]
        self.client, self.server = (f"/run/netns/{name}" for name in self._names)
        self.wire = f"ct{name}c"
        for namespace in self._names:
            ip("netns", "add", namespace)
        far = f"ct{name}s"
        ip(
            "link",
            "add",
            self.wire,
            "netns",
            self._names[0],
            "type",
            "veth",
            "peer",
            "name",
            far,
            "netns",
            self._names[1],
        )
        ends = (self._names[0], self.wire, CLIENT4, CLIENT6), (self._names[1], far, SERVER4, SERVER6)
        for namespace, device, ipv4, ipv6 in ends:
            ip("-n", namespace, "addr", "add", f"{ipv4}/24", "dev", device)
            ip("-n", namespace, "addr", "add", f"{ipv6}/64", "dev", device, "nodad")
            ip("-n", namespace, "link", "set", "lo", "up")
            ip("-n", namespace, "link", "set", device, "up")
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        for namespace in self._names:
            subprocess.run(["ip", "netns", "del", namespace], check=False)

    @property
    def client_netns(self) -> int:
        return os.stat(self.client).st_ino

    @property
    def server_netns(self) -> int:
        return os.stat(self.server).st_ino

    @property
    def paths(self) -> dict[int, str]:
        return {self.client_netns: self.client, self.server_netns: self.server}

    def set_wire(self, state: str) -> None:
        ip("-n", self._names[0], "link", "set", self.wire, state)

    def lose_all(self) -> None:
        """Let packets to the server go to an interface that is not there."""
        ip("-n", self._names[0], "neigh", "replace", SERVER4, "lladdr", "02:00:00:00:00:99", "dev", self.wire)

    def lose_nothing(self) -> None:
        ip("-n", self._names[0], "neigh", "del", SERVER4, "dev", self.wire)

    def exec(self, side: str, *command: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        name = self._names[0 if side == "client" else 1]
        words = ["ip", "netns", "exec", name, *command]
        return subprocess.run(words, check=True, capture_output=True, text=True, env={**os.environ, **(env or {})})

    def connect(self, address: str, port: int, family: int = 0, timeout_s: float = 10) -> socket.socket:
        """Connect from the client's side; `family` AF_INET6 with an IPv4 address makes it a mapped one."""
        of = family or (socket.AF_INET6 if ":" in address else socket.AF_INET)
        made = in_namespace(self.client, lambda: socket.socket(of, socket.SOCK_STREAM))
        made.settimeout(timeout_s)
        try:
            made.connect((f"::ffff:{address}" if of == socket.AF_INET6 and ":" not in address else address, port))
        except OSError:
            made.close()
            raise
        return made

    def datagrams(self, side: str, family: int, address: tuple[str, int] | None = None) -> socket.socket:
        path = self.client if side == "client" else self.server

        def make() -> socket.socket:
            made = socket.socket(family, socket.SOCK_DGRAM)
            made.settimeout(10)
            if address:
                made.bind(address)
            return made

        return in_namespace(path, make)

    def listen(self, address: str, port: int) -> socket.socket:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        return in_namespace(
            self.server,
            lambda: socket.create_server((address, port), family=family, backlog=4096, dualstack_ipv6=address == "::"),
        )


class Serving:
    """A server in a thread: hands each connection to `handle`, which must leave it closed."""

    def __init__(self, listener: socket.socket, handle: Callable[[socket.socket], None]) -> None:
        self._listener = listener
        self._handle = handle
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(10)
        self._listener.close()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._handle(connection)


def read_all(of: socket.socket) -> int:
    """Read to the end; return how many bytes came."""
    count = 0
    while piece := of.recv(1 << 16):
        count += len(piece)
    return count
