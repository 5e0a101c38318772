"""The collector over a real kernel: processes, claims, translated destinations, sockets from before."""

from __future__ import annotations

import socket
import subprocess
import sys
import time

import pyarrow as pa
import pytest

from chronotope.bpf.program import FlowProgram, Limits
from chronotope.bpf.requirements import cgroup_root
from chronotope.ingest.agent.collector import Collector, Ours
from chronotope.ingest.agent.records import Interval
from chronotope.ingest.hosts.naming import Naming
from chronotope.ingest.hosts.processes import Processes
from tests.bpf.network import CLIENT4, SERVER4, SERVER6, Network
from tests.needs import need_bpf, need_debian, need_kernel

pytestmark = pytest.mark.slow

TALKS = """
import socket, sys, time
port = int(sys.argv[1])
if sys.argv[2] == "serve":
    listener = socket.create_server(("::", port), family=socket.AF_INET6, dualstack_ipv6=True)
    print("ready", flush=True)
    connection, _ = listener.accept()
    while data := connection.recv(4096):
        connection.sendall(data)
else:
    connection = socket.create_connection((sys.argv[2], port))
    print("ready", flush=True)
    for line in sys.stdin:
        connection.sendall(b"x" * int(line))
        connection.recv(65536)
        print("sent", flush=True)
"""

TAKES = """
import socket, sys
taking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
taking.bind(("0.0.0.0", int(sys.argv[1])))
print("ready", flush=True)
while True:
    taking.recv(4096)
"""


@pytest.fixture(scope="module", autouse=True)
def _kernel():
    need_bpf()


@pytest.fixture
def network():
    with Network() as made:
        yield made


class Talking:
    """A process in a namespace, named by its environment."""

    def __init__(self, network, side, service, *words, script=TALKS):
        namespace = (network.client if side == "client" else network.server).rpartition("/")[2]
        command = ["ip", "netns", "exec", namespace, sys.executable, "-S", "-c", script, *words]
        environment = {"OTEL_SERVICE_NAME": service, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        self._process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        assert self._process.stdout.readline() == "ready\n"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.communicate()

    def say(self, size):
        self._process.stdin.write(f"{size}\n")
        assert self._process.stdout.readline() == "sent\n"


class Collecting:
    """A collector whose batches are looked at."""

    def __enter__(self):
        self.batches = []
        self._program = FlowProgram(Limits(connections=4096, detailed=512), cgroup=cgroup_root())
        put = lambda route, body: self.batches.append((route, pa.ipc.open_stream(body).read_all().to_pylist()))  # noqa: E731
        self._collector = Collector(self._program, Processes(Naming()), put, "host-1", Ours())
        return self

    def __exit__(self, *_):
        self._collector.close()
        self._program.close()

    def collect(self):
        now = time.time_ns() // 1_000_000
        time.sleep(0.05)
        self._collector.collect(Interval(now - 1000, now + 60))

    def records(self, route, **values):
        rows = [row for name, batch in self.batches if name == route for row in batch]
        return [row for row in rows if all(row[name] == value for name, value in values.items())]


def test_processes_that_were_there_before_are_known(network):
    with (
        Talking(network, "server", "web", "7601", "serve"),
        Talking(network, "client", "shop", "7601", SERVER4) as shop,
    ):
        with Collecting() as collecting:
            shop.say(1000)
            collecting.collect()
        (client,) = collecting.records("flows", observer="client", server_address=SERVER4)
        (server,) = collecting.records("flows", observer="server", server_address=SERVER4)
    assert (client["service"], client["direction"], client["bytes_sent"], client["connections"]) == (
        "shop",
        "port",
        1000,
        0,
    )
    assert (server["service"], server["direction"], server["bytes_sent"], server["server_port"]) == (
        "web",
        "port",
        1000,
        7601,
    )


def test_a_namespace_of_one_service_is_claimed_whole(network):
    with Talking(network, "server", "web", "7602", "serve"), Collecting() as collecting:
        collecting.collect()
        claimed = {(claim["address"], claim["port"]) for claim in collecting.records("identities", service="web")}
        assert claimed == {(SERVER4, None), (SERVER6, None)}
        collecting.collect()
        assert len(collecting.records("identities", address=SERVER4)) == 1, "nothing changed: no heartbeat yet"


def test_behind_a_virtual_address_the_real_server_is_told(network):
    need_debian("iptables")
    virtual = "10.231.99.99"
    rule = ["iptables", "-w", "-t", "nat", "-A", "OUTPUT", "-d", virtual, "-p", "tcp", "--dport", "80"]
    try:
        network.exec("client", *rule, "-j", "DNAT", "--to-destination", f"{SERVER4}:7603")
        network.exec("client", "ip", "route", "add", f"{virtual}/32", "via", SERVER4)
    except subprocess.CalledProcessError as error:
        need_kernel(f"destinations cannot be translated: {error}")
    with (
        Talking(network, "server", "web", "7603", "serve"),
        Collecting() as collecting,
        Talking(network, "client", "shop", "80", virtual) as shop,
    ):
        shop.say(10)
        collecting.collect()
    (client,) = collecting.records("flows", observer="client", client_address=CLIENT4)
    (server,) = collecting.records("flows", observer="server", client_address=CLIENT4)
    assert (client["server_address"], client["server_port"]) == (virtual, 80)
    assert (client["translated_server_address"], client["translated_server_port"]) == (SERVER4, 7603)
    assert (server["server_address"], server["server_port"]) == (SERVER4, 7603)
    assert server["client_port"] == client["client_port"]


def test_a_server_that_only_takes_datagrams_is_known(network):
    """It never sends, so no program ever runs in its name: its socket leads to it."""
    with Talking(network, "server", "statistics", "8125", script=TAKES), Collecting() as collecting:
        with network.datagrams("client", socket.AF_INET) as client:
            for _ in range(3):
                client.sendto(b"x" * 20, (SERVER4, 8125))
        collecting.collect()
    (record,) = collecting.records("flows", observer="server", server_address=SERVER4)
    assert (record["service"], record["transport"], record["bytes_sent"]) == ("statistics", "udp", 60)
    assert collecting.records("identities", service="statistics")
