"""Observations as lines of JSON: what is taken, summed and refused."""

from __future__ import annotations

import gzip
import json

import pytest
from flask.testing import FlaskClient
from tests.ingest.records.posting import EDGE, NOW, NOW_S, URL, bucket, post, stored

from chronotope.schema.errors import InvalidValue, TooLarge, UnsupportedMedia
from chronotope.schema.storage.store import Store


def test_record_falls_into_the_ten_seconds_that_hold_it(client: FlaskClient, store: Store) -> None:
    answer = post(
        client, {**EDGE, "time": "2026-01-01T00:00:19.999Z", "errors": 1, "bytes_sent": 5, "reporter": "target"}
    )
    assert (answer.status_code, answer.json) == (200, {"accepted": 1, "rejected": 0, "errors": []})
    assert stored(store, "toUnixTimestamp(time)", "source", "target", "layer", "protocol", "view", "reporter") == [
        (NOW_S + 10, "shop/web", "shop/cart", "ipc", "unknown", 0, 2)
    ]
    assert stored(store, "calls", "errors", "bytes_sent", "latency_count") == [(3, 1, 5, 0)]
    assert store.rows("SELECT toUnixTimestamp64Milli(first_seen) FROM edge_lifetimes") == [(NOW + 19_999,)]


def test_records_of_one_edge_and_bucket_add_up(client: FlaskClient, store: Store) -> None:
    post(client, EDGE, EDGE, {**EDGE, "time": NOW})
    assert stored(store, "calls") == [(9,)]


@pytest.mark.parametrize("time", [NOW_S, NOW, float(NOW_S), str(NOW), "2026-01-01T01:00:00+01:00", "now"])
def test_every_form_of_a_time_is_the_same_instant(client: FlaskClient, store: Store, time: object) -> None:
    assert post(client, {**EDGE, "time": time}).status_code == 200
    assert stored(store, "toUnixTimestamp(time)") == [(NOW_S,)]


def test_long_record_is_spread_over_its_buckets_and_adds_up(client: FlaskClient, store: Store) -> None:
    post(
        client,
        {**EDGE, "interval_s": 60, "calls": 100, "errors": 7, "latency_ms_sum": 50, "latency_ms_buckets": [[1, 100]]},
    )
    rows = stored(store, "toUnixTimestamp(time)", "calls", "errors")
    assert [row[0] for row in rows] == list(range(NOW_S, NOW_S + 60, 10))
    assert sum(row[1] for row in rows) == 100
    assert all(16 <= row[1] <= 18 for row in rows)
    assert sum(row[2] for row in rows) == 7
    assert stored(store, "sum(latency_count)", "sum(latency_us_sum)") == [(100, 50_000)]
    assert store.rows("SELECT sumMap(latency) FROM latency_1m") == [({bucket(1): 100},)]


def test_histogram_bounds_become_our_buckets(client: FlaskClient, store: Store) -> None:
    buckets = [[5, 10], [5.0001, 2], [250.5, 3], [None, 1], [9, 0]]
    post(client, {**EDGE, "calls": 16, "latency_ms_buckets": buckets, "latency_ms_sum": 900.5})
    assert store.rows("SELECT latency FROM latency_10s") == [({bucket(5): 12, bucket(250.5): 4},)]
    assert stored(store, "latency_count", "latency_us_sum") == [(16, 900_500)]


def test_bound_beyond_all_buckets_is_the_last_one(client: FlaskClient, store: Store) -> None:
    post(client, {**EDGE, "latency_ms_buckets": [[1e300, 2], [0, 1]]})
    assert store.rows("SELECT latency FROM latency_10s") == [({0: 1, 255: 2},)]


def test_mean_is_unknown_without_the_sum_of_latencies(client: FlaskClient, store: Store) -> None:
    post(client, {**EDGE, "latency_ms_buckets": [[5, 3]]})
    assert stored(store, "latency_count", "latency_us_sum") == [(0, 0)]
    assert store.rows("SELECT latency FROM latency_10s") == [({bucket(5): 3},)]


def test_sum_of_latencies_alone_is_of_the_calls(client: FlaskClient, store: Store) -> None:
    post(client, {**EDGE, "latency_ms_sum": 6})
    assert stored(store, "latency_count", "latency_us_sum") == [(3, 6000)]


def test_via_is_one_resolved_edge_and_its_hops(client: FlaskClient, store: Store) -> None:
    post(client, {**EDGE, "via": ["edge/nat", "edge/envoy"], "latency_ms_sum": 3, "target_kind": "database"}, EDGE)
    assert stored(store, "source", "target", "via", "view", "calls") == [
        ("shop/web", "shop/cart", "", 0, 3),
        ("shop/web", "shop/cart", "edge/nat\x1fedge/envoy", 1, 3),
    ]
    assert stored(store, "source", "target", "via", "calls", "latency_count", where="view = 2") == [
        ("edge/envoy", "shop/cart", "", 3, 0),
        ("edge/nat", "edge/envoy", "", 3, 0),
        ("shop/web", "edge/nat", "", 3, 3),
    ]
    kinds = {tuple(row) for row in store.rows("SELECT service, kind FROM services")}
    assert kinds == {
        ("shop/web", "service"),
        ("shop/cart", "service"),
        ("shop/cart", "database"),
        ("edge/nat", "intermediary"),
        ("edge/envoy", "intermediary"),
    }


def test_attributes_and_aliases_reach_the_store(client: FlaskClient, store: Store) -> None:
    attributes = {"team": "payments", "tier": 1, "gone": None}
    post(client, {**EDGE, "target": "old", "via": ["old"], "source_attributes": attributes})
    assert store.rows("SELECT service, key, value FROM service_attributes FINAL ORDER BY ALL") == [
        ("shop/web", "team", "payments"),
        ("shop/web", "tier", "1"),
    ]
    assert stored(store, "target", "via") == [("shop/new", "shop/new")]


BAD = [
    ("{", "not a line of JSON: Input data was truncated"),
    ("[1]", "[1] is not a JSON object"),
    ("NaN", "not a line of JSON"),
    ({**EDGE, "time": "soon"}, "time 'soon' is not a time; accepted: RFC 3339"),
    ({**EDGE, "time": "0001-01-01T00:00:00Z"}, "outside 1970-01-01 to 2105-12-31"),
    ({**EDGE, "time": "2200-01-01T00:00:00Z"}, "outside 1970-01-01 to 2105-12-31"),
    ({**EDGE, "time": None}, "time null: expected int, got null"),
    ({**EDGE, "time": True}, "time true: expected int, got bool"),
    ({key: EDGE[key] for key in EDGE if key != "target"}, "object missing required field target"),
    ({**EDGE, "layer": "dns"}, "layer 'dns' is not known; accepted: network, ipc, trace"),
    ({**EDGE, "layer": ""}, "layer is missing; accepted: network, ipc, trace"),
    ({**EDGE, "source": " "}, "source is missing; use a service id"),
    ({**EDGE, "source": 5}, "source 5: expected str, got int"),
    ({**EDGE, "target_kind": "db"}, "target_kind 'db' is not known; accepted: service, database"),
    ({**EDGE, "reporter": "both"}, "reporter 'both' is not known; accepted: source, target"),
    ({**EDGE, "calls": -1}, "calls -1: expected int >= 0"),
    ({**EDGE, "calls": 1.5}, "calls 1.5 is not a count; use a whole number"),
    ({**EDGE, "calls": 2**60}, "calls 1152921504606846976: expected int <= 9007199254740991"),
    ({**EDGE, "calls": "3"}, "calls '3': expected"),
    ({**EDGE, "errors": 4}, "errors 4 is more than calls 3"),
    ({**EDGE, "interval_s": 0}, "interval_s 0 is not accepted; use 0.001 to 86400"),
    ({**EDGE, "interval_s": 86401}, "interval_s 86401 is not accepted"),
    ({**EDGE, "interval_s": -5}, "interval_s -5 is not accepted; use a number from 0 to 1e+15"),
    ({**EDGE, "interval_s": 1e308}, "interval_s 1e+308 is not accepted"),
    ({**EDGE, "latency_ms_sum": 1e15}, "latency_ms_sum 1e+15"),
    ({**EDGE, "latency_ms_sum": -1}, "latency_ms_sum -1 is not accepted"),
    ({**EDGE, "latency_ms_buckets": [[1]]}, "latency_ms_buckets[0] [[1]]: expected array of length 2, got 1"),
    ({**EDGE, "latency_ms_buckets": [[-1, 1]]}, "latency_ms_buckets is not accepted; use a list of [upper bound in ms"),
    ({**EDGE, "latency_ms_buckets": [[1, 0.5]]}, "latency_ms_buckets is not accepted"),
    ({**EDGE, "latency_ms_buckets": [[None, 5]]}, "latency_ms_buckets is not accepted"),
    ({**EDGE, "via": ["a", ""]}, "via has an empty entry"),
    ({**EDGE, "via": ["a"] * 17}, "via has 17 entries; at most 16"),
    ({**EDGE, "source_attributes": {"a": [1]}}, "source_attributes[...]"),
    ("[" * 100_000, "not a line of JSON"),
]


@pytest.mark.parametrize(("record", "detail"), BAD)
def test_bad_record_is_refused_for_what_is_wrong_with_it(refusing: FlaskClient, record: object, detail: str) -> None:
    answer = post(refusing, record)
    body = answer.get_json()
    assert (answer.status_code, body["accepted"], body["rejected"]) == (422, 0, 1)
    assert detail in body["errors"][0]["detail"]


def test_bad_records_are_refused_with_their_lines_and_the_rest_is_taken(client: FlaskClient, store: Store) -> None:
    between = [line for record, _ in BAD for line in (EDGE, "", record)]
    answer = post(client, *between)
    body = answer.get_json()
    assert (answer.status_code, body["accepted"], body["rejected"]) == (200, len(BAD), len(BAD))
    assert [error["line"] for error in body["errors"]] == list(range(3, 3 * len(BAD) + 1, 3))
    assert all(detail in error["detail"] for (_, detail), error in zip(BAD, body["errors"], strict=True))
    assert stored(store, "sum(calls)") == [(3 * len(BAD),)]


def test_bytes_that_are_no_text_are_one_refused_line(client: FlaskClient) -> None:
    good = json.dumps(EDGE).encode()
    body = b"\xef\xbb\xbf" + good + b"\r\n\xff\xfe\r\n" + good.replace(b"shop/cart", b"a\xffb") + b"\n"
    answer = client.post(URL, data=body, content_type="application/x-ndjson; charset=utf-8").get_json()
    assert (answer["accepted"], answer["rejected"]) == (1, 2)
    assert [error["line"] for error in answer["errors"]] == [2, 3]


def test_nothing_accepted_is_unprocessable(refusing: FlaskClient) -> None:
    answer = post(refusing, {"time": 1}, "x")
    assert (answer.status_code, answer.get_json()["rejected"]) == (422, 2)
    assert post(refusing).status_code == 422


def test_many_errors_are_counted_and_the_first_hundred_told(client: FlaskClient) -> None:
    body = post(client, *[{**EDGE, "layer": "x"} if i % 2 else "{" for i in range(1000)], EDGE).get_json()
    assert (body["accepted"], body["rejected"]) == (1, 1000)
    assert [error["line"] for error in body["errors"]] == list(range(1, 101))


def test_one_record_is_refused_once_for_its_first_fault(refusing: FlaskClient) -> None:
    body = post(refusing, {**EDGE, "layer": "x", "reporter": "y", "via": [""]}).get_json()
    assert (body["rejected"], len(body["errors"])) == (1, 1)


def test_unknown_fields_are_ignored_and_counted(client: FlaskClient) -> None:
    body = post(client, {**EDGE, "colour": 1}, {**EDGE, "colour": 2, "x" * 500: 1}).get_json()
    assert body["accepted"] == 2
    assert body["unknown_fields"] == {"colour": 2, "x" * 100: 1}


def test_hostile_names_are_cleaned(client: FlaskClient, store: Store) -> None:
    post(client, {**EDGE, "source": "a\u0000b\u2028", "target": "n" * 10_000, "protocol": "HTTP"})
    (source, target, protocol) = stored(store, "source", "target", "protocol")[0]
    assert (source, len(target), protocol) == ("a�b�", 256, "http")


def test_equal_requests_without_a_key_both_count(client: FlaskClient, store: Store) -> None:
    post(client, EDGE)
    post(client, EDGE)
    assert stored(store, "calls") == [(6,)]


def test_repeated_key_and_body_count_once(client: FlaskClient, store: Store) -> None:
    headers = {"Idempotency-Key": "batch-1"}
    assert post(client, EDGE, **headers).get_json()["accepted"] == 1
    assert post(client, EDGE, **headers).get_json()["accepted"] == 1
    assert stored(store, "calls") == [(3,)]
    post(client, {**EDGE, "calls": 5}, **headers)
    assert stored(store, "calls") == [(8,)]
    post(client, EDGE)
    assert stored(store, "calls") == [(11,)]


def test_gzip_is_understood_and_bombs_are_not(client: FlaskClient) -> None:
    packed = gzip.compress(json.dumps(EDGE).encode())
    headers = {"Content-Encoding": "gzip"}
    assert client.post(URL, data=packed, content_type="application/x-ndjson", headers=headers).status_code == 200
    bomb = gzip.compress(b" " * (1 << 24))
    with pytest.raises(TooLarge):
        client.post(URL, data=bomb, content_type="application/x-ndjson", headers=headers)
    with pytest.raises(TooLarge):
        client.post(URL, data=b" " * ((1 << 20) + 1), content_type="application/x-ndjson")


@pytest.mark.parametrize("kind", ["application/json", "text/plain", None, "application/x-www-form-urlencoded"])
def test_other_content_types_are_refused_by_name(refusing: FlaskClient, kind: str | None) -> None:
    with pytest.raises(UnsupportedMedia, match=r"application/x-ndjson.*application/vnd.apache.arrow.stream"):
        refusing.post(URL, data=b"{}", content_type=kind)


def test_long_idempotency_key_is_refused(refusing: FlaskClient) -> None:
    with pytest.raises(InvalidValue, match="257 characters"):
        post(refusing, EDGE, **{"Idempotency-Key": "k" * 257})


def test_records_that_cover_too_many_buckets_are_refused(refusing: FlaskClient) -> None:
    long = {**EDGE, "interval_s": 86400}
    with pytest.raises(TooLarge, match="shorter intervals"):
        post(refusing, *[long] * 400)
