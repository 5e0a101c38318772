"""The store over both transports: what goes in comes out, once, summed at every level."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from chronotope.schema.errors import StoreClosed, StoreError
from chronotope.schema.location import parse_store_url
from chronotope.schema.migrate import migrate
from chronotope.schema.observations import MEASURES, observation_table
from chronotope.schema.store import Store, first_line, wait_until_answers

START = 1_700_000_000 // 86400 * 86400
COUNTS = {"edges_10s": 10, "edges_1m": 60, "edges_1h": 3600, "edges_1d": 86400, "edge_hours": 3600}
LATENCIES = {"latency_10s": 10, "latency_1m": 60, "latency_1h": 3600, "latency_1d": 86400}
DESCRIBED = ("edge_lifetimes", "services", "service_attributes")
HOSTILE = [
    "'; DROP TABLE edges_10s; --",
    "\\",
    "\\'",
    '"`',
    "\\N",
    "a\tb\nc",
    "{x:String}",
    "%s",
    "ü 日本 🦆",
    "",
    "x" * 9000,
]

WRITER = """
import sys
from chronotope.schema.store import Store
from tests.schema.test_store import many_rows
with Store.open(sys.argv[1]) as store:
    print("go", flush=True)
    store.insert("observations", many_rows(), token="batch-1")
    print("done", flush=True)
    sys.stdin.read()
"""


def some_rows(sign: int = 1, rows: int = 600) -> pa.Table:
    """Return rows of 5 edges over 3 days, each measure another number, by a fixed seed."""
    random = np.random.default_rng(7)
    edge = random.integers(0, 5, rows)
    measures = {name: sign * random.integers(0, 100, rows) for name in MEASURES}
    columns: dict[str, Any] = {
        "time": START + random.integers(0, 3 * 8640, rows) * 10,
        "layer": np.array(["trace", "ipc"])[edge % 2],
        "source": np.array(["a", "ü", "a", "c", "d"])[edge],
        "target": np.array(["b", "b", "日本", "b", "d"])[edge],
        "reporter": edge % 3,
        "latency": [[(int(one % 256), sign * 2), (255, sign)] for one in random.integers(0, 200, rows)],
        "source_attributes": [{"team": "x"}] * rows,
    }
    return observation_table({**columns, **measures, "calls": sign * (1 + measures["calls"] * sign)})


def many_rows() -> pa.Table:
    """Return enough rows for a kill to find the insert at work."""
    return pa.concat_tables([some_rows(rows=60_000)] * 3)


def totals(store: Store) -> dict[str, Any]:
    """Return what is in every table behind the landing table."""
    sums = ", ".join(f"sum({name})" for name in MEASURES)
    found: dict[str, Any] = {table: store.rows(f"SELECT {sums} FROM {table}")[0] for table in COUNTS}
    for table in LATENCIES:
        found[table] = store.rows(f"SELECT sumMap(latency) FROM {table}")[0][0]
    for table in DESCRIBED:
        found[table] = store.rows(f"SELECT * FROM {table} FINAL ORDER BY ALL")
    return found


def expected_totals(table: pa.Table) -> tuple[dict[str, int], Counter[int]]:
    latency: Counter[int] = Counter()
    for pairs in table["latency"].to_pylist():
        for bucket, count in pairs:
            latency[bucket] += count
    return {name: sum(table[name].to_pylist()) for name in MEASURES}, latency


def assert_holds_once(store: Store, table: pa.Table) -> None:
    found = totals(store)
    measures, latency = expected_totals(table)
    for name in COUNTS:
        assert found[name] == tuple(measures.values()), name
    for name in LATENCIES:
        assert found[name] == dict(latency), name


def edge_sums(table: pa.Table, width: int) -> dict[tuple[Any, ...], int]:
    sums: Counter[tuple[Any, ...]] = Counter()
    for row in table.select(["time", "source", "target", "layer", "reporter", "calls"]).to_pylist():
        key = (row["time"] // width * width, row["source"], row["target"], row["layer"], row["reporter"])
        sums[key] += row["calls"]
    return dict(sums)


def test_each_level_holds_the_sums_of_its_buckets(any_store: Store) -> None:
    any_store.insert("observations", some_rows())
    for level, width in COUNTS.items():
        rows = any_store.rows(
            f"SELECT toUnixTimestamp(time), source, target, layer, reporter, sum(calls) FROM {level} GROUP BY ALL"
        )
        assert {row[:5]: row[5] for row in rows} == edge_sums(some_rows(), width), level


def test_all_measures_and_latencies_add_up_in_all_levels(any_store: Store) -> None:
    any_store.insert("observations", some_rows())
    assert_holds_once(any_store, some_rows())
    any_store.insert("observations", some_rows())
    for table in (*COUNTS, *LATENCIES):
        any_store.command(f"OPTIMIZE TABLE {table} FINAL")
    assert_holds_once(any_store, pa.concat_tables([some_rows(), some_rows()]))


def test_each_level_holds_the_latencies_of_its_buckets(any_store: Store) -> None:
    any_store.insert("observations", some_rows())
    for level, width in LATENCIES.items():
        expected: dict[int, Counter[int]] = {}
        for row in some_rows().select(["time", "latency"]).to_pylist():
            counter = expected.setdefault(row["time"] // width * width, Counter())
            for bucket, count in row["latency"]:
                counter[bucket] += count
        rows = any_store.rows(f"SELECT toUnixTimestamp(time), sumMap(latency) FROM {level} GROUP BY time")
        assert dict(rows) == {time: dict(counter) for time, counter in expected.items()}, level


def test_insert_repeated_with_its_token_counts_once_in_every_table(any_store: Store) -> None:
    any_store.insert("observations", some_rows(), token="batch-1")
    before = totals(any_store)
    assert_holds_once(any_store, some_rows())
    any_store.insert("observations", some_rows(), token="batch-1")
    with Store.open(any_store.location.url) as another:
        another.insert("observations", some_rows(), token="batch-1")
    assert totals(any_store) == before


def test_insert_with_another_token_or_none_counts_again(any_store: Store) -> None:
    for token in ("batch-1", "batch-2", "", ""):
        any_store.insert("observations", some_rows(), token=token)
    assert_holds_once(any_store, pa.concat_tables([some_rows()] * 4))


def test_hostile_tokens_are_different_tokens(any_store: Store) -> None:
    hostile = HOSTILE[:-2]
    for token in hostile * 2:
        any_store.insert("observations", some_rows(rows=3), token=f"t{token}")
    assert_holds_once(any_store, pa.concat_tables([some_rows(rows=3)] * len(hostile)))


def test_repeated_insert_is_known_after_the_store_was_closed_and_opened(tmp_path: Path) -> None:
    url = f"chdb://{tmp_path / 'store'}"
    for _ in range(3):
        with Store.open(url) as store:
            migrate(store)
            store.insert("observations", some_rows(), token="batch-1")
            assert_holds_once(store, some_rows())


@pytest.mark.parametrize("delay_s", [0.0, 0.15, 0.4, None])
def test_insert_repeated_after_a_kill_counts_once_in_every_table(delay_s: float | None, tmp_path: Path) -> None:
    """Killed at some moment of the insert, or (no delay) when it had just returned: the tables may then disagree."""
    url = f"chdb://{tmp_path / 'store'}"
    with Store.open(url) as store:
        migrate(store)
    command = [sys.executable, "-c", WRITER, url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "go\n"
        if delay_s is None:
            assert writer.stdout.readline() == "done\n"
        else:
            time.sleep(delay_s)
        os.kill(writer.pid, signal.SIGKILL)
    with Store.open(url) as store:
        store.insert("observations", many_rows(), token="batch-1")
        assert_holds_once(store, many_rows())


def test_corrections_cancel_in_all_levels_and_leave_the_lifetimes(any_store: Store) -> None:
    any_store.insert("observations", some_rows())
    before = totals(any_store)
    any_store.insert("observations", some_rows(sign=-1))
    after = totals(any_store)
    for table in COUNTS:
        assert set(after[table]) == {0}, table
    for table in LATENCIES:
        assert not any(after[table].values()), table
    for table in DESCRIBED:
        assert after[table] == before[table], table


def test_correction_alone_makes_no_edge_live(any_store: Store) -> None:
    any_store.insert("observations", some_rows(sign=-1))
    assert any_store.rows("SELECT count() FROM edge_lifetimes") == [(0,)]
    assert any_store.rows("SELECT count() FROM services") == [(0,)]


def test_lifetimes_are_first_and_last_evidence_of_each_edge_and_layer(any_store: Store) -> None:
    later = {"time": [START + 10], "layer": "ipc", "source": ["a"], "target": ["b"], "bytes_sent": 1}
    for shift in (50, 0, 90_000):
        given = {"first_at": [(START + shift) * 1000 + 3], "last_at": [(START + shift) * 1000 + 7]}
        any_store.insert("observations", observation_table({**later, **given}))
    any_store.insert("observations", observation_table({**later, "layer": "network"}))
    shown = "SELECT layer, toUnixTimestamp64Milli(min(first_seen)), toUnixTimestamp64Milli(max(last_seen)) FROM "
    ipc, network = any_store.rows(f"{shown} edge_lifetimes GROUP BY layer ORDER BY layer")
    assert ipc == ("ipc", START * 1000 + 3, (START + 90_000) * 1000 + 7)
    assert network == ("network", (START + 10) * 1000, (START + 10) * 1000)
    assert any_store.rows(f"{shown} services WHERE service = 'b' GROUP BY layer ORDER BY layer") == [ipc, network]


def test_services_have_each_kind_they_were_seen_as(any_store: Store) -> None:
    columns = {"time": [START] * 2, "layer": "ipc", "source": ["a", "b"], "target": ["b", "c"], "calls": 1}
    kinds = {"source_kind": "service", "target_kind": ["unknown", "database"]}
    attributes = {"source_attributes": [{"team": "ü"}, {}], "target_attributes": [{}, {"version": "'1\\"}]}
    any_store.insert("observations", observation_table({**columns, **kinds, **attributes}))
    rows = any_store.rows("SELECT service, kind FROM services FINAL ORDER BY service, kind")
    assert rows == [("a", "service"), ("b", "service"), ("b", "unknown"), ("c", "database")]
    said = any_store.rows("SELECT service, key, value FROM service_attributes FINAL ORDER BY service")
    assert said == [("a", "team", "ü"), ("c", "version", "'1\\")]


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


def test_last_moment_that_can_be_stored_lands_in_its_own_buckets(any_store: Store) -> None:
    last = (2**32 - 1) // 86400 * 86400 - 10
    any_store.insert(
        "observations",
        observation_table({"time": [last], "layer": "ipc", "source": ["a"], "target": ["b"], "calls": [1]}),
    )
    for table, width in COUNTS.items():
        rows = any_store.rows(f"SELECT toUnixTimestamp(time), calls FROM {table}")
        assert rows == [(last // width * width, 1)], table


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


def test_refused_insert_leaves_nothing_behind(any_store: Store) -> None:
    wrong = some_rows(rows=3).append_column("no_such", pa.array([1, 2, 3]))
    with pytest.raises(StoreError):
        any_store.insert("observations", wrong, token="batch-1")
    any_store.insert("observations", some_rows(), token="batch-1")
    assert_holds_once(any_store, some_rows())


def test_threads_share_a_store_and_each_insert_counts(any_store: Store) -> None:
    def write(number: int) -> None:
        for part in range(3):
            any_store.insert("observations", some_rows(), token=f"{number}-{part}")
            any_store.query("SELECT count() FROM edges_10s")

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert_holds_once(any_store, pa.concat_tables([some_rows()] * 12))


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
