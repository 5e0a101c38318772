"""Two servers on one ClickHouse: each flow and each claim reaches one of them, and both show the one true graph."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import cycle

import pytest

from tests.e2e.live_capture import read_truth
from tests.e2e.live_flows import flow_records
from tests.e2e.process import ServerProcess
from tests.e2e.test_live_flows import MINUTE, check_measures, expected_edges, minutes, network_edges, owners_of

pytestmark = pytest.mark.slow

A_REQUEST = 1000


def send_flows(server, records):
    """Send records as agents do: again when the server is too busy, under a key by which it knows them."""
    for start in range(0, len(records), A_REQUEST):
        body = "".join(f"{json.dumps(record)}\n" for record in records[start : start + A_REQUEST]).encode()
        headers = {"Content-Type": "application/x-ndjson", "Idempotency-Key": f"{records[0]['observer']}-{start}"}
        while (answer := server.ask("/api/v1/flows", body, headers)).status == 503:
            time.sleep(1)
        assert (answer.status, answer.json["rejected"]) == (200, 0), answer.body


def test_both_ends_of_connections_reach_different_servers_and_count_once(shared_data, clickhouse_url, tmp_path) -> None:
    """What clients' hosts saw goes to one server, what servers' hosts saw to the other, owners to both, all at once."""
    capture = shared_data / "live_capture"
    truth = read_truth(capture)
    records, owners = flow_records(capture, truth["clock"]), owners_of(truth, virtual=False)
    config = tmp_path / "config.yaml"
    config.write_text("telemetry: {services: [collector]}\n")
    with ThreadPoolExecutor(4) as threads, ExitStack() as running:
        starting = [threads.submit(ServerProcess, clickhouse_url, "--config", str(config)) for _ in range(2)]
        one, other = (running.enter_context(each.result()) for each in starting)
        sending = []
        for server, observer, some in ((one, "client", owners[::2]), (other, "server", owners[1::2])):
            seen = [record for record in records if record["observer"] == observer]
            sending.append(threads.submit(send_flows, server, seen))
            sending.append(threads.submit(server.post_identities, *some))
        for each in sending:
            each.result()
        for server, begin_s in zip(cycle([one, other]), minutes(truth), strict=False):
            found = set(network_edges(server, begin_s, begin_s + MINUTE))
            assert found == expected_edges(truth, begin_s), begin_s - minutes(truth)[0]
        check_measures(other, records, truth)
        assert one.stop() == other.stop() == 0
