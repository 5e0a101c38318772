"""Resources that say their own address own it while their spans come; agents are trusted more."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from chronotope.ingest.identity.known import KnownIdentities, read_claims
from chronotope.ingest.identity.owners import CONFIGURED, RESOURCE, Identities, Ownership, Reason
from chronotope.ingest.otlp.decode import OtlpDecoder
from chronotope.ingest.records.identities import claims_of
from chronotope.ingest.spans.columns import Vocabulary
from chronotope.ingest.spans.resource_claims import ResourceClaims
from chronotope.schema.storage.store import Store
from tests.e2e.process import ServerProcess, chronotope

SECOND = 10**9
NOW_S = 1_790_000_010


def value(said: str | list[str]) -> AnyValue:
    if isinstance(said, str):
        return AnyValue(string_value=said)
    return AnyValue(array_value=ArrayValue(values=[AnyValue(string_value=one) for one in said]))


def request(at_s: float, *starts_s: float, **attributes: str | list[str]) -> bytes:
    """One resource's spans, that begin so many seconds after an instant; `k8s__pod__ip` is `k8s.pod.ip`."""
    said = [KeyValue(key=name.replace("__", "."), value=value(own)) for name, own in attributes.items()]
    spans = [
        Span(
            trace_id=random.randbytes(16),
            span_id=random.randbytes(8),
            start_time_unix_nano=int((at_s + start) * SECOND),
            end_time_unix_nano=int((at_s + start) * SECOND) + 1000,
        )
        for start in starts_s or (0.0,)
    ]
    scopes = [ScopeSpans(spans=spans)]
    resources = [ResourceSpans(resource=Resource(attributes=said), scope_spans=scopes)]
    return ExportTraceServiceRequest(resource_spans=resources).SerializeToString()


def heartbeats(*bodies: bytes) -> set[tuple[str, str, int]]:
    return OtlpDecoder(Vocabulary()).decode_many(bodies).heartbeats


@pytest.mark.parametrize(
    ("attributes", "addresses"),
    [
        ({"k8s__pod__ip": "10.1.2.3"}, {"10.1.2.3"}),
        ({"k8s__pod__ip": "10.1.2.3", "host__ip": ["192.168.0.1"]}, {"10.1.2.3"}),
        ({"host__ip": ["192.168.0.1", "fe80::1", "127.0.0.1", "fd00:0::9", "::ffff:10.0.0.4", "no address"]},
         {"192.168.0.1", "fd00::9", "10.0.0.4"}),
        ({"host__ip": "192.168.0.1"}, {"192.168.0.1"}),
        ({"net__host__ip": "192.168.0.1"}, {"192.168.0.1"}),
        ({"host__name": "10.0.0.1"}, set()),
        ({"k8s__pod__ip": ""}, set()),
    ],
)  # fmt: skip
def test_resource_claims_its_own_reachable_addresses(attributes: dict[str, Any], addresses: set[str]) -> None:
    found = heartbeats(request(NOW_S, service__name="cart", service__namespace="shop", **attributes))
    assert {(address, service) for address, service, _ in found} == {(one, "shop/cart") for one in addresses}
    assert not heartbeats(request(NOW_S, **attributes))  # nobody's


def test_heartbeats_are_where_spans_of_a_resource_begin_first_and_last() -> None:
    one = request(NOW_S, 3, 41, 29, service__name="cart", k8s__pod__ip="10.1.2.3")
    other = request(NOW_S, 100, service__name="pay", k8s__pod__ip="10.1.2.4")
    unknown = request(NOW_S, 70, service__name="silent")
    expected = {("10.1.2.3", "cart", NOW_S), ("10.1.2.3", "cart", NOW_S + 30), ("10.1.2.4", "pay", NOW_S + 90)}
    assert heartbeats(one, unknown, other) == heartbeats(other, one, unknown) == expected
    broken = request(0, service__name="cart", k8s__pod__ip="10.1.2.3")
    assert heartbeats(one, other, broken) == expected  # a clock that is wrong claims nothing


def owner_at(owners: Identities, at_s: float, address: str = "10.1.2.3") -> str:
    found = owners.owners([address], np.zeros(1, int), np.array([int(at_s * 1000)]))
    return owners.services[found.service[0]].id if found.service[0] >= 0 else Reason(found.reason[0]).name


def test_address_goes_to_the_next_resource_that_speaks_whatever_came_first(store: Store) -> None:
    rows = [request(NOW_S + at, service__name="old", host__ip=["10.1.2.3"]) for at in range(0, 60, 7)]
    rows += [request(NOW_S + at, service__name="new", host__ip=["10.1.2.3"]) for at in range(60, 120, 7)]
    answers = []
    for _ in range(4):
        random.shuffle(rows)
        known = KnownIdentities()
        write = ResourceClaims(lambda table, _, known=known: known.add(claims_of(table)))  # type: ignore[misc]
        for row in rows:
            write(heartbeats(row))
        answers.append([owner_at(known.snapshot(), NOW_S + at) for at in range(0, 420, 3)])
    assert all(answer == answers[0] for answer in answers)
    assert answers[0][:17] == ["old"] * 17
    assert answers[0][20:130] == ["new"] * 110


def test_claims_are_kept_with_their_rank_and_written_once(store: Store) -> None:
    written = []

    def insert(table: Any, token: str) -> None:
        written.append(table.num_rows)
        store.insert("identities", table, token)

    write, body = ResourceClaims(insert), request(NOW_S, service__name="cart", host__ip=["10.1.2.3"])
    write(heartbeats(body))
    write(heartbeats(body))
    assert written == [1]
    assert read_claims(store) == [
        Ownership("10.1.2.3", "cart", 0, "service", NOW_S * 1000, (NOW_S + 300) * 1000, True, RESOURCE)
    ]


def test_agents_are_trusted_more_and_a_table_less_than_resources() -> None:
    resource = Ownership("10.1.2.3", "by-resource", 0, "service", 0, 10**6, True, RESOURCE)
    agent = Ownership("10.1.2.3", "by-agent", 0, "service", 500_000, 800_000)
    table = Ownership("10.1.2.3", "by-table", rank=CONFIGURED)
    owners = KnownIdentities([table, agent, resource]).snapshot()
    expected = ["by-resource", "by-agent", "by-resource", "by-table"]
    assert [owner_at(owners, at) for at in (0, 600, 900, 1000)] == expected


def test_two_resources_on_one_host_say_nothing_and_hide_no_table() -> None:
    shared = [Ownership("10.1.2.3", name, 0, "service", 0, 10**6, True, RESOURCE) for name in ("a", "b")]
    assert owner_at(KnownIdentities(shared).snapshot(), 5) == "AMBIGUOUS"
    network = Ownership("10.0.0.0/8", "by-table", rank=CONFIGURED)
    assert owner_at(KnownIdentities([*shared, network]).snapshot(), 5) == "by-table"


@pytest.mark.slow
def test_running_server_names_flows_by_what_resources_say(tmp_path: Path) -> None:
    """Flows come first, and are attributed anew when spans say who has the address."""
    flow = {"start": NOW_S + 5, "end": NOW_S + 6, "client_address": "10.1.2.3", "client_port": 40000, "connections": 1}
    flow |= {"server_address": "10.1.2.4", "server_port": 5432, "observer": "client", "bytes_sent": 10}
    window = {"from": NOW_S, "to": NOW_S + 10, "layers": "network"}
    with ServerProcess(f"chdb://{tmp_path}/store") as server:
        assert server.post("/api/v1/flows", json.dumps(flow).encode(), "application/x-ndjson")[0] == 200
        assert ends(server, window) == [("10.1.2.3", "10.1.2.4")]
        body = request(NOW_S, 2, 8, service__name="cart", service__namespace="shop", host__ip=["10.1.2.3"])
        assert server.post_spans(body) == 200
        assert server.post_spans(request(NOW_S, 2, 8, service__name="ledger", k8s__pod__ip="10.1.2.4")) == 200
        assert ends(server, window) == [("shop/cart", "ledger")]
        assert server.stop() == 0


def ends(server: ServerProcess, window: dict[str, Any]) -> list[tuple[str, str]]:
    return [(edge["source"], edge["target"]) for edge in server.get("/api/v1/graph", **window)["edges"]]


@pytest.mark.slow
def test_import_of_spans_names_flows_that_the_store_has(tmp_path: Path) -> None:
    store = f"chdb://{tmp_path}/store"
    flows = tmp_path / "flows.ndjson"
    flows.write_text(
        json.dumps(
            {"start": NOW_S + 5, "client_address": "10.1.2.3", "client_port": 40000, "connections": 1, "bytes_sent": 9}
            | {"server_address": "10.1.2.4", "server_port": 5432, "observer": "client"}
        )
    )
    spans = tmp_path / "spans.otlp"
    spans.write_bytes(request(NOW_S, 2, 8, service__name="cart", k8s__pod__ip="10.1.2.3"))
    for path, form in ((flows, "flows"), (spans, "otlp")):
        done = chronotope("import", str(path), "--input", form, "--store", store)
        assert done.returncode == 0, done.stderr
    shown = chronotope(
        "graph", "--store", store, "--from", str(NOW_S), "--to", str(NOW_S + 10), "--format", "json",
    )  # fmt: skip
    assert [(edge["source"], edge["target"]) for edge in json.loads(shown.stdout)["edges"]] == [("cart", "10.1.2.4")]
