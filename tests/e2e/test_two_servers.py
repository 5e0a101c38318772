"""Two servers on one ClickHouse: each flow and each claim reaches one of them, and both show the one true graph."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.live_capture import read_truth
from tests.e2e.live_flows import flow_records
from tests.e2e.process import ServerProcess
from tests.e2e.test_live_flows import MINUTE, expected_edges, minutes, network_edges, owners_of, post_flows


@pytest.fixture(scope="module")
def capture(shared_data):
    return shared_data / "live_capture"


@pytest.fixture(scope="module")
def truth(capture):
    return read_truth(capture)


def test_both_ends_of_connections_reach_different_servers_and_count_once(capture, truth, clickhouse_url, tmp_path):
    """What clients' hosts saw goes to one server, what servers' hosts saw to the other, owners to both, all at once."""
    records = flow_records(capture, truth["clock"])
    config = tmp_path / "config.yaml"
    config.write_text("telemetry: {services: [collector]}\n")
    with (
        ServerProcess(clickhouse_url, "--config", str(config)) as one,
        ServerProcess(clickhouse_url, "--config", str(config)) as other,
        ThreadPoolExecutor(4) as threads,
    ):
        owners = owners_of(truth, virtual=False)
        random.Random(7).shuffle(owners)
        posted = []
        for server, observer, some in ((one, "client", owners[::2]), (other, "server", owners[1::2])):
            seen = [record for record in records if record["observer"] == observer]
            posted.append(threads.submit(post_flows, server, seen, 500))
            posted.append(threads.submit(server.post_identities, *some))
        for each in posted:
            each.result()
        for server in (one, other):
            for begin_s in minutes(truth):
                found = set(network_edges(server, begin_s, begin_s + MINUTE))
                assert found == expected_edges(truth, begin_s), begin_s - minutes(truth)[0]
        assert one.stop() == other.stop() == 0
