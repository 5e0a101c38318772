"""Spans by columns: every container and type, against the same spans as JSON lines, and hostile files."""

from __future__ import annotations

import gzip
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chronotope.ingest.files.spans.formats import read_batches
from chronotope.ingest.files.spans.rows import is_error_status, kind_code
from chronotope.ingest.spans.columns import CLIENT, CONSUMER, ERROR, RELEASED, SERVER, UNSPECIFIED, Vocabulary
from chronotope.schema.errors import InvalidPayload

START_NS = 1_700_000_000_000_000_000
TRACE, SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "00f067aa0ba902b7"


def columns(count: int = 3, **more: Any) -> dict[str, Any]:
    return {
        "trace_id": [TRACE] * count,
        "span_id": [f"{number + 1:016x}" for number in range(count)],
        "parent_span_id": [None, *(f"{number + 1:016x}" for number in range(count - 1))],
        "service": ["cart", "shop", "cart"][:count],
        "operation": ["get"] * count,
        "start_ns": [START_NS] * count,
        "end_ns": [START_NS + 5] * count,
    } | more


def parquet(table: pa.Table, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, **options)
    return bytes(sink.getvalue())


def arrow(table: pa.Table, stream: bool) -> bytes:
    sink = pa.BufferOutputStream()
    with (pa.ipc.new_stream if stream else pa.ipc.new_file)(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def json_lines(table: dict[str, Any]) -> bytes:
    names = list(table)
    return b"\n".join(
        json.dumps(dict(zip(names, row, strict=True))).encode() for row in zip(*table.values(), strict=True)
    )


@pytest.mark.parametrize("container", ["parquet", "file", "stream", "lines", "list"])
def test_every_container_gives_the_same_spans(container: str, imported: Any) -> None:
    table = pa.table(columns())
    content = {
        "parquet": parquet(table, row_group_size=2),
        "file": arrow(table, stream=False),
        "stream": arrow(table, stream=True),
        "lines": json_lines(columns()),
        "list": b"[" + json_lines(columns()).replace(b"\n", b",\n") + b"]",
    }[container]
    found = imported(content, "spans")
    assert found.rows["span"].tolist() == [1, 2, 3]
    assert found.rows["parent"].tolist() == [0, 1, 2]
    assert found.services() == ["cart", "shop", "cart"]
    assert set(found.rows[["trace_hi", "trace_lo"]].tolist()) == {(0x0AF7651916CD43DD, 0x8448EB211C80319C)}
    assert set(found.rows[["start_ns", "end_ns", "weight", "flags"]].tolist()) == {
        (START_NS, START_NS + 5, 1, RELEASED)
    }
    assert (found.batch.read, found.skipped) == (3, {})


ID_TYPES = [
    pa.string(),
    pa.large_string(),
    pa.string_view(),
    pa.binary(),
    pa.large_binary(),
    pa.binary_view(),
    pa.dictionary(pa.int32(), pa.string()),
    "raw",
    "fixed",
]


@pytest.mark.parametrize("kind", ID_TYPES, ids=str)
def test_ids_of_every_column_type_are_the_same_numbers(kind: Any, imported: Any) -> None:
    table = pa.table(columns())
    for name, width in (("trace_id", 16), ("span_id", 8), ("parent_span_id", 8)):
        texts = table[name].to_pylist()
        if kind in ("raw", "fixed"):
            raw = [None if text is None else bytes.fromhex(text) for text in texts]
            made = pa.array(raw, pa.binary(width) if kind == "fixed" else pa.large_binary())
        else:
            made = pa.array(texts, pa.string()).cast(kind)
        table = table.set_column(table.schema.get_field_index(name), name, made)
    sliced = pa.concat_tables([table, table]).slice(1, 4)
    for content in (arrow(table, stream=True), arrow(sliced, stream=True)):
        found = imported(content, "spans")
        assert set(found.rows["trace_hi"].tolist()) == {0x0AF7651916CD43DD}
        assert found.rows["span"].tolist() in ([1, 2, 3], [2, 3, 1, 2])
        assert found.rows["parent"].tolist() in ([0, 1, 2], [1, 2, 0, 1])


@pytest.mark.parametrize(("unit", "factor"), [("s", 10**9), ("ms", 10**6), ("us", 1000), ("ns", 1)])
def test_timestamps_of_any_unit_are_nanoseconds(unit: str, factor: int, imported: Any) -> None:
    times = pa.array([START_NS // factor, None, 0], pa.int64()).cast(pa.timestamp(unit, "UTC"))
    found = imported(arrow(pa.table(columns(start_ns=times)), stream=False), "spans")
    assert found.rows["start_ns"].tolist() == [START_NS // factor * factor]
    assert found.skipped == {"time_out_of_range": 2}


def test_times_that_are_no_times_are_counted(imported: Any) -> None:
    times = [float("nan"), float("inf"), -1.0, 1e30, float(START_NS)]
    table = columns(3) | columns(3, start_ns=times[:3])
    assert imported(parquet(pa.table(table)), "spans").skipped == {"time_out_of_range": 3}
    table = columns(3, start_ns=times[2:])
    assert len(imported(parquet(pa.table(table)), "spans").rows) == 1
    unsigned = pa.array([2**64 - 1, 0, START_NS], pa.uint64())
    assert len(imported(parquet(pa.table(columns(3, start_ns=unsigned))), "spans").rows) == 1


def test_an_end_before_the_start_or_missing_is_the_start(imported: Any) -> None:
    found = imported(parquet(pa.table(columns(3, end_ns=[START_NS - 9, None, 2**63 - 1]))), "spans")
    assert (found.rows["end_ns"] >= found.rows["start_ns"]).all()
    assert found.rows["end_ns"][:2].tolist() == [START_NS] * 2


def test_namespace_kind_and_status_are_read_as_words_or_numbers(imported: Any) -> None:
    table = columns(
        namespace=["a", "", None],
        kind=["client", "SPAN_KIND_SERVER", "5"],
        status_code=["ERROR", "STATUS_CODE_ERROR", "OK"],
    )
    found = imported(parquet(pa.table(table)), "spans")
    assert found.services() == ["a/cart", "shop", "cart"]
    assert found.rows["kind"].tolist() == [CLIENT, SERVER, CONSUMER]
    assert found.rows["flags"].tolist() == [RELEASED | ERROR, RELEASED | ERROR, RELEASED]
    numbers = columns(kind=[3, None, 99], status_code=[2.0, float("nan"), 1.0])
    found = imported(parquet(pa.table(numbers)), "spans")
    assert found.rows["kind"].tolist() == [CLIENT, UNSPECIFIED, UNSPECIFIED]
    assert found.rows["flags"].tolist() == [RELEASED | ERROR, RELEASED, RELEASED]


ATTRIBUTES = [{"peer.service": "db", "db.system": "mysql", "x": "1"}, {}, {"http.method": "GET"}]


@pytest.mark.parametrize("form", ["map", "struct", "json", "entries", "lines", "json in lines"])
def test_attributes_of_every_form_name_the_other_side(form: str, imported: Any) -> None:
    table = columns(kind=["CLIENT"] * 3)
    names = sorted({name for attributes in ATTRIBUTES for name in attributes})
    entry = pa.struct([("key", pa.string()), ("value", pa.string())])
    texts = [json.dumps(attributes) for attributes in ATTRIBUTES]
    made: Any = {
        "map": pa.array([list(item.items()) for item in ATTRIBUTES], pa.map_(pa.string(), pa.string())),
        "struct": pa.array(ATTRIBUTES, pa.struct([(name, pa.string()) for name in names])),
        "json": pa.array(texts),
        "entries": pa.array(
            [[{"key": key, "value": value} for key, value in item.items()] for item in ATTRIBUTES], pa.list_(entry)
        ),
        "lines": ATTRIBUTES,
        "json in lines": texts,
    }[form]
    lines = "lines" in form
    content = json_lines(table | {"attributes": made}) if lines else parquet(pa.table(table | {"attributes": made}))
    found = imported(content, "spans")
    assert (found.hint(0).kind, found.hint(0).service) == ("database", "db")
    assert [found.hint(1), found.hint(2)] == [None, None]
    assert [found.protocol(row) for row in range(3)] == ["mysql", "unknown", "http"]


@pytest.mark.parametrize("name", ["trace_id", "span_id", "parent_span_id", "service", "start_ns", "end_ns"])
def test_a_missing_column_is_named_with_what_is_accepted(name: str, imported: Any) -> None:
    table = pa.table(columns()).drop_columns([name])
    with pytest.raises(InvalidPayload, match=rf"input: column '{name}' is missing \(.+ is accepted\)"):
        imported(parquet(table), "spans")


@pytest.mark.parametrize(
    ("name", "values", "accepted"),
    [
        ("trace_id", [1, 2, 3], "raw bytes or hex text"),
        ("start_ns", ["a", "b", "c"], "int64 Unix nanoseconds or a timestamp"),
        ("service", [1.5, 2.5, 3.5], "text"),
        ("attributes", [1, 2, 3], "a map, a struct or JSON text"),
    ],
)
def test_a_column_of_the_wrong_type_is_named_with_what_is_accepted(
    name: str, values: list[Any], accepted: str, imported: Any
) -> None:
    for content in (parquet(pa.table(columns(**{name: values}))), arrow(pa.table(columns(**{name: values})), True)):
        with pytest.raises(InvalidPayload, match=f"column '{name}' is .+; accepted is {accepted}"):
            imported(content, "spans")


def test_a_line_that_lacks_a_name_is_counted(imported: Any) -> None:
    whole = json_lines(columns())
    found = imported(whole + b'\n{"trace_id": "1"}\n[]\nnull\n', "spans")
    assert len(found.rows) == 3
    assert found.skipped == {"missing_span_id": 1, "bad_span": 1}
    with pytest.raises(InvalidPayload, match="missing_span_id"):
        imported(b'{"trace_id": "1"}\n', "spans")


@pytest.mark.parametrize("cut", [20, 300, -1, -9])
@pytest.mark.parametrize("container", ["parquet", "file", "stream"])
def test_a_damaged_file_is_refused_by_name(container: str, cut: int, imported: Any) -> None:
    table = pa.table(columns())
    whole = {"parquet": parquet(table), "file": arrow(table, False), "stream": arrow(table, True)}[container]
    if container == "stream" and cut in (-1, -9):
        whole = whole[:-8]
    with pytest.raises(InvalidPayload, match="input: "):
        imported(whole[:cut], "spans")


def test_compressed_parquet_is_refused_with_the_remedy(imported: Any) -> None:
    with pytest.raises(InvalidPayload, match="decompress it"):
        imported(gzip.compress(parquet(pa.table(columns()))), "spans")
    assert len(imported(gzip.compress(arrow(pa.table(columns()), stream=True)), "spans").rows) == 3


def test_a_large_row_group_is_read_in_batches(tmp_path: Path) -> None:
    count = 300_000
    table = pa.table(
        {
            "trace_id": [TRACE] * count,
            "span_id": pa.array([f"{number:016x}" for number in range(1, count + 1)]),
            "parent_span_id": pa.nulls(count, pa.string()),
            "service": ["cart"] * count,
            "start_ns": np.full(count, START_NS),
            "end_ns": np.full(count, START_NS),
        }
    )
    path = tmp_path / "large.parquet"
    pq.write_table(table, path, row_group_size=count)
    told: list[tuple[int, int]] = []
    batches = list(read_batches(path, "spans", Vocabulary(), lambda done, total: told.append((done, total))))
    assert max(len(batch.rows) for batch in batches) <= 200_000
    assert np.concatenate([batch.rows["span"] for batch in batches]).tolist() == list(range(1, count + 1))
    assert told[-1][0] == told[-1][1] == path.stat().st_size


def test_real_spans_of_a_day_are_all_read(shared_data: Path) -> None:
    path = shared_data / "nezha_onlineboutique" / "spans_2022-08-22.parquet"
    vocabulary = Vocabulary()
    batches = list(read_batches(path, "spans", vocabulary))
    assert sum(len(batch.rows) for batch in batches) == sum(batch.read for batch in batches) == 852_420
    rows = np.concatenate([batch.rows[["trace_hi", "trace_lo", "span"]] for batch in batches])
    assert len(np.unique(rows)) == 846_632
    assert len(vocabulary.nodes) == 10


@pytest.mark.parametrize("value", [None, True, -1, 6, 1e300, float("nan"), float("inf"), "", "٣", "nothing", b"1", []])
def test_what_is_no_kind_is_unspecified(value: object) -> None:
    assert kind_code(value) == UNSPECIFIED
    assert not is_error_status(value)


HEX = st.text("0123456789abcdefABCDEFg", max_size=34)
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "trace_id": st.none() | HEX | st.just(TRACE),
            "span_id": st.none() | HEX | st.just(SPAN_ID),
            "parent_span_id": st.none() | HEX | st.just(SPAN_ID),
            "service": st.none() | st.text(max_size=3),
            "namespace": st.none() | st.sampled_from(["", "a", "b"]),
            "start_ns": st.none() | st.integers(-(2**63), 2**63 - 1) | st.just(START_NS),
            "end_ns": st.none() | st.integers(-(2**63), 2**63 - 1) | st.just(START_NS + 1),
            "kind": st.none() | st.sampled_from(["client", "SERVER", "3", "x"]),
            "status_code": st.none() | st.sampled_from(["ERROR", "2", "OK"]),
            "attributes": st.none() | st.sampled_from(['{"peer.service":"a"}', '{"db.system":"b"}', "[]", "{"]),
        }
    ),
    min_size=1,
    max_size=20,
)


def spell(row: Any, vocabulary: Vocabulary) -> tuple[object, ...]:
    """Return a row with its codes as what they mean."""
    peer = vocabulary.hints[row["peer"]] if row["peer"] >= 0 else None
    numbers = (*row.tolist()[:6], row["kind"], row["flags"], row["weight"])
    return (*numbers, vocabulary.nodes[row["service"]].id, peer, vocabulary.protocols[row["protocol"]])


@settings(max_examples=150)
@given(ROWS)
def test_columns_and_lines_give_the_same_rows_and_counts(rows: list[dict[str, Any]]) -> None:
    """Two readers of one format: by columns and one by one; whatever stands in the cells, they agree."""
    types = {"start_ns": pa.int64(), "end_ns": pa.int64()}
    table = pa.table({name: pa.array([row[name] for row in rows], types.get(name, pa.string())) for name in rows[0]})
    results = []
    for content in (parquet(table), b"\n".join(json.dumps(row).encode() for row in rows)):
        with tempfile.NamedTemporaryFile() as file:
            file.write(content)
            file.flush()
            vocabulary = Vocabulary()
            batches = list(read_batches(file.name, "spans", vocabulary))
        spelled = [spell(row, vocabulary) for batch in batches for row in batch.rows]
        skipped = sum((batch.skipped for batch in batches), start=type(batches[0].skipped)())
        results.append((spelled, skipped, sum(batch.read for batch in batches)))
    assert results[0] == results[1]
