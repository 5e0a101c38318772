"""Known workloads over a real kernel come out exactly: connections, bytes, failures."""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import subprocess
import sys
import time

import numpy as np
import pytest

from chronotope.bpf.namespaces import in_namespace
from chronotope.bpf.program import FlowProgram, Limits
from chronotope.bpf.records import CLIENT, PORT, SERVER, SYN
from chronotope.bpf.requirements import cgroup_root
from chronotope.ingest.agent.records import address_text
from tests.bpf.network import CLIENT4, CLIENT6, SERVER4, SERVER6, Serving, read_all
from tests.bpf.seeing import NOTHING, Seeing, Totals, settle

pytestmark = pytest.mark.slow

PORT_NUMBER = 7411


def answer(size):
    """Read all that the client says, and answer with `size` bytes."""

    def handle(connection):
        with connection:
            read_all(connection)
            connection.sendall(b"a" * size)

    return handle


def ask(connection, size):
    with connection:
        connection.sendall(b"q" * size)
        connection.shutdown(socket.SHUT_WR)
        return read_all(connection)


@pytest.mark.parametrize(
    ("bound", "address", "family", "ends"),
    [
        (SERVER4, SERVER4, socket.AF_INET, (CLIENT4, SERVER4)),
        (SERVER6, SERVER6, socket.AF_INET6, (CLIENT6, SERVER6)),
        ("::", SERVER4, socket.AF_INET6, (CLIENT4, SERVER4)),
    ],
    ids=["IPv4", "IPv6", "IPv4-mapped"],
)
def test_connections_and_bytes_are_exact_at_both_ends(program, network, bound, address, family, ends):
    seeing = Seeing(program, network)
    with Serving(network.listen(bound, PORT_NUMBER), answer(70_001)):
        for size in range(40):
            assert ask(network.connect(address, PORT_NUMBER, family), 1000 + size) == 70_001
        seeing.read_until(40)
    asked = sum(1000 + size for size in range(40))
    assert seeing.of(CLIENT) == Totals(40, 0, asked, 40 * 70_001)
    assert seeing.of(SERVER) == Totals(40, 0, 40 * 70_001, asked)
    flow = seeing.flows[seeing.flows["role"] == SERVER][0]
    assert (address_text(flow["remote_address"].tobytes()), address_text(flow["local_address"].tobytes())) == ends
    assert set(seeing.flows["origin"]) == {SYN}
    assert set(seeing.flows["pid"]) == {os.getpid()}
    assert set(seeing.flows["local_port"][seeing.flows["role"] == SERVER]) == {PORT_NUMBER}


def test_a_long_connection_is_told_while_it_lives(program, network):
    """Each read tells what came since the one before, and the connection itself once."""
    seeing = Seeing(program, network)
    listener = network.listen(SERVER4, PORT_NUMBER)
    client = network.connect(SERVER4, PORT_NUMBER)
    server, _ = listener.accept()
    told = []
    for round_ in range(1, 6):
        client.sendall(b"x" * 1000 * round_)
        assert len(server.recv(1000 * round_, socket.MSG_WAITALL)) == 1000 * round_
        server.sendall(b"y" * 10)
        client.recv(100)
        settle()
        told.append(seeing.of(CLIENT, seeing.read()))
    assert told == [Totals(int(round_ == 1), 0, 1000 * round_, 10) for round_ in range(1, 6)]
    assert seeing.of(CLIENT, seeing.read()) == NOTHING, "an idle connection says nothing"
    for each in (client, server, listener):
        each.close()
    settle()
    assert seeing.of(CLIENT, seeing.read()) == NOTHING, "closing adds nothing that was told"
    assert seeing.of(SERVER) == Totals(1, 0, 50, 15_000)


def test_a_connection_from_before_counts_from_now_on(network):
    listener = network.listen(SERVER4, PORT_NUMBER)
    client = network.connect(SERVER4, PORT_NUMBER)
    server, _ = listener.accept()
    client.sendall(b"x" * 5000)
    assert len(server.recv(5000, socket.MSG_WAITALL)) == 5000
    program = FlowProgram(Limits(connections=4096, detailed=512))
    try:
        seeing = Seeing(program, network)
        client.sendall(b"x" * 77)
        server.recv(77, socket.MSG_WAITALL)
        server.sendall(b"y" * 33)
        client.recv(33, socket.MSG_WAITALL)
        settle()
        seeing.read()
        client.close()
        server.close()
        settle()
        seeing.read()
    finally:
        program.close()
        listener.close()
    assert seeing.of(CLIENT) == Totals(0, 0, 77, 33)
    assert seeing.of(SERVER) == Totals(0, 0, 33, 77)
    assert set(seeing.flows["origin"]) == {PORT}
    assert set(seeing.flows["inode"] > 0) == {True}, "by its socket's inode the process can be found"


def test_refused_connections_are_failures(program, network):
    seeing = Seeing(program, network)
    for _ in range(7):
        with pytest.raises(ConnectionRefusedError):
            network.connect(SERVER4, PORT_NUMBER)
    seeing.read()
    assert seeing.of(CLIENT) == Totals(0, 7, 0, 0)
    assert seeing.of(SERVER) == NOTHING


def test_what_nobody_answers_fails_when_it_is_given_up(program, network):
    """One is given up by the kernel (no such neighbour), one by the program."""
    seeing = Seeing(program, network)
    absent = SERVER4.rpartition(".")[0] + ".99"
    with pytest.raises(TimeoutError):
        network.connect(absent, PORT_NUMBER, timeout_s=0.2)
    with pytest.raises(OSError, match="No route to host"):
        network.connect(absent, PORT_NUMBER, timeout_s=20)
    seeing.read()
    assert seeing.of(CLIENT) == Totals(0, 2, 0, 0)


def test_a_reset_connection_was_one(program, network):
    seeing = Seeing(program, network)
    listener = network.listen(SERVER4, PORT_NUMBER)
    for _ in range(5):
        client = network.connect(SERVER4, PORT_NUMBER)
        client.sendall(b"x" * 100)
        server, _ = listener.accept()
        server.recv(100)
        server.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        server.close()
        client.close()
    listener.close()
    seeing.read_until(5)
    assert seeing.of(CLIENT) == Totals(5, 0, 500, 0)
    assert seeing.of(SERVER) == Totals(5, 0, 0, 500)


def test_a_client_that_vanishes_leaves_one_connection(program, network):
    """Half open: the wire is cut, the client's end is closed, the server's end lives on."""
    seeing = Seeing(program, network)
    listener = network.listen(SERVER4, PORT_NUMBER)
    client = network.connect(SERVER4, PORT_NUMBER)
    server, _ = listener.accept()
    client.sendall(b"x" * 1234)
    server.recv(1234, socket.MSG_WAITALL)
    network.set_wire("down")
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    for _ in range(3):
        settle()
        seeing.read()
    assert seeing.of(CLIENT) == Totals(1, 0, 1234, 0)
    assert seeing.of(SERVER) == Totals(1, 0, 0, 1234)
    assert seeing.flows["alive"][seeing.flows["role"] == SERVER].tolist() == [1]
    server.close()
    listener.close()


@pytest.mark.parametrize("cut", ["lost on the way", "refused by the device"])
def test_bytes_sent_again_count_once(program, network, cut):
    lost = cut == "lost on the way"
    seeing = Seeing(program, network)
    listener = network.listen(SERVER4, PORT_NUMBER)
    client = network.connect(SERVER4, PORT_NUMBER)
    server, _ = listener.accept()
    client.sendall(b"x" * 10)
    server.recv(10)
    network.lose_all() if lost else network.set_wire("down")
    client.sendall(b"y" * 3000)
    time.sleep(0.7)
    network.lose_nothing() if lost else network.set_wire("up")
    assert len(server.recv(3000, socket.MSG_WAITALL)) == 3000
    for each in (client, server, listener):
        each.close()
    seeing.read_until(1)
    assert seeing.of(CLIENT) == Totals(1, 0, 3010, 0)
    assert seeing.of(SERVER) == Totals(1, 0, 0, 3010)
    assert (seeing.flows["retransmits"][seeing.flows["role"] == CLIENT].sum() > 0) == lost


def test_every_way_to_send_counts_alike(program, network, tmp_path):
    """writev, sendfile, splice, urgent data, peeking, and data that nobody reads."""
    seeing = Seeing(program, network)
    file = tmp_path / "file"
    file.write_bytes(b"f" * 300_000)
    received = []

    def handle(connection):
        with connection:
            connection.recv(50, socket.MSG_PEEK)
            received.append(read_all(connection))

    with Serving(network.listen(SERVER4, PORT_NUMBER), handle), file.open("rb") as content:
        client = network.connect(SERVER4, PORT_NUMBER)
        client.settimeout(None)
        client.sendmsg([b"a" * 10, b"b" * 20, b"c" * 30])
        left = 300_000
        while left:
            left -= os.sendfile(client.fileno(), content.fileno(), 300_000 - left, left)
        out, into = os.pipe()
        os.write(into, b"p" * 4000)
        assert os.splice(out, client.fileno(), 4000) == 4000
        client.close()
        os.close(out)
        os.close(into)
        seeing.read_until(1)
    assert received == [304_060]
    assert seeing.of(CLIENT) == Totals(1, 0, 304_060, 0)
    assert seeing.of(SERVER) == Totals(1, 0, 0, 304_060)


def test_ten_thousand_short_connections_are_all_counted(program, network):
    """Far more than are told one by one: the rest is summed by pair, and nothing is lost."""
    seeing = Seeing(program, network)

    def handle(connection):
        with connection:
            connection.recv(64)
            connection.sendall(b"a" * 7)

    def ask_once():
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as client:
            client.connect((SERVER4, PORT_NUMBER))
            client.sendall(b"q" * 11)
            assert client.recv(64) == b"a" * 7

    def part():
        for _ in range(2500):
            ask_once()

    with Serving(network.listen(SERVER4, PORT_NUMBER), handle):
        for round_ in range(4):
            in_namespace(network.client, part)
            if round_ % 2:
                seeing.read()
        seeing.read_until(10_000)
    assert seeing.of(CLIENT) == Totals(10_000, 0, 110_000, 70_000)
    assert seeing.of(SERVER) == Totals(10_000, 0, 70_000, 110_000)
    summed = (seeing.flows["local_port"] == 0) | (seeing.flows["remote_port"] == 0)
    assert seeing.flows["connections"][summed].sum() > 10_000
    lost = {name for name, value in program.counters().items() if name.startswith("lost_") and value}
    assert not lost - {"lost_changes"}, "those are also of the machine's other connections"


def test_listeners_are_told_with_what_they_serve(program, network):
    seeing = Seeing(program, network)
    with network.listen("::", 7421), network.listen(SERVER4, 7422):
        seeing.read()
    found = {
        int(row["local_port"]): (address_text(row["local_address"].tobytes()), bool(row["failed"]))
        for row in seeing.listeners
    }
    assert found == {7421: ("::", True), 7422: (SERVER4, False)}


@pytest.fixture(scope="module")
def small(_kernel):
    made = FlowProgram(
        Limits(connections=64, detailed=16, pairs=64, datagrams=64), cgroup=cgroup_root(), datagrams=False
    )
    yield made
    made.close()


def test_full_tables_are_counted_not_hidden(small, network):
    limit = small.limits.places
    seeing = Seeing(small, network)
    listener = network.listen(SERVER4, PORT_NUMBER)
    clients = [network.connect(SERVER4, PORT_NUMBER) for _ in range(100)]
    seeing.read()
    assert small.counters()["lost_connections"] >= 100 * 2 - limit
    assert np.sum(seeing.flows["connections"]) <= limit
    for client in clients:
        client.close()
    listener.close()


def accept_nobody(listener):
    """Accept as a server does that gives no room for an address."""
    descriptor = ctypes.CDLL(None).accept4(listener.fileno(), None, None, socket.SOCK_CLOEXEC)
    return socket.socket(fileno=descriptor)


def test_a_server_that_asks_for_no_address_is_named_by_its_reads(small, network):
    """Reads are watched once some server needs it: the first interval knows its socket only."""
    seeing, told = Seeing(small, network), []
    with (
        network.listen(SERVER4, PORT_NUMBER) as listener,
        network.connect(SERVER4, PORT_NUMBER) as client,
        accept_nobody(listener) as server,
    ):
        for _ in range(3):
            client.sendall(b"x" * 10)
            server.recv(10, socket.MSG_WAITALL)
            new = seeing.read()
            told.append(new[new["role"] == SERVER])
    assert [len(flows) for flows in told] == [1, 1, 1]
    assert told[0]["pid"] == os.getpid() or told[0]["inode"] > 0
    assert told[2]["pid"] == os.getpid()


def test_a_connection_that_was_handed_over_is_its_new_owners(program, network):
    """As a super-server does: the one that accepted starts another program, which asks who called."""
    seeing = Seeing(program, network)
    asks = "import socket, sys, os; socket.socket(fileno=int(sys.argv[1])).getpeername(); print(os.getpid())"
    with network.listen(SERVER4, PORT_NUMBER) as listener, network.connect(SERVER4, PORT_NUMBER) as client:
        server, _ = listener.accept()
        with server:
            command = [sys.executable, "-S", "-c", asks, str(server.fileno())]
            said = subprocess.run(command, pass_fds=[server.fileno()], check=True, capture_output=True, text=True)
            client.sendall(b"x")
            server.recv(1)
            new = seeing.read()
    assert {int(flow["pid"]) for flow in new if flow["role"] == SERVER} == {int(said.stdout)}
    assert {int(flow["pid"]) for flow in new if flow["role"] == CLIENT} == {os.getpid()}
