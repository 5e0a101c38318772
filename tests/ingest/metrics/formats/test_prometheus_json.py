"""Answers of Prometheus' query API to samples."""

from __future__ import annotations

import contextlib
import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chronotope.ingest.metrics.counters.columns import SeriesTable
from chronotope.ingest.metrics.formats.prometheus_json import parse_query_answer
from chronotope.schema.errors import InvalidPayload


def answer(result: list[dict[str, Any]], kind: str = "matrix", **layout: Any) -> bytes:
    return json.dumps({"status": "success", "data": {"resultType": kind, "result": result}}, **layout).encode()


def test_a_matrix_gives_its_points_series_after_series() -> None:
    table = SeriesTable()
    body = answer(
        [
            {"metric": {"__name__": "calls", "to": "b"}, "values": [[1700000000.123, "1"], [1700000015, "2.5"]]},
            {"metric": {"to": "c"}, "values": []},
            {"metric": {"__name__": "calls", "to": "c"}, "values": [[1700000000, "+Inf"]]},
        ]
    )
    samples = parse_query_answer(body, table, more_labels={"prometheus": "eu"})
    assert samples.series.tolist() == [0, 0, 2]
    assert samples.time_ms.tolist() == [1700000000123, 1700000015000, 1700000000000]
    assert samples.value.tolist() == [1.0, 2.5, math.inf]
    assert table.names == ["calls", "", "calls"]
    assert table.labels[2] == {"to": "c", "prometheus": "eu"}


def test_a_vector_gives_one_sample_a_series() -> None:
    table = SeriesTable()
    samples = parse_query_answer(answer([{"metric": {"a": "b"}, "value": [5.5, "NaN"]}], "vector"), table)
    assert (samples.series.tolist(), samples.time_ms.tolist()) == ([0], [5500])
    assert math.isnan(samples.value[0])


def test_white_space_makes_no_difference() -> None:
    table = SeriesTable()
    samples = parse_query_answer(answer([{"metric": {}, "values": [[1, "2"], [3, "4"]]}], indent=3), table)
    assert samples.value.tolist() == [2.0, 4.0]


def test_an_empty_answer_has_no_samples() -> None:
    assert len(parse_query_answer(answer([]), SeriesTable())) == 0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"[]",
        b'{"status":"success"}',
        b'{"status":"success","data":{"resultType":"scalar","result":[1,"2"]}}',
        b'{"status":"success","data":{"resultType":"matrix","result":{}}}',
        b'{"status":"success","data":{"resultType":"matrix","result":[{"metric":{"a":1}}]}}',
        b'{"status":"success","data":{"resultType":"matrix","result":[{"values":[[1,"2"]]}',
        b"\xff\xff",
    ],
)
def test_what_is_no_answer_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidPayload):
        parse_query_answer(body, SeriesTable())


def test_an_error_answer_is_refused_with_its_words() -> None:
    body = b'{"status":"error","errorType":"bad_data","error":"parse error: unexpected }"}'
    with pytest.raises(InvalidPayload, match="bad_data: parse error: unexpected }"):
        parse_query_answer(body, SeriesTable())


@pytest.mark.parametrize(
    "values",
    [
        "[[1,2]]",
        '[[1,"2"],]',
        '[[1,"2"]',
        '[1,"2"]',
        '{"a":1}',
        "null",
        '"x"',
        '[["1","2"]]',
        '[[1,"2",3]]',
        '[[1"2"]]',
    ],
)
def test_points_of_another_form_refuse_their_series_only(values: str) -> None:
    table = SeriesTable()
    good = '{"metric":{"a":"b"},"values":[[1,"2"]]}'
    body = f'{{"status":"success","data":{{"resultType":"matrix","result":[{{"values":{values}}},{good}]}}}}'
    try:
        samples = parse_query_answer(body.encode(), table)
    except InvalidPayload:
        return  # no JSON at all
    assert samples.value.tolist() == [2.0]
    assert table.skipped.total() == 1


@pytest.mark.parametrize("point", ['[-1,"2"]', '[1e300,"2"]', '[1,"two"]', '[1,""]', '[99999999999,"1"]'])
def test_absurd_points_are_left_out_and_counted(point: str) -> None:
    table = SeriesTable()
    body = f'{{"status":"success","data":{{"resultType":"matrix","result":[{{"values":[{point},[7,"8"]]}}]}}}}'
    assert parse_query_answer(body.encode(), table).value.tolist() == [8.0]
    assert table.skipped == {"bad_point": 1}


def test_series_beyond_the_tables_limit_are_counted() -> None:
    table = SeriesTable(max_series=1)
    many = [{"metric": {"i": str(i)}, "values": [[1, "2"]]} for i in range(3)]
    assert len(parse_query_answer(answer(many), table)) == 1
    assert table.skipped == {"series_limit": 2}


def test_native_histograms_come_beside_the_samples() -> None:
    histogram = {"count": "3", "sum": "0.5", "buckets": [[0, "0.1", "0.2", "2"], [0, "0.2", "0.4", "1"]]}
    body = answer([{"metric": {"__name__": "d"}, "histograms": [[1700000000.5, histogram]]}])
    native = parse_query_answer(body, SeriesTable()).native
    assert native is not None
    assert native.time_ms.tolist() == [1700000000500]
    assert (native.count.tolist(), native.sum.tolist()) == ([3.0], [0.5])
    assert native.upper.tolist() == [0.2, 0.4]
    assert native.bucket_count.tolist() == [2.0, 1.0]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 4_000_000_000_000), st.floats()), max_size=20), st.sampled_from([None, 1]))
def test_times_and_values_are_exact(points: list[tuple[int, float]], indent: int | None) -> None:
    values = [[time_ms / 1000, repr(value)] for time_ms, value in points]
    samples = parse_query_answer(answer([{"metric": {}, "values": values}], indent=indent), SeriesTable())
    assert samples.time_ms.tolist() == [time_ms for time_ms, _ in points]
    assert [repr(value) for value in samples.value.tolist()] == [repr(value) for _, value in points]


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_no_bytes_whatever_crash_it(data: st.DataObject) -> None:
    body = bytearray(answer([{"metric": {"a": "b"}, "values": [[1.5, "2"], [3, "-Inf"]]}, {"value": [1, "2"]}]))
    for _ in range(data.draw(st.integers(0, 4))):
        place = data.draw(st.integers(0, len(body)))
        body[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    with contextlib.suppress(InvalidPayload):
        parse_query_answer(bytes(body), SeriesTable())
