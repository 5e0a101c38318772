"""A real host of 2016 as a probe saw it: processes missing or wrong, overlay addresses, loopback, the host's own.

Its containers are known (the README beside the data): clients call frontends, these apps, and these what keeps data.
"""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest

from chronotope.ingest.identity.owners import Ownership
from chronotope.ingest.records.identities import claims_table
from chronotope.schema.storage.store import Store
from tests.ingest.flows.building import T0_S, edges, empty, flow, open_writer, sent, stored

OVERLAY, HOST_IN_OVERLAY = "10.32.0.", "10.32.0.1"
CALLS = {
    "client1": {"frontend1", "frontend2"},
    "frontend1": {"app1", "app2"},
    "frontend2": {"app1", "app2"},
    "app1": {"searchapp1", "searchapp2", "qotd1", "redis1"},
    "app2": {"searchapp1", "searchapp2", "qotd1", "redis1"},
    "searchapp1": {"elasticsearch1"},
    "searchapp2": {"elasticsearch1"},
}
OF_NOBODY_KNOWN = {("172.16.0.1", "172.16.0.3"), ("10.0.2.2", "10.0.2.15")}  # a browser at the probe, somebody's ssh


@pytest.fixture
def seen(shared_data: Path) -> list[dict[str, str]]:
    with (shared_data / "weave_scope_report" / "connections.csv").open() as file:
        return list(csv.DictReader(file))


def flow_of(row: dict[str, str]) -> dict[str, Any]:
    return flow(row["src_ip"], row["dst_ip"], int(row["dst_port"]), client_port=int(row["src_port"]))


def owners(seen: list[dict[str, str]]) -> list[Ownership]:
    """Each container's address: that of most processes found there, for a few are wrong."""
    found: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for row in seen:
        for end in ("src", "dst"):
            if row[f"{end}_container"]:
                found[row[f"{end}_ip"]][row[f"{end}_container"]] += 1
    begin_ms, end_ms = (T0_S - 60) * 1000, (T0_S + 60) * 1000
    return [
        Ownership(address, names.most_common(1)[0][0], 0, "service", begin_ms, end_ms)
        for address, names in found.items()
        if address.startswith(OVERLAY) and address != HOST_IN_OVERLAY
    ]


def test_containers_call_each_other_once_their_addresses_are_known(store: Store, seen: list[dict[str, str]]) -> None:
    empty(store)
    writer, vocabulary = open_writer(store)
    writer.accept([sent(vocabulary, *map(flow_of, seen))])
    between = {(row["src_ip"], row["dst_ip"]) for row in seen if row["src_ip"] != row["dst_ip"]}
    assert edges(store) == between
    writer.claim(claims_table(owners(seen)), "owners")
    assert edges(store) == {(one, other) for one, others in CALLS.items() for other in others} | OF_NOBODY_KNOWN
    apart = sum(row["src_ip"] != row["dst_ip"] for row in seen)
    assert sum(measures["connections"] for measures in stored(store).values()) == apart
