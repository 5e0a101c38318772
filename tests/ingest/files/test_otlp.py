"""OTLP in files: every form the collector and others write, and what is wrong with them."""

from __future__ import annotations

import base64
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from chronotope.ingest.files.spans import otlp
from chronotope.ingest.files.spans.formats import read_batches
from chronotope.ingest.spans.columns import RELEASED, Vocabulary
from chronotope.schema.errors import InvalidPayload

START_NS = 1_700_000_000_000_000_000


def request(*span_ids: int, service: str = "cart", resources: int = 1) -> ExportTraceServiceRequest:
    made = ExportTraceServiceRequest()
    for number in range(resources):
        resource_spans = made.resource_spans.add()
        attribute = resource_spans.resource.attributes.add(key="service.name")
        attribute.value.string_value = service
        spans = resource_spans.scope_spans.add().spans
        for span_id in span_ids:
            spans.add(
                trace_id=(number + 1).to_bytes(16),
                span_id=span_id.to_bytes(8),
                name="get",
                start_time_unix_nano=START_NS,
                end_time_unix_nano=START_NS + 5,
            )
    return made


def as_json(made: ExportTraceServiceRequest, indent: int | None = None) -> bytes:
    """OTLP's JSON has ids as hex, where protobuf's own has base64."""
    value = json_format.MessageToDict(made)
    for resource_spans in value["resourceSpans"]:
        for span in resource_spans["scopeSpans"][0]["spans"]:
            for name in ("traceId", "spanId"):
                span[name] = base64.b64decode(span[name]).hex()
    return json.dumps(value, indent=indent).encode()


def prefixed(*messages: bytes) -> bytes:
    return b"".join(len(message).to_bytes(4, "big") + message for message in messages)


@pytest.mark.parametrize("form", ["protobuf", "json", "pretty", "lines", "prefixed"])
def test_every_form_gives_the_same_spans(form: str, imported: Any) -> None:
    one, two = request(1, 2), request(3)
    both = ExportTraceServiceRequest()
    both.MergeFrom(one)
    both.MergeFrom(two)
    content = {
        "protobuf": both.SerializeToString(),
        "json": b'{"resourceSpans": %b}'
        % json.dumps([*json.loads(as_json(one))["resourceSpans"], *json.loads(as_json(two))["resourceSpans"]]).encode(),
        "pretty": as_json(one, 2) + b"\n" + as_json(two, 2),
        "lines": as_json(one) + b"\n" + as_json(two) + b"\n",
        "prefixed": prefixed(one.SerializeToString(), two.SerializeToString()),
    }[form]
    found = imported(content, "otlp")
    assert sorted(found.rows["span"].tolist()) == [1, 2, 3]
    assert set(found.services()) == {"cart"}
    assert set(found.rows["flags"].tolist()) == {RELEASED}
    assert (found.batch.read, found.skipped) == (3, {})


def test_a_large_request_is_cut_between_its_resources(imported: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp, "_GROUP_BYTES", 1000)
    found = imported(request(1, 2, resources=500).SerializeToString(), "otlp")
    assert len(found.rows) == found.batch.read == 1000


def test_batches_are_no_larger_than_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp, "MAX_BATCH_ROWS", 7)
    path = tmp_path / "input"
    path.write_bytes(request(1, 2, resources=10).SerializeToString())
    batches = list(read_batches(path, "otlp", Vocabulary()))
    assert [len(batch.rows) for batch in batches] == [7, 7, 6]
    assert [batch.read for batch in batches] == [20, 0, 0]


def test_a_line_that_is_not_otlp_is_counted_and_logged_with_its_number(
    imported: Any, caplog: pytest.LogCaptureFixture
) -> None:
    lines = [as_json(request(1)), b"junk", b'{"resourceLogs": []}', as_json(request(2))[:-40], as_json(request(3))]
    found = imported(b"\n".join(lines), "otlp")
    assert found.rows["span"].tolist() == [1, 3]
    assert found.skipped == {"not_otlp": 3}
    assert [getattr(record, "place", "") for record in caplog.records] == ["line 2", "line 3", "line 4"]


def test_a_damaged_message_between_whole_ones_is_counted(imported: Any) -> None:
    whole = request(1).SerializeToString()
    found = imported(prefixed(whole, b"\x0a\xff\xff", request(2).SerializeToString()), "otlp")
    assert found.rows["span"].tolist() == [1, 2]
    assert found.skipped == {"not_otlp": 1}


@pytest.mark.parametrize("form", ["protobuf", "prefixed", "json"])
def test_a_truncated_file_gives_what_is_whole_and_then_the_error(form: str, tmp_path: Path) -> None:
    message = request(1).SerializeToString()
    content = {
        "protobuf": message + message[:-5],
        "prefixed": prefixed(message, message)[:-5],
        "json": as_json(request(1), 1) + as_json(request(2), 1)[:-9],
    }[form]
    path = tmp_path / "cut"
    path.write_bytes(content)
    batches = read_batches(path, "otlp", Vocabulary())
    assert next(batches).rows["span"].tolist() == [1]
    with pytest.raises(InvalidPayload, match=r"cut: .*ends inside"):
        next(batches)


@pytest.mark.parametrize(
    "content",
    [b"hello\n", b"\x89PNG\r\n\x1a\n" * 9, b"\x0a\xff\xff\xff\xff\xff\x01", b'{"a": 1}', b"[" * 9999, b"\x0a"],
)
def test_what_is_no_otlp_is_refused(content: bytes, imported: Any) -> None:
    with pytest.raises(InvalidPayload, match="input: "):
        imported(content, "otlp")


def test_an_empty_file_has_no_spans(imported: Any) -> None:
    for input_format in ("otlp", "jaeger", "zipkin", "spans"):
        assert imported(b"", input_format).batch.read == 0


@settings(max_examples=100)
@given(st.binary(max_size=200), st.integers(0, 200))
def test_junk_and_damage_raise_nothing_but_invalid_payload(junk: bytes, at: int) -> None:
    message = request(1, 2).SerializeToString()
    for content in (junk, message[:at] + junk, prefixed(message) + junk):
        with tempfile.NamedTemporaryFile() as file:
            file.write(content)
            file.flush()
            for input_format in ("otlp", "jaeger", "zipkin", "spans"):
                try:
                    list(read_batches(file.name, input_format, Vocabulary()))
                except InvalidPayload as refused:
                    assert file.name in str(refused)  # noqa: PT017
