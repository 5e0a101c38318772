"""Zipkin JSON: versions and shapes, pieces of one span, the other side, shared ids."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chronotope.ingest.files.spans.rows import TraceId
from chronotope.ingest.files.spans.zipkin_reports import Endpoint, Piece, TraceWindow, merge_trace
from chronotope.ingest.spans.columns import CLIENT, CONSUMER, ERROR, PRODUCER, RELEASED, SERVER, SHARED, UNSPECIFIED
from chronotope.schema.errors import InvalidPayload

START_US = 1_700_000_000_000_000


def span(span_id: str, **more: Any) -> dict[str, Any]:
    return {
        "traceId": "000000000000000a",
        "id": span_id,
        "timestamp": START_US,
        "duration": 100,
        "localEndpoint": {"serviceName": "cart"},
    } | more


def as_bytes(value: object) -> bytes:
    return json.dumps(value).encode()


@pytest.mark.parametrize("shape", ["list", "traces", "lines", "trace lines", "pretty"])
def test_every_shape_gives_the_same_spans(shape: str, imported: Any) -> None:
    spans = [span("1"), span("2", parentId="1")]
    content = {
        "list": as_bytes(spans),
        "traces": as_bytes([spans]),
        "lines": b"\n".join(map(as_bytes, spans)),
        "trace lines": b"\n".join([as_bytes(spans[:1]), as_bytes(spans[1:])]),
        "pretty": json.dumps(spans, indent=2).encode(),
    }[shape]
    found = imported(content, "zipkin")
    assert sorted(found.rows[["span", "parent"]].tolist()) == [(1, 0), (2, 1)]
    assert (found.batch.read, found.skipped) == (2, {})


def test_times_kind_flags_and_protocol_are_read(imported: Any) -> None:
    one = span("1", kind="SERVER", shared=True, tags={"error": "", "http.path": "/"}, traceId="1" + "0" * 31)
    row = (found := imported(as_bytes([one]), "zipkin")).rows[0]
    assert (row["trace_hi"], row["trace_lo"], row["kind"]) == (1 << 60, 0, SERVER)
    assert row["flags"] == ERROR | SHARED | RELEASED
    assert row["end_ns"] - row["start_ns"] == 100_000
    assert found.protocol(0) == "http"


@pytest.mark.parametrize(
    ("kind", "expected_kind", "hint_kind"),
    [("CLIENT", CLIENT, "external"), ("SERVER", SERVER, "external"), (None, CLIENT, "external")],
)
def test_the_remote_service_is_the_other_side(
    kind: str | None, expected_kind: int, hint_kind: str, imported: Any
) -> None:
    """A span without a kind that names both sides is a client's, as in Zipkin's linker."""
    remote = {"serviceName": "Shop", "ipv4": "10.0.0.7", "port": 8080}
    found = imported(as_bytes([span("1", kind=kind, remoteEndpoint=remote)]), "zipkin")
    assert found.rows["kind"].tolist() == [expected_kind]
    assert (found.hint(0).service, found.hint(0).kind) == ("Shop", hint_kind)
    assert found.hint(0).address == "10.0.0.7"


@pytest.mark.parametrize(("kind", "code"), [("PRODUCER", PRODUCER), ("CONSUMER", CONSUMER)])
def test_the_remote_service_of_messaging_is_the_broker(kind: str, code: int, imported: Any) -> None:
    found = imported(as_bytes([span("1", kind=kind, remoteEndpoint={"serviceName": "rabbitmq"})]), "zipkin")
    assert found.rows["kind"].tolist() == [code]
    assert (found.hint(0).kind, found.hint(0).system) == ("messaging", "rabbitmq")


def test_a_span_without_kind_and_remote_names_nobody(imported: Any) -> None:
    found = imported(as_bytes([span("1")]), "zipkin")
    assert (found.rows["kind"].tolist(), found.hint(0)) == ([UNSPECIFIED], None)


def test_pieces_of_one_span_become_one(imported: Any) -> None:
    """Kind in one report, duration in another, the error in a third, and another trace between them."""
    reports = [
        {"traceId": "a", "id": "1", "kind": "CLIENT", "localEndpoint": {"serviceName": "cart"}},
        span("9", traceId="b"),
        {"traceId": "a", "id": "1", "timestamp": START_US, "localEndpoint": {"serviceName": "cart"}},
        {"traceId": "a", "id": "1", "duration": 70, "tags": {"error": "late"}, "parentId": "7"},
    ]
    found = imported(b"\n".join(map(as_bytes, reports)), "zipkin")
    assert found.batch.read == 4
    row = found.rows[found.rows["trace_lo"] == 0xA]
    assert len(row) == 1
    assert (row["kind"][0], row["parent"][0], row["flags"][0]) == (CLIENT, 7, ERROR | RELEASED)
    assert row["end_ns"][0] - row["start_ns"][0] == 70_000


def test_halves_of_a_shared_span_stay_two_and_lend_each_other_what_is_missing(imported: Any) -> None:
    """The server doesn't own the time of a shared span, and may not say that it shares it."""
    client = span("2", kind="CLIENT", parentId="1")
    server = {"traceId": "a", "id": "2", "kind": "SERVER", "localEndpoint": {"serviceName": "shop"}}
    found = imported(as_bytes([server, client]), "zipkin")
    assert found.services() == ["cart", "shop"]
    assert found.rows["flags"].tolist() == [RELEASED, RELEASED | SHARED]
    assert found.rows["parent"].tolist() == [1, 1]
    assert found.rows["start_ns"].tolist() == [START_US * 1000] * 2


def test_halves_of_a_trace_with_ids_of_two_lengths_get_the_longer(imported: Any) -> None:
    long_id = "f" * 16 + "000000000000000a"
    found = imported(as_bytes([[span("1", kind="CLIENT", traceId=long_id), span("1", kind="SERVER")]]), "zipkin")
    assert set(found.rows["trace_hi"].tolist()) == {2**64 - 1}


def test_a_span_without_any_time_in_its_trace_is_counted(imported: Any) -> None:
    found = imported(as_bytes([span("1", timestamp=None)]), "zipkin")
    assert found.skipped == {"time_out_of_range": 1}


def test_a_span_that_is_its_own_parent_is_a_root(imported: Any) -> None:
    assert imported(as_bytes([span("1", parentId="1")]), "zipkin").rows["parent"].tolist() == [0]


def test_version_1_gives_both_sides_of_a_span(imported: Any) -> None:
    cart, shop = {"serviceName": "cart"}, {"serviceName": "shop", "ipv4": "10.0.0.7", "port": 80}
    events = [("cs", 0, cart), ("sr", 20, shop), ("ss", 70, shop), ("cr", 100, cart)]
    one = {
        "traceId": "a",
        "id": "2",
        "parentId": "1",
        "name": "get",
        "annotations": [
            {"timestamp": START_US + at, "value": value, "endpoint": endpoint} for value, at, endpoint in events
        ],
        "binaryAnnotations": [
            {"key": "sa", "value": True, "endpoint": shop},
            {"key": "error", "value": "oops", "endpoint": shop},
            {"key": "http.path", "value": "/", "endpoint": cart},
        ],
    }
    found = imported(as_bytes([one]), "zipkin")
    assert found.services() == ["cart", "shop"]
    assert found.rows["kind"].tolist() == [CLIENT, SERVER]
    assert found.rows["flags"].tolist() == [RELEASED, RELEASED | SHARED | ERROR]
    assert (found.rows["end_ns"] - found.rows["start_ns"]).tolist() == [100_000, 50_000]
    assert (found.hint(0).service, found.protocol(0)) == ("shop", "http")


def test_version_1_span_that_only_names_the_server_is_a_clients(imported: Any) -> None:
    tags = [
        {"key": "lc", "value": "jdbc", "endpoint": {"serviceName": "cart"}},
        {"key": "sa", "value": True, "endpoint": {"serviceName": "mysql"}},
    ]
    one = {"traceId": "a", "id": "2", "timestamp": START_US, "duration": 5, "binaryAnnotations": tags}
    found = imported(as_bytes([one]), "zipkin")
    assert (found.services(), found.rows["kind"].tolist()) == (["cart"], [CLIENT])
    assert found.hint(0).service == "mysql"


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"id": "zz"}, "bad_id"),
        ({"id": "1" * 17}, "bad_id"),
        ({"id": 3}, "bad_id"),
        ({"traceId": None}, "bad_id"),
        ({"parentId": "-1"}, "bad_id"),
        ({"localEndpoint": {}}, "no_service"),
        ({"localEndpoint": {"serviceName": 7}}, "no_service"),
        ({"timestamp": -1}, "time_out_of_range"),
        ({"timestamp": 10**17}, "time_out_of_range"),
        ({"tags": ["a"]}, "bad_span"),
        ({"localEndpoint": "cart"}, "bad_span"),
    ],
)
@pytest.mark.parametrize("nested", [False, True])
def test_a_bad_span_is_counted_by_reason_and_its_siblings_are_taken(
    fault: dict[str, Any], reason: str, nested: bool, imported: Any
) -> None:
    spans = [span("1"), span("2", traceId="b") | fault, span("3")]
    found = imported(as_bytes([spans] if nested else spans), "zipkin")
    assert found.rows["span"].tolist() == [1, 3]
    assert (found.batch.read, found.skipped) == (3, {reason: 1})


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b'{"a": 1}', b"x", b"[" * 100_000, b"[1, 2]", b"{}"])
def test_what_is_no_zipkin_json_is_refused(content: bytes, imported: Any) -> None:
    with pytest.raises(InvalidPayload, match="Zipkin JSON"):
        imported(content, "zipkin")


PIECES = st.permutations(
    [
        {"kind": CLIENT},
        {"start_us": START_US},
        {"duration_us": 40},
        {"error": True},
        {"remote": ("shop", "", 0)},
        {"parent": 5},
    ]
)


@given(PIECES)
def test_pieces_merge_to_one_span_in_whatever_order(pieces: list[dict[str, Any]]) -> None:
    made = []
    for said in pieces:
        remote = Endpoint(*said.get("remote", ()))
        rest = {key: value for key, value in said.items() if key != "remote"}
        made.append(Piece(TraceId(0, 1), 9, local=Endpoint("cart"), remote=remote, **rest))
    (merged,) = merge_trace(made)
    assert (merged.kind, merged.start_us, merged.duration_us) == (CLIENT, START_US, 40)
    assert (merged.error, merged.parent, merged.remote.service) == (True, 5, "shop")


@given(st.lists(st.integers(1, 9), max_size=200), st.integers(1, 20))
def test_the_window_holds_a_bound_and_loses_nothing(traces: list[int], limit: int) -> None:
    window, left, sizes = TraceWindow(limit), list[Piece](), [0]
    for added, trace in enumerate(traces, 1):
        window.add(Piece(TraceId(0, trace), added))
        left += [piece for pieces in window.overflow() for piece in pieces]
        sizes.append(added - len(left))
    left += [piece for pieces in window.rest() for piece in pieces]
    assert sorted(piece.id for piece in left) == list(range(1, len(traces) + 1))
    assert max(sizes) <= limit
    assert all(after - before <= 1 for before, after in pairwise(sizes))
