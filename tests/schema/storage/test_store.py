"""The table `observations` over both transports: what goes in comes out, once, summed at every level."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.schema.storage.rows import (
    COUNTS,
    DESCRIBED,
    HOSTILE,
    LATENCIES,
    START,
    assert_holds_once,
    many_rows,
    some_rows,
    totals,
)

from chronotope.schema.errors import StoreError
from chronotope.schema.observations import observation_table
from chronotope.schema.storage.migrate import migrate
from chronotope.schema.storage.store import Store

WRITER = """
import sys
from chronotope.schema.storage.store import Store
from tests.schema.storage.rows import many_rows
with Store.open(sys.argv[1]) as store:
    print("go", flush=True)
    store.insert("observations", many_rows(), token="batch-1")
    print("done", flush=True)
    sys.stdin.read()
"""


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


@pytest.mark.slow
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


def test_last_moment_that_can_be_stored_lands_in_its_own_buckets(any_store: Store) -> None:
    last = (2**32 - 1) // 86400 * 86400 - 10
    any_store.insert(
        "observations",
        observation_table({"time": [last], "layer": "ipc", "source": ["a"], "target": ["b"], "calls": [1]}),
    )
    for table, width in COUNTS.items():
        rows = any_store.rows(f"SELECT toUnixTimestamp(time), calls FROM {table}")
        assert rows == [(last // width * width, 1)], table


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
