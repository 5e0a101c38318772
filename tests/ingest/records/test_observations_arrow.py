"""Observations as Arrow columns: the same records, in every shape that writers give them."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from flask.testing import FlaskClient
from tests.ingest.records.posting import NOW, NOW_S, URL, bucket, post_arrow, stored

from chronotope.schema.errors import InvalidPayload, TooLarge
from chronotope.schema.storage.store import Store


@pytest.mark.parametrize("compression", [None, "zstd", "lz4"])
def test_arrow_columns_are_the_same_records(client: FlaskClient, store: Store, compression: str | None) -> None:
    attributes = pa.array([[("team", "a")], None, []], pa.map_(pa.string(), pa.string()))
    columns = {
        "time": pa.array([NOW, NOW, NOW], pa.timestamp("ms", tz="UTC")),
        "layer": pa.array(["ipc", "ipc", "dns"]).dictionary_encode(),
        "source": ["shop/web"] * 3,
        "target": ["shop/cart"] * 3,
        "calls": pa.array([3, 4, 5], pa.uint32()),
        "errors": pa.array([1, None, 1], pa.int8()),
        "interval_s": pa.array([None, 20, None], pa.float32()),
        "via": pa.array([None, ["p"], []], pa.list_(pa.string())),
        "latency_ms_sum": [6.0, None, None],
        "latency_ms_buckets": pa.array([[[1, 3]], None, []], pa.list_(pa.list_(pa.float64()))),
        "source_attributes": attributes,
        "colour": [1, None, 2],
        "nothing": pa.nulls(3),
    }
    answer = post_arrow(client, columns, compression)
    assert answer.get_json() == {
        "accepted": 2,
        "rejected": 1,
        "errors": [{"line": 3, "detail": "layer 'dns' is not known; accepted: network, ipc, trace"}],
        "unknown_fields": {"colour": 2, "nothing": 0},
    }
    assert stored(store, "toUnixTimestamp(time)", "calls", "errors", "via", "latency_us_sum") == [
        (NOW_S, 2, 0, "p", 0),
        (NOW_S, 3, 1, "", 6000),
        (NOW_S + 10, 2, 0, "p", 0),
    ]
    assert store.rows("SELECT service, key, value FROM service_attributes") == [("shop/web", "team", "a")]


BASE = {"time": [NOW_S], "layer": ["ipc"], "source": ["a"], "target": ["b"]}
PAIRS = [
    pa.array([[[1, 3], [2, 1]]], pa.list_(pa.list_(pa.float64(), 2))),
    pa.array([[(1, 3), (2, 1)]], pa.map_(pa.float64(), pa.int64())),
    pa.array([[{"le": 1, "n": 3}, {"le": 2, "n": 1}]]),
    pa.array([[[1, 3], [2, 1]]], pa.large_list(pa.large_list(pa.int64()))),
]


@pytest.mark.parametrize("buckets", PAIRS, ids=["pairs", "map", "struct", "lists"])
def test_histograms_come_in_every_arrow_shape(client: FlaskClient, store: Store, buckets: pa.Array) -> None:
    assert post_arrow(client, {**BASE, "calls": [4], "latency_ms_buckets": buckets}).status_code == 200
    assert store.rows("SELECT latency FROM latency_10s") == [({bucket(1): 3, bucket(2): 1},)]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("calls", ["3"]),
        ("time", [[1]]),
        ("source", [5]),
        ("via", ["p"]),
        ("latency_ms_buckets", [5]),
        ("latency_ms_buckets", [[5]]),
        ("source_attributes", [5]),
        ("source_attributes", pa.array([[(1, 2)]], pa.map_(pa.int64(), pa.int64()))),
    ],
)
def test_arrow_column_of_a_wrong_type_is_named(refusing: FlaskClient, name: str, values: Any) -> None:
    with pytest.raises(InvalidPayload, match=f"column {name} is .*accepted: "):
        post_arrow(refusing, {**BASE, name: values})


def test_arrow_numbers_that_are_none_are_refused_by_row(client: FlaskClient) -> None:
    bad = [float("nan"), float("inf"), -1.0, 1.5, 2.0**60]
    columns = {name: values * 6 for name, values in BASE.items()}
    body = post_arrow(client, {**columns, "calls": [*bad, 2.0]}).get_json()
    assert (body["accepted"], body["rejected"]) == (1, 5)
    times = [float("nan"), float("inf"), -1.0, 1e300, None, 0.0]
    body = post_arrow(client, {**columns, "time": times}).get_json()
    assert (body["accepted"], body["rejected"]) == (1, 5)


@pytest.mark.parametrize("body", [b"", b"\0" * 100, b"ARROW1\0\0", b"{}", b"\xff\xff\xff\xff\x10\0\0\0" + b"\1" * 40])
def test_bytes_that_are_no_arrow_stream_are_refused(refusing: FlaskClient, body: bytes) -> None:
    with pytest.raises(InvalidPayload, match="Arrow IPC stream"):
        refusing.post(URL, data=body, content_type="application/vnd.apache.arrow.stream")


def test_arrow_bombs_are_refused_before_they_unpack(refusing: FlaskClient) -> None:
    with pytest.raises(TooLarge, match="unpack"):
        post_arrow(refusing, {"source": ["a" * (1 << 24)]}, "zstd")
    with pytest.raises(TooLarge, match="records"):
        post_arrow(refusing, {"source": pa.nulls(5_000_000)})
