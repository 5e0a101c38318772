"""From what the kernel told to flow records: roles, times, translations, what is left out."""

from __future__ import annotations

import ipaddress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronotope.bpf.records import CLIENT, FLOW, PORT, SERVER, SYN, TCP, UDP, UNKNOWN
from chronotope.ingest.agent.records import Interval, Observer, address_text, directed_flows, flow_table
from chronotope.ingest.hosts.naming import NOBODY, Owner

INTERVAL = Interval(1_700_000_000_000, 1_700_000_005_000)
OFFSET_NS = 1_600_000_000_000_000_000
OBSERVER = Observer("host-1", netns=7, wall_less_monotonic_ns=OFFSET_NS)


def packed(text):
    address = ipaddress.ip_address(text)
    return np.void(address.packed if address.version == 6 else b"\0" * 10 + b"\xff\xff" + address.packed)


def mono(ms):
    return (INTERVAL.start_ms + ms) * 1_000_000 - OFFSET_NS


def flow(local, local_port, remote, remote_port, **values):
    row = np.zeros(1, FLOW)
    row["local_address"], row["remote_address"] = packed(local), packed(remote)
    row["local_port"], row["remote_port"] = local_port, remote_port
    said = {"transport": TCP, "role": CLIENT, "origin": SYN, "netns": 7, "pid": 1, "connections": 1, **values}
    for name, value in said.items():
        row[name] = value
    return row


def records(*rows, owner=NOBODY, translations=None, **left_out):
    seen = directed_flows(np.concatenate(rows), **left_out)
    owners = np.zeros(len(seen.flows), np.int64), [owner]
    return flow_table(seen, lambda _: owners, INTERVAL, OBSERVER, translations or {}).to_pylist()


def test_both_ends_tell_the_same_connection():
    at_client = flow("10.0.0.1", 40000, "10.0.0.2", 80, bytes_out=100, bytes_in=900)
    at_server = flow("10.0.0.2", 80, "10.0.0.1", 40000, role=SERVER, bytes_out=900, bytes_in=100)
    first, second = records(at_client, at_server, owner=Owner("cart", "shop", "i-1"))
    for name in ("client_address", "client_port", "server_address", "server_port", "bytes_sent", "bytes_received"):
        assert first[name] == second[name]
    assert (first["observer"], second["observer"]) == ("client", "server")
    assert (first["service"], first["namespace"], first["instance"], first["host"]) == ("cart", "shop", "i-1", "host-1")
    assert first["direction"] == "syn"


def test_a_record_lies_within_its_interval():
    rows = (
        flow("10.0.0.1", 1, "10.0.0.2", 80, opened_ns=mono(1200), at_ns=mono(1700)),
        flow("10.0.0.1", 2, "10.0.0.2", 80, opened_ns=mono(-90_000), at_ns=mono(1700)),
        flow("10.0.0.1", 3, "10.0.0.2", 80, opened_ns=0, at_ns=mono(4000), alive=1),
        flow("10.0.0.1", 4, "10.0.0.2", 80, opened_ns=mono(6000), at_ns=mono(6001), alive=1),
        flow("10.0.0.1", 0, "10.0.0.2", 80, opened_ns=mono(-3000), at_ns=mono(-3000), connections=9),
    )
    begin = INTERVAL.start_ms
    times = [
        (int(r["start"].timestamp() * 1000) - begin, int(r["end"].timestamp() * 1000) - begin) for r in records(*rows)
    ]
    assert times == [(1200, 1700), (0, 1700), (0, 5000), (4999, 5000), (0, 5000)]


def test_summed_connections_have_no_port():
    (record,) = records(flow("10.0.0.1", 0, "10.0.0.2", 80, connections=500))
    assert (record["client_port"], record["connections"]) == (None, 500)


@pytest.mark.parametrize(
    ("local", "remote", "role", "client_port", "direction"),
    [
        (40000, 53, CLIENT, 40000, "port"),
        (53, 40000, SERVER, 40000, "port"),
        (123, 123, UNKNOWN, 123, "unknown"),
        (5353, 40000, UNKNOWN, 40000, "port"),
        (40000, 5353, UNKNOWN, 40000, "port"),
        (53, 1900, UNKNOWN, 1900, "port"),
        (40000, 50000, UNKNOWN, 50000, "unknown"),
    ],
)
def test_the_role_in_datagrams(local, remote, role, client_port, direction):
    (record,) = records(flow("10.0.0.1", local, "10.0.0.2", remote, role=role, origin=0, transport=UDP, bytes_out=1))
    assert (record["client_port"], record["direction"], record["transport"]) == (client_port, direction, "udp")


def test_what_says_nothing_makes_no_record():
    assert records(flow("10.0.0.1", 1, "10.0.0.2", 80, connections=0, rtt_us_sum=5, rtt_count=1)) == []
    assert len(records(flow("10.0.0.1", 1, "10.0.0.2", 80, connections=0, failed=1))) == 1


def test_our_own_connections_are_left_out_at_both_ends():
    ours = flow("10.0.0.1", 40000, "10.0.0.9", 8428, pid=55)
    found_open = flow("10.0.0.1", 40000, "10.0.0.9", 8428, connections=0, bytes_out=9)  # nobody saw who opened it
    at_server = flow("10.0.0.9", 8428, "10.0.0.1", 40000, role=SERVER, pid=66)
    other = flow("10.0.0.9", 8428, "10.0.0.1", 40001, role=SERVER, pid=66)
    kept = records(ours, found_open, at_server, other, ours=[("10.0.0.1", 40000)], own_pid=55)
    assert [record["client_port"] for record in kept] == [40001]


def test_a_translated_destination_is_told():
    virtual = flow("10.0.0.1", 40000, "10.96.0.1", 80)
    plain = flow("10.0.0.1", 40001, "10.96.0.1", 80)
    key = (packed("10.0.0.1").tobytes(), 40000, packed("10.96.0.1").tobytes(), 80, TCP)
    first, second = records(virtual, plain, translations={7: {key: (packed("10.0.0.7").tobytes(), 8080)}})
    assert (first["server_address"], first["translated_server_address"], first["translated_server_port"]) == (
        "10.96.0.1", "10.0.0.7", 8080,
    )  # fmt: skip
    assert second["translated_server_address"] is None


def test_loopback_of_a_container_is_not_the_hosts():
    inside = flow("127.0.0.1", 1, "127.0.0.1", 80, netns=9)
    outside = flow("10.0.0.1", 1, "10.0.0.2", 80, netns=9)
    own = flow("::1", 1, "::1", 80)
    assert [record["host"] for record in records(inside, outside, own)] == ["host-1/9", "host-1", "host-1"]


def test_connections_from_before_are_told_by_port():
    (record,) = records(flow("10.0.0.1", 1, "10.0.0.2", 80, origin=PORT, connections=0, bytes_out=1))
    assert record["direction"] == "port"


@given(st.lists(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)), min_size=1, max_size=30))
def test_addresses_keep_their_order_and_spelling(addresses):
    rows = [flow(str(address), 1, "10.0.0.2", 80) for address in addresses]
    wanted = [address_text(packed(str(address)).tobytes()) for address in addresses]
    assert [record["client_address"] for record in records(*rows)] == wanted


def test_nothing_is_an_empty_table():
    assert records(np.zeros(0, FLOW)) == []
