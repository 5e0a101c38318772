"""Datagrams are counted by pair of sockets, at both ends, whichever way they are sent."""

from __future__ import annotations

import os
import socket

import pytest

from chronotope.bpf.records import CLIENT, SERVER, UDP
from tests.bpf.network import CLIENT4, SERVER4, SERVER6
from tests.bpf.seeing import Seeing, Totals

pytestmark = pytest.mark.slow

PORT_NUMBER = 7453


@pytest.mark.parametrize("connected", [True, False], ids=["connected", "unconnected"])
@pytest.mark.parametrize("address", [SERVER4, SERVER6], ids=["IPv4", "IPv6"])
def test_pairs_are_exact_at_both_ends(program, network, address, connected):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    seeing = Seeing(program, network)
    with (
        network.datagrams("server", family, (address, PORT_NUMBER)) as server,
        network.datagrams("client", family) as client,
    ):
        if connected:
            client.connect((address, PORT_NUMBER))
        for size in (0, 1, 100, 1472, 9000):  # the last in fragments
            client.send(b"q" * size) if connected else client.sendto(b"q" * size, (address, PORT_NUMBER))
            got, sender = server.recvfrom(1 << 16)
            assert len(got) == size
            server.sendto(b"a" * 50, sender)
            assert len(client.recv(100)) == 50
        new = seeing.read()
    assert set(new["transport"]) == {UDP}
    assert seeing.of(CLIENT) == Totals(0, 0, 10_573, 250)
    assert seeing.of(SERVER) == Totals(0, 0, 250, 10_573)
    assert set(new["pid"]) == {os.getpid()}
    assert len(new) == 2


def test_reads_do_not_overlap(program, network):
    """What one read tells, the next does not: also while datagrams keep coming."""
    seeing = Seeing(program, network)
    sent = 0
    with (
        network.datagrams("server", socket.AF_INET, (SERVER4, PORT_NUMBER)),
        network.datagrams("client", socket.AF_INET) as client,
    ):
        for _ in range(20):
            for _ in range(50):
                sent += client.sendto(b"x" * 10, (SERVER4, PORT_NUMBER))
            seeing.read()
    seeing.read()
    assert (seeing.of(CLIENT).bytes_out, seeing.of(SERVER).bytes_in) == (sent, sent)


def test_the_one_that_is_bound_serves(program, network):
    seeing = Seeing(program, network)
    with (
        network.datagrams("server", socket.AF_INET, (SERVER4, PORT_NUMBER)) as server,
        network.datagrams("client", socket.AF_INET, (CLIENT4, 5353)) as client,
    ):
        client.sendto(b"x", (SERVER4, PORT_NUMBER))
        server.recv(10)
        new = seeing.read()
    by_port = {int(flow["local_port"]): int(flow["role"]) for flow in new}
    assert by_port[PORT_NUMBER] == SERVER
    assert by_port[5353] != SERVER, "it was bound too, but sent first"
