from __future__ import annotations

import gzip
import itertools
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.ingest.flows.building import T0_S, edges, empty, flow, open_writer, stored

from chronotope.ingest.files.flows.formats import read_flow_batches, write_flow_batch
from chronotope.ingest.flows.ports import second_serves
from chronotope.ingest.flows.rows import CLIENT, SERVER, FlowVocabulary
from chronotope.schema.errors import InvalidPayload
from chronotope.schema.observations import DIRECTIONS
from chronotope.schema.storage.store import Store


def read(path: Path, form: str, vocabulary: FlowVocabulary | None = None):
    """All rows of a small file, what was skipped, and the claims."""
    batches = list(read_flow_batches(path, form, vocabulary or FlowVocabulary(), lambda *_: None))
    skipped = sum((batch.skipped for batch in batches), Counter())
    rows = [row for batch in batches if batch.flows is not None for row in batch.flows.rows]
    return rows, skipped, [claim for batch in batches for claim in batch.claims]


def written(path: Path, lines: list[object]) -> Path:
    path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
    return path


def load(store: Store, path: Path, form: str) -> None:
    writer, vocabulary = open_writer(store)
    for batch in read_flow_batches(path, form, vocabulary, lambda *_: None):
        write_flow_batch(writer, batch)


def test_records_of_the_contract_are_read_as_lines_and_as_arrow(tmp_path: Path) -> None:
    good = flow("10.0.0.1", "10.0.0.2", 80)
    rows, skipped, _ = read(written(tmp_path / "a", [good, {**good, "observer": "x"}, "{", good]), "flows")
    assert (len(rows), skipped) == (2, {"bad_record": 2})
    table = pa.Table.from_pylist([good, good])
    for name, writer in (("stream", pa.ipc.new_stream), ("file", pa.ipc.new_file)):
        with writer(tmp_path / name, table.schema) as out:
            out.write_table(table)
        arrow, skipped, _ = read(tmp_path / name, "flows")
        assert ([row.tolist() for row in arrow], skipped) == ([row.tolist() for row in rows], {})
    (tmp_path / "broken").write_bytes((tmp_path / "stream").read_bytes()[:-40])
    with pytest.raises(InvalidPayload, match="not a whole Arrow"):
        read(tmp_path / "broken", "flows")


def test_a_file_imported_again_counts_once(store: Store, tmp_path: Path) -> None:
    empty(store)
    path = written(tmp_path / "a", [flow("10.0.0.1", "10.0.0.2", 80)] * 2)
    load(store, path, "flows")
    once = stored(store)
    load(store, path, "flows")
    assert once[0, "10.0.0.1", "10.0.0.2", "http"]["connections"] == 2
    assert stored(store) == once


def test_real_netobserv_records_become_edges_between_owners_once(store: Store, shared_data: Path) -> None:
    """The same packets pass several interfaces; the pod behind router-default and the DNS pods are known by owner."""
    empty(store)
    path = shared_data / "netobserv_flows" / "flow_records.json.gz"
    _, skipped, claims = read(path, "netobserv")
    assert skipped == {"other_protocol": 12, "duplicate": 9}
    flows = json.loads(gzip.decompress(path.read_bytes()))["data"]["result"]
    owners = {flow["stream"].get("SrcK8S_OwnerName") for flow in flows}
    assert {claim.service.rpartition("/")[2] for claim in claims} >= owners - {None}
    load(store, path, "netobserv")
    assert ("openshift-monitoring/alertmanager-main", "openshift-dns/dns-default") in edges(store)


NETOBSERV = {
    "SrcAddr": "10.1.0.1", "SrcPort": 40000, "DstAddr": "10.1.0.2", "DstPort": 8443, "Proto": 6, "Bytes": 70,
    "TimeFlowStartMs": T0_S * 1000, "TimeFlowEndMs": T0_S * 1000 + 5, "AgentIP": "192.168.0.1", "FlowDirection": 1,
    "SrcK8S_Namespace": "a", "SrcK8S_OwnerName": "front", "DstK8S_Namespace": "b", "DstK8S_OwnerName": "back",
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"Flags": 2}, ("10.1.0.1", CLIENT, 1, 70, 0)),
        ({"Flags": 256}, ("10.1.0.2", SERVER, 0, 0, 70)),
        ({"Flags": ["SYN", "ACK"]}, ("10.1.0.1", CLIENT, 1, 70, 0)),
        ({"Flags": ["ACK", "SYN_ACK"]}, ("10.1.0.2", SERVER, 0, 0, 70)),
        ({"Flags": 16}, ("10.1.0.1", CLIENT, 0, 70, 0)),
        ({"Flags": 16, "FlowDirection": 0}, ("10.1.0.1", SERVER, 0, 70, 0)),
        ({"SrcPort": 443, "DstPort": 50000}, ("10.1.0.2", SERVER, 0, 0, 70)),
    ],
)
def test_netobserv_roles_follow_flags_and_else_ports(tmp_path: Path, change, expected) -> None:
    vocabulary = FlowVocabulary()
    rows, _, claims = read(written(tmp_path / "a", [NETOBSERV | change]), "netobserv", vocabulary)
    (row,) = rows
    client = vocabulary.addresses[row["client"]]
    found = (client, row["observer"], row["connections"], row["bytes_sent"], row["bytes_received"])
    assert found == expected
    assert {(claim.address, claim.service) for claim in claims} == {("10.1.0.1", "a/front"), ("10.1.0.2", "b/back")}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"Flags": 2}, "syn"),
        ({"Flags": 16}, "port"),
        ({"Flags": 16, "SrcPort": 9001}, "unknown"),
        ({"Flags": 16, "SrcPort": 41000, "DstPort": 40000}, "unknown"),
        ({"Proto": 17, "DstPort": 53}, "port"),
    ],
)
def test_ports_that_look_alike_do_not_tell_who_calls(tmp_path: Path, change: dict[str, Any], expected: str) -> None:
    (row,), _, _ = read(
        written(tmp_path / "a", [NETOBSERV | {"DstPort": 9000} | change]), "netobserv", FlowVocabulary()
    )
    assert DIRECTIONS[row["direction"]] == expected


def hubble(source: str, sport: int, destination: str, dport: int, *, direction="EGRESS", reply=False, **more):
    flags = more.pop("flags", {"SYN": True})
    names = {"10.2.0.1": "web", "10.2.0.2": "api"}
    ends = [
        {"namespace": "shop", "workloads": [{"name": names[end], "kind": "Deployment"}]} if end in names else {}
        for end in (source, destination)
    ]
    flow = {
        "time": "2027-01-15T08:00:01.5Z", "verdict": "FORWARDED", "IP": {"source": source, "destination": destination},
        "l4": {"TCP": {"source_port": sport, "destination_port": dport, "flags": flags}}, "Type": "L3_L4",
        "source": ends[0], "destination": ends[1], "traffic_direction": direction, "is_reply": reply, **more,
    }  # fmt: skip
    return {"flow": flow, "node_name": "n1", "time": flow["time"]}


def test_hubble_packets_are_connections_counted_once(store: Store, tmp_path: Path) -> None:
    empty(store)
    web, api, world = "10.2.0.1", "10.2.0.2", "8.8.8.8"
    lines = [
        hubble(web, 40000, api, 8080),
        hubble(web, 40000, api, 8080, direction="INGRESS"),
        hubble(api, 8080, web, 40000, reply=True, direction="INGRESS", flags={"SYN": True, "ACK": True}),
        hubble(web, 40000, api, 8080, flags={"ACK": True}),
        hubble(web, 40001, api, 8080)["flow"],
        hubble(web, 40002, api, 8080, verdict="DROPPED"),
        hubble(web, 40003, world, 443, flags={"ACK": True}, is_reply={"value": False}),
        {"lost_events": {"num_events_lost": 3}},
        {"flow": {"verdict": "FORWARDED", "l4": {"ICMPv4": {}}, "IP": {"source": web, "destination": api}}},
    ]
    path = written(tmp_path / "a", lines)
    assert read(path, "hubble")[1] == {"duplicate": 2, "not_a_flow": 1, "other_protocol": 1}
    load(store, path, "hubble")
    assert stored(store) == {
        (0, "shop/web", "shop/api", "tcp"): {"connections": 2, "failed_connections": 1},
        (0, "shop/web", "8.8.8.8", "tls"): {"connections": 1},
    }


@pytest.mark.parametrize(("direction", "observer"), [("EGRESS", CLIENT), ("INGRESS", SERVER)])
def test_hubble_directions_are_those_of_connections(tmp_path: Path, direction: str, observer: int) -> None:
    """A reply at the client's end is EGRESS as its request is, and the same connection."""
    web, api = "10.2.0.1", "10.2.0.2"
    reply = hubble(api, 8080, web, 40000, direction=direction, reply=True, flags={"SYN": True, "ACK": True})
    rows, skipped, _ = read(
        written(tmp_path / "a", [reply, hubble(web, 40000, api, 8080, direction=direction)]), "hubble"
    )
    assert [(row["observer"], row["client_port"], row["connections"]) for row in rows] == [(observer, 40000, 1)]
    assert skipped == {"duplicate": 1}


def test_hubble_ports_are_used_again_and_sockets_are_no_packets(tmp_path: Path) -> None:
    web, api, later = "10.2.0.1", "10.2.0.2", {"time": "2027-01-15T09:00:00Z"}
    lines = [
        hubble(web, 40000, api, 8080),
        hubble(web, 40000, api, 8080, flags={"ACK": True}, **later),
        hubble(web, 40000, api, 8080, **{"time": "2027-01-15T09:00:59Z"}),  # soon after: the same SYN again
        hubble(web, 40000, api, 8080, **{"time": "2027-01-15T09:10:00Z"}),
        hubble(web, 40000, "10.96.0.1", 80, Type="SOCK", verdict="TRACED"),
    ]
    rows, skipped, _ = read(written(tmp_path / "a", lines), "hubble")
    assert len(rows) == 2
    assert skipped == {"duplicate": 2, "socket_event": 1}


def test_vpc_flow_logs_of_both_interfaces_and_directions_are_one_connection(store: Store, tmp_path: Path) -> None:
    empty(store)
    header = (
        "version interface-id srcaddr dstaddr srcport dstport protocol packets bytes start end action log-status "
        "tcp-flags"
    )
    interval = f"{T0_S} {T0_S + 10}"
    lines = [
        header,
        *(f"3 eni-{n} 10.3.0.1 10.3.0.2 40000 5432 6 10 840 {interval} ACCEPT OK 3" for n in "ab"),
        *(f"3 eni-{n} 10.3.0.2 10.3.0.1 5432 40000 6 8 4000 {interval} ACCEPT OK 19" for n in "ab"),
        f"3 eni-a 10.3.0.1 10.3.0.3 40001 5432 6 1 40 {interval} REJECT OK 2",
        f"3 eni-a 10.3.0.1 10.3.0.9 0 0 1 1 40 {interval} ACCEPT OK 0",
        f"3 eni-a - - - - - - - {interval} - NODATA -",
    ]
    path = written(tmp_path / "a", lines)
    assert read(path, "vpc")[1] == {"other_protocol": 1, "nodata": 1}
    load(store, path, "vpc")
    whole = {"connections": 1, "bytes_sent": 840, "bytes_received": 4000}
    assert stored(store) == {
        (0, "10.3.0.1", "10.3.0.2", "postgresql"): whole,
        (0, "10.3.0.1", "10.3.0.3", "postgresql"): {"failed_connections": 1},
    }


def test_vpc_flow_logs_of_version_2_and_of_google_are_understood(tmp_path: Path) -> None:
    amazon = f"2 1234 eni-a 10.3.0.1 8.8.8.8 40000 443 6 10 840 {T0_S} {T0_S + 5} ACCEPT OK"
    google = {
        "jsonPayload": {
            "connection": {"src_ip": "10.4.0.2", "src_port": 443, "dest_ip": "10.4.0.1", "dest_port": 40000,
                           "protocol": 6},
            "bytes_sent": "77", "reporter": "SRC", "start_time": "2027-01-15T08:00:00Z", "rtt_msec": "3",
            "end_time": "2027-01-15T08:00:05Z", "src_instance": {"vm_name": "pg-1"},
        }
    }  # fmt: skip
    rows, skipped, claims = read(written(tmp_path / "a", [amazon, google, "no flow at all"]), "vpc")
    assert [(row["bytes_sent"], row["bytes_received"], row["server_port"]) for row in rows] == [
        (840, 0, 443),
        (0, 77, 443),
    ]
    assert skipped == {"not_a_flow": 1}
    assert [(claim.address, claim.service) for claim in claims] == [("10.4.0.2", "pg-1")]


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    for form in ("netobserv", "hubble", "vpc"):
        with pytest.raises(InvalidPayload, match=f"nothing in it is a flow of {form}"):
            read(written(tmp_path / "a", [{"some": "thing"}, {"else": 1}]), form)


def test_listed_ports_look_more_like_services_than_ephemeral_ones() -> None:
    rising = [50000, 40000, 9999, 8000, 900, 5432]
    assert all(second_serves(one, other)[0] for one, other in itertools.pairwise(rising))
    assert not any(second_serves(other, one)[0] for one, other in itertools.pairwise(rising))
    assert [bool(second_serves(9999, port)[1]) for port in (0, 8000, 900, 5432)] == [True, False, True, True]
