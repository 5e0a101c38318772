from __future__ import annotations

import pytest

from chronotope.schema.config import Config
from chronotope.schema.migrate import statements
from chronotope.schema.observations import observation_table
from chronotope.schema.retention import TABLES, apply_retention, retention_of
from chronotope.schema.store import Store

DAY = 86400


def test_retention_is_set_changed_and_removed_and_each_only_when_it_differs(store: Store) -> None:
    kept = {**Config().retention.kept_s(embedded=False), "spans": 3600, "flows": 3600}
    assert set(retention_of(store).values()) == {None}
    expected = {table for key, tables in TABLES.items() for table in tables if kept[key] is not None}
    assert set(apply_retention(store, kept)) == expected
    assert retention_of(store) == kept
    assert apply_retention(store, kept) == []
    assert apply_retention(store, {**kept, "10s": 3 * DAY}) == ["edges_10s", "latency_10s"]
    assert set(apply_retention(store, dict.fromkeys(TABLES))) == expected
    assert retention_of(store) == dict.fromkeys(TABLES)


def test_expired_rows_leave_their_level_and_stay_in_coarser_ones(store: Store) -> None:
    store.insert(
        "observations",
        observation_table({"time": [1_700_000_000], "layer": "ipc", "source": "a", "target": "b", "calls": [5]}),
    )
    apply_retention(store, {"10s": 7 * DAY, "1m": None})
    store.command("OPTIMIZE TABLE edges_10s FINAL")
    assert store.rows("SELECT count() FROM edges_10s") == [(0,)]
    assert store.rows("SELECT sum(calls) FROM edges_1m") == [(5,)]


@pytest.mark.parametrize("ttl", ["toDateTime(time) + toIntervalMonth(1)", "time + INTERVAL 1 MONTH"])
def test_retention_set_by_hand_in_another_form_is_replaced(store: Store, ttl: str) -> None:
    store.command(f"ALTER TABLE edges_1d MODIFY TTL {ttl}")
    assert apply_retention(store, {"1d": None}) == ["edges_1d"]
    assert apply_retention(store, {"1d": None}) == []


def test_statements_name_the_cluster_where_there_is_one() -> None:
    assert statements("ALTER TABLE t {on_cluster} REMOVE TTL", "c") == ["ALTER TABLE t ON CLUSTER 'c' REMOVE TTL"]
