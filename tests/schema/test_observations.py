"""The columns of the table `observations`: all of them, in their types, whatever form they are given in."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from chronotope.schema.observations import MEASURES, SCHEMA, observation_table
from chronotope.schema.storage.store import Store

START = 1_700_000_000
LEAST = {"time": [START, START + 10], "layer": "trace", "source": ["a", "b"], "target": "c"}


def test_columns_are_those_of_the_observations_table(any_store: Store) -> None:
    described = [row[0] for row in any_store.rows("DESCRIBE TABLE observations")]
    assert observation_table(LEAST).schema.names == described == SCHEMA.names


def test_measure_nobody_gave_is_zero_and_text_has_its_default() -> None:
    first = observation_table(LEAST).to_pylist()[0]
    assert {name: first[name] for name in MEASURES} == dict.fromkeys(MEASURES, 0)
    assert (first["protocol"], first["via"], first["view"], first["reporter"]) == ("unknown", "", 0, 0)
    assert (first["source_kind"], first["target_kind"]) == ("service", "service")
    assert (first["latency"], first["source_attributes"], first["target_attributes"]) == ([], [], [])


def test_first_and_last_evidence_default_to_the_start_of_the_bucket() -> None:
    table = observation_table(LEAST)
    for name in ("first_at", "last_at"):
        assert table[name].cast(pa.int64()).to_pylist() == [START * 1000, (START + 10) * 1000]


def test_given_evidence_is_kept_to_the_millisecond() -> None:
    table = observation_table({**LEAST, "first_at": [START * 1000 + 1, 0], "last_at": np.array([START * 1000 + 9, 1])})
    assert table["first_at"].cast(pa.int64()).to_pylist() == [START * 1000 + 1, 0]
    assert table["last_at"].cast(pa.int64()).to_pylist() == [START * 1000 + 9, 1]


@pytest.mark.parametrize(
    "calls",
    [
        [3, -4],
        np.array([3, -4], np.int32),
        pa.array([3, -4], pa.int16()),
        pa.chunked_array([[3], [-4]]),
        pa.array([9, 3, -4, 9])[1:3],
    ],
    ids=["list", "NumPy", "Arrow", "chunks", "slice"],
)
def test_numbers_come_in_any_form(calls: Any) -> None:
    column = observation_table({**LEAST, "calls": calls})["calls"]
    assert (column.type, column.to_pylist()) == (pa.int64(), [3, -4])


@pytest.mark.parametrize(
    "source",
    [
        ["ü", ""],
        np.array(["ü", ""]),
        pa.array(["ü", ""]),
        pa.array(["ü", ""]).dictionary_encode(),
        pa.array(["x", "ü", ""]).dictionary_encode()[1:],
        pa.chunked_array([pa.array(["ü"]).dictionary_encode(), pa.array([""]).dictionary_encode()]),
        pa.chunked_array([["ü"], [""]]),
    ],
    ids=["list", "NumPy", "Arrow", "dictionary", "slice", "dictionary chunks", "chunks"],
)
def test_names_come_in_any_form_and_are_dictionaries(source: Any) -> None:
    column = observation_table({**LEAST, "source": source})["source"]
    assert column.to_pylist() == ["ü", ""]
    assert column.type == pa.dictionary(pa.int32(), pa.string())


def test_one_value_stands_for_all_rows() -> None:
    table = observation_table({**LEAST, "calls": 7, "reporter": np.uint8(2), "protocol": "grpc"})
    assert [table[name].to_pylist() for name in ("calls", "reporter", "protocol")] == [[7, 7], [2, 2], ["grpc", "grpc"]]


def test_maps_come_as_pairs_or_mappings() -> None:
    table = observation_table({**LEAST, "latency": [[(3, 1), (9, 2)], []], "source_attributes": [{"team": "x"}, {}]})
    assert table["latency"].to_pylist() == [[(3, 1), (9, 2)], []]
    assert table["source_attributes"].to_pylist() == [[("team", "x")], []]


def test_no_rows_are_a_table_of_all_columns() -> None:
    table = observation_table({"time": [], "layer": [], "source": [], "target": "c"})
    assert (table.num_rows, table.schema) == (0, SCHEMA)


def test_inserting_no_rows_is_nothing(any_store: Store) -> None:
    any_store.insert("observations", observation_table({"time": [], "layer": [], "source": [], "target": []}), "t")
    assert any_store.rows("SELECT count() FROM edges_10s") == [(0,)]


@pytest.mark.parametrize("time", [-10, 2**32, 2**40])
def test_time_that_cannot_be_stored_is_refused_not_wrapped_around(time: int) -> None:
    with pytest.raises((pa.ArrowInvalid, OverflowError)):
        observation_table({**LEAST, "time": [START, time]})


@pytest.mark.parametrize("latency", [[[(256, 1)], []], [[(-1, 1)], []]])
def test_latency_bucket_that_does_not_exist_is_refused(latency: Any) -> None:
    with pytest.raises((pa.ArrowInvalid, OverflowError)):
        observation_table({**LEAST, "latency": latency})


def test_columns_of_unequal_length_are_refused() -> None:
    with pytest.raises(pa.ArrowInvalid):
        observation_table({**LEAST, "calls": [1, 2, 3]})
