"""Jaeger JSON: its shapes, parents and links, and what is wrong with single spans."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from chronotope.ingest.files.spans.formats import read_batches
from chronotope.ingest.files.spans.rows import TraceId
from chronotope.ingest.otlp.decode import OtlpDecoder
from chronotope.ingest.otlp.links import link_span_id
from chronotope.ingest.spans.columns import (
    CLIENT,
    CONSUMER,
    ERROR,
    LINK,
    RELEASED,
    SERVER,
    SHARED,
    UNSPECIFIED,
    Vocabulary,
)
from chronotope.schema.errors import InvalidPayload

START_US = 1_700_000_000_000_000
TRACE_A, TRACE_B = "0af7651916cd43dd8448eb211c80319c", "b" * 16


def span(span_id: str, references: list[tuple[str, str, str]] | None = None, **more: Any) -> dict[str, Any]:
    tags = [{"key": key, "type": "string", "value": value} for key, value in more.pop("tags", {}).items()]
    return {
        "traceID": TRACE_A,
        "spanID": span_id,
        "operationName": "get",
        "references": [
            {"refType": kind, "traceID": trace, "spanID": target} for kind, trace, target in references or []
        ],
        "startTime": START_US,
        "duration": 250,
        "processID": "p1",
        "tags": tags,
    } | more


def trace(*spans: dict[str, Any], **processes: str) -> dict[str, Any]:
    named = processes or {"p1": "cart"}
    return {
        "traceID": TRACE_A,
        "spans": list(spans),
        "processes": {key: {"serviceName": name, "tags": []} for key, name in named.items()},
    }


def as_bytes(value: object) -> bytes:
    return json.dumps(value).encode()


@pytest.mark.parametrize("shape", ["response", "list", "bare", "lines", "pretty"])
def test_every_shape_gives_the_same_spans(shape: str, imported: Any) -> None:
    one, two = trace(span("1")), trace(span("2", [("CHILD_OF", TRACE_A, "1")]), p1="shop")
    content = {
        "response": as_bytes({"total": 0, "data": [one, two], "errors": None}),
        "list": as_bytes([one, two]),
        "bare": as_bytes(one) + as_bytes(two),
        "lines": as_bytes(one) + b"\n" + as_bytes({"data": [two]}) + b"\n",
        "pretty": json.dumps({"data": [one, two]}, indent=4).encode(),
    }[shape]
    found = imported(content, "jaeger")
    assert found.rows["span"].tolist() == [1, 2]
    assert found.rows["parent"].tolist() == [0, 1]
    assert found.services() == ["cart", "shop"]
    assert (found.batch.read, found.skipped) == (2, {})


def test_ids_times_and_flags_are_read(imported: Any) -> None:
    failed = span("00000000000000ff", tags={"span.kind": "server", "error": True, "http.method": "GET"})
    also = span("2", tags={"otel.status_code": "ERROR"}, traceID="abc")
    row, other = (found := imported(as_bytes([trace(failed, also)]), "jaeger")).rows
    assert (row["trace_hi"], row["trace_lo"]) == (0x0AF7651916CD43DD, 0x8448EB211C80319C)
    assert (other["trace_hi"], other["trace_lo"]) == (0, 0xABC)
    assert (row["span"], row["start_ns"], row["end_ns"]) == (255, START_US * 1000, (START_US + 250) * 1000)
    assert (row["kind"], row["flags"], found.protocol(0)) == (SERVER, ERROR | RELEASED, "http")
    assert (other["kind"], other["flags"], other["weight"]) == (UNSPECIFIED, ERROR | RELEASED, 1)


def test_an_http_status_alone_is_no_error(imported: Any) -> None:
    found = imported(as_bytes(trace(span("1", tags={"http.status_code": 500, "error": "false"}))), "jaeger")
    assert found.rows["flags"].tolist() == [RELEASED]


def test_the_first_child_of_wins_over_an_earlier_follows_from(imported: Any) -> None:
    references = [("FOLLOWS_FROM", TRACE_A, "5"), ("CHILD_OF", TRACE_A, "6"), ("CHILD_OF", TRACE_A, "7")]
    found = imported(as_bytes(trace(span("1", references), span("2", references[:1]))), "jaeger")
    assert found.rows["parent"].tolist() == [6, 5]


def test_a_reference_into_another_trace_is_no_parent(imported: Any) -> None:
    found = imported(as_bytes(trace(span("1", [("CHILD_OF", TRACE_B, "5")]))), "jaeger")
    assert found.rows["parent"].tolist() == [0]


def test_other_references_of_a_consumer_become_links(imported: Any) -> None:
    references = [("CHILD_OF", TRACE_A, "5"), ("FOLLOWS_FROM", TRACE_B, "6"), ("FOLLOWS_FROM", TRACE_B, "6")]
    tags = {"span.kind": "consumer", "messaging.system": "kafka", "messaging.destination": "orders"}
    found = imported(as_bytes(trace(span("1", references, tags=tags))), "jaeger")
    real, link = found.rows
    assert (real["parent"], real["peer"], real["flags"]) == (5, -1, RELEASED)
    assert (link["trace_hi"], link["trace_lo"], link["parent"]) == (0, 0xBBBBBBBBBBBBBBBB, 6)
    assert (link["kind"], link["flags"]) == (CONSUMER, LINK | RELEASED)
    assert found.hint(1).name == "orders"
    assert found.batch.read == 1


def test_a_link_has_the_same_row_from_jaeger_and_from_otlp(imported: Any) -> None:
    """The id of a link's row is made from the ids of the two spans alone, whichever format brought them."""
    linked = {"traceId": TRACE_B * 2, "spanId": "0000000000000006"}
    otlp_span = {"traceId": TRACE_A, "spanId": "0000000000000001", "kind": 5, "links": [linked]} | {
        "startTimeUnixNano": str(START_US * 1000),
        "endTimeUnixNano": str(START_US * 1000),
    }
    service = {"attributes": [{"key": "service.name", "value": {"stringValue": "cart"}}]}
    request = {"resourceSpans": [{"resource": service, "scopeSpans": [{"spans": [otlp_span]}]}]}
    from_otlp = OtlpDecoder(Vocabulary()).decode_json(as_bytes(request)).rows
    references = [("FOLLOWS_FROM", TRACE_B * 2, "6")]
    tags = {"span.kind": "consumer"}
    from_jaeger = imported(as_bytes(trace(span("1", references, tags=tags))), "jaeger").rows
    columns = ["trace_hi", "trace_lo", "span", "parent", "kind"]
    assert sorted(from_jaeger[columns].tolist()) == sorted(from_otlp[columns].tolist())
    own = TraceId(0x0AF7651916CD43DD, 0x8448EB211C80319C)
    assert link_span_id(own, 1, 6) in from_otlp["span"].tolist()


def test_a_server_with_its_clients_id_is_shared(imported: Any) -> None:
    client = span("1", tags={"span.kind": "client", "peer.service": "shop"})
    server = span("1", tags={"span.kind": "server"}, processID="p2")
    found = imported(as_bytes(trace(client, server, p1="cart", p2="shop")), "jaeger")
    assert found.rows["kind"].tolist() == [CLIENT, SERVER]
    assert found.rows["flags"].tolist() == [RELEASED, RELEASED | SHARED]
    assert found.hint(0).service == "shop"


def test_processes_give_namespace_and_attributes(imported: Any) -> None:
    tags = [{"key": "service.namespace", "value": "shop"}, {"key": "hostname", "value": "h1"}]
    one = trace(span("1")) | {"processes": {"p1": {"serviceName": "cart", "tags": tags}}}
    found = imported(as_bytes(one), "jaeger")
    assert found.services() == ["shop/cart"]
    assert found.batch.attributes["shop/cart"]["hostname"] == "h1"


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ({"spanID": "xyz"}, "bad_id"),
        ({"spanID": "0"}, "bad_id"),
        ({"spanID": 7}, "bad_id"),
        ({"traceID": "a" * 33}, "bad_id"),
        ({"traceID": "0" * 32}, "bad_id"),
        ({"traceID": "1_0"}, "bad_id"),
        ({"references": [{"refType": "CHILD_OF", "traceID": TRACE_A, "spanID": "?"}]}, "bad_id"),
        ({"processID": "absent"}, "no_service"),
        ({"startTime": 0}, "time_out_of_range"),
        ({"startTime": -5}, "time_out_of_range"),
        ({"startTime": 10**30}, "time_out_of_range"),
        ({"startTime": "soon"}, "time_out_of_range"),
        ({"startTime": 7_258_118_400_000_000}, "time_out_of_range"),
        ({"tags": "none"}, "bad_span"),
        ({"references": 3}, "bad_span"),
    ],
)
def test_a_bad_span_is_counted_by_reason_and_its_siblings_are_taken(
    fault: dict[str, Any], reason: str, imported: Any
) -> None:
    found = imported(as_bytes({"data": [trace(span("1"), span("2") | fault, span("3"))]}), "jaeger")
    assert found.rows["span"].tolist() == [1, 3]
    assert (found.batch.read, found.skipped) == (3, {reason: 1})


@pytest.mark.parametrize(("duration", "expected_us"), [(-5, 0), ("7", 7), (None, 0), (10**25, None), (1.5, 1)])
def test_odd_durations_never_make_a_negative_one(duration: object, expected_us: int | None, imported: Any) -> None:
    row = imported(as_bytes(trace(span("1", duration=duration))), "jaeger").rows[0]
    assert row["end_ns"] >= row["start_ns"]
    if expected_us is not None:
        assert row["end_ns"] - row["start_ns"] == expected_us * 1000


def test_a_bad_line_is_counted_and_logged_with_its_number(imported: Any, caplog: pytest.LogCaptureFixture) -> None:
    lines = [as_bytes(trace(span("1"))), b'{"spans": [tru', b"junk", b"", as_bytes(trace(span("2")))]
    found = imported(b"\n".join(lines), "jaeger")
    assert found.rows["span"].tolist() == [1, 2]
    assert found.skipped == {"bad_json": 2}
    assert [getattr(record, "place", "") for record in caplog.records] == ["line 2", "line 3"]


@pytest.mark.parametrize("content", [b"\x00\x01\x02", b'{"a": 1}', b"hello", b"[[[[", b"[" * 200_000, b'"text"'])
def test_what_is_no_jaeger_json_is_refused(content: bytes, imported: Any) -> None:
    with pytest.raises(InvalidPayload, match="Jaeger JSON"):
        imported(content, "jaeger")


def test_deep_nesting_beside_the_spans_costs_that_trace_only(imported: Any) -> None:
    """Jaeger's own page nests references without end; a parser that recurses must not fall over."""
    deep = b'{"spans":[{"logs":' + b"[" * 100_000 + b"]" * 100_000 + b"}]}"
    found = imported(b'{"data":[%b,%b]}' % (deep, as_bytes(trace(span("1")))), "jaeger")
    assert found.rows["span"].tolist() == [1]
    assert sum(found.skipped.values()) == 1


def test_a_long_name_stays_one_clean_name(imported: Any) -> None:
    found = imported(as_bytes(trace(span("1"), p1="x\n" * 5000)), "jaeger")
    assert len(found.services()[0]) <= 256
    assert found.services()[0].isprintable()


def test_a_truncated_document_gives_what_is_whole_and_then_the_error(tmp_path: Path) -> None:
    path = tmp_path / "cut.json"
    path.write_bytes(as_bytes({"data": [trace(span("1")), trace(span("2"))]})[:-60])
    batches = read_batches(path, "jaeger", Vocabulary())
    assert next(batches).rows["span"].tolist() == [1]
    with pytest.raises(InvalidPayload, match="ends inside a value"):
        next(batches)
