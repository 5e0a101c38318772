"""Queries over both transports: values, answers, errors and threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from tests.schema.storage.rows import HOSTILE, START, some_rows

from chronotope.schema.errors import StoreClosed, StoreError
from chronotope.schema.observations import observation_table
from chronotope.schema.storage.location import parse_store_url
from chronotope.schema.storage.store import Store, first_line, wait_until_answers


def test_parameters_are_values_never_sql(any_store: Store) -> None:
    sources = [*HOSTILE, "other"]
    columns = {"time": [START] * len(sources), "layer": "ipc", "source": sources, "target": "t", "calls": 1}
    any_store.insert("observations", observation_table(columns))
    sql = "SELECT source FROM edges_10s WHERE source = {x:String}"
    many = "SELECT count() FROM edges_10s WHERE source IN {x:Array(String)}"
    for name in HOSTILE:
        assert any_store.rows(sql, {"x": name}) == [(name,)]
        assert any_store.query(sql, {"x": name})["source"].to_pylist() == [name]
        assert any_store.rows(many, {"x": [name, "'", "nobody"]}) == [(1,)]


VALUES: list[tuple[str, Any]] = [
    ("UInt64", 2**64 - 1),
    ("Int64", -(2**63)),
    ("Float64", 1e-300),
    ("Array(UInt64)", [0, 2**64 - 1]),
    ("Array(String)", ["'", "\\", "ü", ""]),
    ("Array(String)", []),
    ("Bool", True),
]


def test_types_go_in_and_come_out(any_store: Store) -> None:
    for kind, value in VALUES:
        assert any_store.rows(f"SELECT {{x:{kind}}}", {"x": value}) == [(value,)], kind


def test_lists_of_a_hundred_kilobytes_pass_as_parameters(any_store: Store) -> None:
    """They do not fit an address: the client sends a form, whose fields a server limits to 128 KiB."""
    numbers = list(range(10**18, 10**18 + 6000))
    assert any_store.rows("SELECT length({x:Array(UInt64)})", {"x": numbers}) == [(6000,)]


def test_columns_come_back_as_they_went_in(any_store: Store) -> None:
    """Of every type in the schema, in the table that keeps the extremes: spans."""
    columns = {
        "trace_hi": pa.array([2**64 - 1, 0], pa.uint64()),
        "trace_lo": pa.array([1, 2**63], pa.uint64()),
        "span": pa.array([0, 2**64 - 1], pa.uint64()),
        "parent": pa.array([0, 1], pa.uint64()),
        "start_ns": pa.array([-(2**63), 2**63 - 1], pa.int64()),
        "duration_ns": pa.array([0, 2**63 - 1], pa.int64()),
        "service": pa.array(["ü🦆", "x" * 9000]).dictionary_encode(),
        "peer": pa.array(["", "\0'\\"]).dictionary_encode(),
        "weight": pa.array([-(2**31), 2**31 - 1], pa.int32()),
        "kind": pa.array([0, 255], pa.uint8()),
        "received_at": pa.array([0, 2**32 - 1], pa.uint32()),
    }
    any_store.insert("spans", pa.table(columns))
    found = any_store.query(f"SELECT {', '.join(columns)} FROM spans ORDER BY trace_lo")
    for name, column in columns.items():
        if name != "received_at":
            assert found[name].to_pylist() == column.to_pylist(), name
    assert pa.types.is_dictionary(found.schema.field("service").type)
    assert any_store.rows("SELECT toUnixTimestamp(received_at) FROM spans ORDER BY trace_lo") == [(0,), (2**32 - 1,)]


def test_answer_without_rows_has_its_columns(any_store: Store) -> None:
    table = any_store.query("SELECT time, source, calls FROM edges_10s")
    assert (table.num_rows, table.schema.names) == (0, ["time", "source", "calls"])


def test_settings_of_one_query_do_not_stay(any_store: Store) -> None:
    sql = "SELECT getSetting('max_threads')::UInt64 AS n"
    usual = any_store.query(sql)["n"].to_pylist()
    assert any_store.query(sql, max_threads=7)["n"].to_pylist() == [7]
    assert any_store.query(sql)["n"].to_pylist() == usual


REFUSED: list[tuple[Callable[[Store], object], str]] = [
    (lambda store: store.rows("SELEC 1"), "Syntax error"),
    (lambda store: store.query("SELECT * FROM nowhere"), "nowhere"),
    (lambda store: store.command("DROP TABLE nowhere"), "nowhere"),
    (lambda store: store.rows("SELECT {x:UInt8}", {"x": "no number"}), "no number"),
    (lambda store: store.rows("SELECT {given:UInt8}"), "given"),
    (lambda store: store.insert("nowhere", some_rows(rows=1)), "nowhere"),
    (lambda store: store.insert("spans", pa.table({"no_such": [1]})), "no_such"),
]


def test_what_the_engine_refuses_is_a_store_error_of_one_line(any_store: Store) -> None:
    for act, said in REFUSED:
        with pytest.raises(StoreError, match=said) as raised:
            act(any_store)
        text = str(raised.value)
        assert text.startswith(f"store {any_store.location.shown}: ")
        assert "\n" not in text
        assert len(text) < 700
        assert any_store.rows("SELECT 1") == [(1,)]


def test_queries_asked_together_are_answered_in_their_order(any_store: Store) -> None:
    asked = [
        ("SELECT {n:UInt32} AS n, sleep({s:Float64})", {"n": n, "s": s}) for n, s in enumerate((0.2, 0.1, 0, 0, 0))
    ]
    assert [answer.column("n").to_pylist() for answer in any_store.query_together(*asked)] == [[0], [1], [2], [3], [4]]
    assert any_store.query_together() == []


def test_more_callers_than_threads_do_not_wait_for_each_other(any_store: Store) -> None:
    """Each caller runs what no other thread has begun: nobody needs a free thread."""
    asked = [("SELECT {n:UInt32} + number AS n FROM numbers(3)", {"n": n}) for n in range(4)]
    found: list[list[list[int]]] = []

    def read() -> None:
        for _ in range(5):
            found.append([answer.column("n").to_pylist() for answer in any_store.query_together(*asked)])

    threads = [threading.Thread(target=read) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[[n, n + 1, n + 2] for n in range(4)]] * 60


@pytest.mark.parametrize("wrong", [0, 1, 4])
def test_one_refused_query_fails_those_asked_with_it_and_no_others(any_store: Store, wrong: int) -> None:
    asked: list[tuple[str, dict[str, object]]] = [("SELECT 1 AS n", {})] * 5
    asked[wrong] = ("SELECT no_such_column", {})
    with pytest.raises(StoreError, match="no_such_column"):
        any_store.query_together(*asked)
    assert [answer.num_rows for answer in any_store.query_together(*[("SELECT 1", {})] * 5)] == [1] * 5


def test_threads_for_queries_end_with_the_store(any_store_url: str) -> None:
    before = set(threading.enumerate())
    with Store.open(any_store_url) as store:
        store.query_together(*[("SELECT 1", {})] * 4)
        own = [thread for thread in threading.enumerate() if thread not in before and thread.name.startswith("store")]
        assert own
    for thread in own:
        thread.join(60)
    assert not any(thread.is_alive() for thread in own)
    with pytest.raises(StoreClosed, match="is closed"):
        store.query_together(("SELECT 1", {}), ("SELECT 2", {}))


def test_closed_store_says_so(any_store_url: str) -> None:
    store = Store.open(any_store_url)
    store.close()
    store.close()
    with pytest.raises(StoreError, match="is closed"):
        store.rows("SELECT 1")


def test_waiting_for_a_server_ends_with_its_last_error() -> None:
    started = time.monotonic()
    with pytest.raises(StoreError, match="refused"):
        wait_until_answers(Store(parse_store_url("clickhouse://127.0.0.1:1")), 0.3)
    assert time.monotonic() - started < 60


def test_engine_messages_lose_their_query_and_stack() -> None:
    text = "Received ClickHouse exception, code: 60, server response: Code: 60. DB::Exception: no t. In scope SELECT\n1"
    assert first_line(ValueError(text)) == "Code: 60. DB::Exception: no t."
    assert first_line(ValueError("")) == "ValueError"
