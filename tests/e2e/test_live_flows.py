"""Flows of a real system, with the traps it was built with, against the truth: every minute, no edge more or less.

Owners are known by address and time alone; no record says a service.
"""

from __future__ import annotations

import json
import random

import pytest

from tests.e2e.live_capture import address_of, identities, read_truth
from tests.e2e.live_flows import flow_records, translations
from tests.e2e.process import ServerProcess

pytestmark = pytest.mark.slow

MINUTE = 60


@pytest.fixture(scope="module")
def capture(shared_data):
    return shared_data / "live_capture"


@pytest.fixture(scope="module")
def truth(capture):
    return read_truth(capture)


@pytest.fixture(scope="module")
def records(capture, truth):
    return flow_records(capture, truth["clock"])


def owners_of(truth, *, virtual):
    """Ownership ranges of the truth, with or without the virtual address."""
    virtual_addresses = {address_of(item["vip"]) for item in truth["vips"]}
    return [item for item in identities(truth, {}) if virtual or item["address"] not in virtual_addresses]


def expected_edges(truth, begin_s, collector="collector"):
    """The pairs that exchanged flows in a minute, without the collector's."""
    end_s = begin_s + MINUTE
    return {
        (edge["source"], edge["target"])
        for edge in truth["edges"]
        if any(seen.startswith("flow") for seen in edge["visible_in"])
        and edge["from_ns"] < end_s * 10**9
        and edge["to_ns"] > begin_s * 10**9
        and collector not in (edge["source"], edge["target"])
    }


def minutes(truth):
    first, last = (truth["load"][end] // 10**9 // MINUTE * MINUTE for end in ("from_ns", "to_ns"))
    return range(first, last + 1, MINUTE)


def post_flows(server, records, size=5000):
    for start in range(0, len(records), size):
        body = "".join(f"{json.dumps(record)}\n" for record in records[start : start + size]).encode()
        answer = server.ask("/api/v1/flows", body, {"Content-Type": "application/x-ndjson"})
        assert (answer.status, answer.json["rejected"]) == (200, 0), answer.body


def network_edges(server, begin_s, end_s):
    asked = {"from": begin_s, "to": end_s, "layers": "network", "view": "hops"}
    return {(edge["source"], edge["target"]): edge for edge in server.get("/api/v1/graph", **asked)["edges"]}


@pytest.fixture(scope="module", params=["in order, owners first", "shuffled, owners last", "conntrack, one end"])
def server(request, records, truth, capture, tmp_path_factory):
    """A server that was told of everything, in one of three ways."""
    folder = tmp_path_factory.mktemp("flows")
    config = folder / "config.yaml"
    config.write_text("telemetry: {services: [collector]}\n")
    owners = owners_of(truth, virtual=False)
    told = records
    if request.param.startswith("conntrack"):
        real = translations(capture)
        told = [
            record
            | dict(zip(("translated_server_address", "translated_server_port"), real.get(seen, ()), strict=False))
            for record in records
            if record["observer"] == "client" and (seen := (record["server_address"], record["server_port"]))
        ]
    with ServerProcess(f"chdb://{folder}/store", "--config", str(config)) as running:
        if request.param.startswith("shuffled"):
            told = random.Random(4).sample(records, len(records))
            post_flows(running, told)
            for owner in owners:
                running.post_identities(owner)
        else:
            running.post_identities(*owners)
            post_flows(running, told)
        yield running
        assert running.stop() == 0


def test_edges_of_every_minute_are_those_of_the_truth(server, truth):
    for begin_s in minutes(truth):
        found = set(network_edges(server, begin_s, begin_s + MINUTE))
        assert found == expected_edges(truth, begin_s), begin_s - minutes(truth)[0]


def check_measures(server, records, truth):
    """Each connection once, though both ends told of it, and each byte."""
    counted = network_edges(server, minutes(truth)[0] - 60, minutes(truth)[-1] + 120)
    by_address = {item["ip"]: item["service"] for item in truth["identities"] if item["ip"] != "10.77.0.32"}
    by_address |= {address_of(item["vip"]): item["service"] for item in truth["vips"]}
    for pair in (("frontend", "haproxy"), ("orders", "payment"), ("cron", "redis"), ("loadgen", "edge-envoy")):
        own = [
            record
            for record in records
            if record["observer"] == "client"
            and by_address.get(record["client_address"], "orders") == pair[0]
            and by_address.get(record["server_address"]) == pair[1]
        ]
        measures = counted[pair]["evidence"]["network"]
        for name in ("connections", "failed_connections", "bytes_sent", "bytes_received"):
            assert measures[name] == sum(record[name] for record in own), (pair, name)


def test_connections_and_bytes_are_those_of_the_clients_ends(server, records, truth):
    check_measures(server, records, truth)
