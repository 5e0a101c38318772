from __future__ import annotations

import time

import pytest

from chronotope.schema.config.config import Config
from chronotope.schema.observations import observation_table
from chronotope.schema.storage.migrate import statements
from chronotope.schema.storage.retention import TABLES, apply_retention, retention_of
from chronotope.schema.storage.store import Store

DAY = 86400


def test_retention_is_set_changed_and_removed_and_each_only_when_it_differs(store: Store) -> None:
    kept = {**Config().retention.kept_s(embedded=False), "spans": 3600, "flows": 3600, "alerts": 30 * DAY}
    assert set(retention_of(store).values()) == {None}
    expected = {aged.table for key, tables in TABLES.items() for aged in tables if kept[key] is not None}
    assert set(apply_retention(store, kept)) == expected
    assert retention_of(store) == kept
    assert apply_retention(store, kept) == []
    tens = [aged.table for aged in TABLES["10s"]]
    assert apply_retention(store, {**kept, "10s": 3 * DAY}) == tens
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


def test_what_arrived_is_known_as_long_as_it_is_new_however_old_its_time(store: Store) -> None:
    """Detection has to look at an imported history too, and no longer than at anything else."""
    store.insert(
        "observations",
        observation_table({"time": [1_700_000_000], "layer": "ipc", "source": "a", "target": "b", "calls": [5]}),
    )
    store.command("INSERT INTO bucket_arrivals VALUES (1700000010, now() - INTERVAL 8 DAY), (1700000020, 0)")
    apply_retention(store, {"10s": 7 * DAY})
    store.command("OPTIMIZE TABLE bucket_arrivals FINAL")
    assert store.rows("SELECT toUnixTimestamp(time) FROM bucket_arrivals") == [(1_700_000_000,)]


@pytest.mark.parametrize("ttl", ["toDateTime(time) + toIntervalMonth(1)", "time + INTERVAL 1 MONTH"])
def test_retention_set_by_hand_in_another_form_is_replaced(store: Store, ttl: str) -> None:
    store.command(f"ALTER TABLE edges_1d MODIFY TTL {ttl}")
    assert apply_retention(store, {"1d": None}) == ["edges_1d"]
    assert apply_retention(store, {"1d": None}) == []


def test_months_of_resolved_alerts_are_dropped_and_those_with_one_that_holds_stay(store: Store) -> None:
    insert = (
        "INSERT INTO alerts (rule, fingerprint, since, fired_at, resolved_at, step) VALUES "
        "('r', {name:String}, {since:UInt32}, {since:UInt32}, {end:UInt32}, {step:UInt8})"
    )
    now = int(time.time())
    month, other, old = now - 90 * DAY, now - 130 * DAY, now - 170 * DAY  # each in a month of its own
    for name, since, end, step in (
        ("over", old, 0, 1), ("over", old, old + 60, 2), ("moved", month, 0, 1), ("moved", month, now - 5, 2),
        ("settled", other, other + 5, 2), ("holds", other, 0, 1),
    ):  # fmt: skip
        store.command(insert, {"name": name, "since": since, "end": end, "step": step})
    assert apply_retention(store, {"alerts": None}) == []
    assert apply_retention(store, {"alerts": 30 * DAY}) == ["notifications", "alerts"]
    left = store.rows("SELECT DISTINCT fingerprint FROM alerts ORDER BY ALL")
    assert left == [("holds",), ("moved",), ("settled",)]
    assert apply_retention(store, {"alerts": 30 * DAY}) == []


def test_outcomes_of_notices_expire_and_since_when_a_receiver_is_known_does_not(store: Store) -> None:
    apply_retention(store, {"alerts": 30 * DAY})
    store.command(
        "INSERT INTO notifications VALUES ('a', '', 'known', 1700000000), ('a', 'old', 'delivered', 1700000000), "
        "('a', 'new', 'delivered', now())"
    )
    store.command("OPTIMIZE TABLE notifications FINAL")
    assert store.rows("SELECT id FROM notifications ORDER BY id") == [("",), ("new",)]


def test_embedded_store_keeps_alerts_unless_told() -> None:
    assert Config().retention.alerts_kept_s(embedded=True) is None
    assert Config().retention.alerts_kept_s(embedded=False) == 365 * DAY
    told = Config.model_validate({"retention": {"alerts": "7d"}}).retention
    assert told.alerts_kept_s(embedded=True) == told.alerts_kept_s(embedded=False) == 7 * DAY


def test_statements_name_the_cluster_where_there_is_one() -> None:
    assert statements("ALTER TABLE t {on_cluster} REMOVE TTL", "c") == ["ALTER TABLE t ON CLUSTER 'c' REMOVE TTL"]
