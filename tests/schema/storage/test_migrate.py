"""Migrations: safe to repeat and to break off, strict about what they find, one source for node and cluster."""

from __future__ import annotations

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from itertools import chain
from typing import Any

import pytest

from chronotope.schema.errors import SchemaMismatch, StoreError
from chronotope.schema.storage import migrate as module
from chronotope.schema.storage.migrate import (
    LEDGER,
    Migration,
    migrate,
    pending,
    read_migrations,
    show_schema,
    statements,
)
from chronotope.schema.storage.store import Store

MIGRATIONS = read_migrations()
_REPEATABLE = (
    r"(CREATE (TABLE|MATERIALIZED VIEW) IF NOT EXISTS \w+ ON CLUSTER 'c'"
    r"|ALTER TABLE \w+ ON CLUSTER 'c'\s+(ADD COLUMN IF NOT EXISTS|MODIFY QUERY\s+SELECT)"
    r"|DETACH TABLE IF EXISTS \w+ ON CLUSTER 'c' SYNC|ATTACH TABLE IF NOT EXISTS \w+ ON CLUSTER 'c')"
)


def by_name(migration: Migration) -> str:
    return migration.name


def test_migrations_are_numbered_and_say_what_they_change() -> None:
    versions = [migration.version for migration in MIGRATIONS]
    assert versions == sorted(set(versions))
    for migration in MIGRATIONS:
        assert re.search(r"^-- Change: .*Safe to run again: yes\.", migration.sql, re.MULTILINE), migration.name


def test_migrating_twice_applies_nothing_the_second_time(any_store_url: str) -> None:
    with Store.open(any_store_url) as store:
        assert pending(store) == MIGRATIONS
        assert migrate(store) == MIGRATIONS
        before = show_schema(store)
        assert migrate(store) == []
        assert pending(store) == []
        assert show_schema(store) == before
        assert store.rows("SELECT count() FROM schema_migrations FINAL") == [(len(MIGRATIONS),)]


def test_schema_is_the_golden_one_over_both_transports(any_store: Store, golden: Callable[[str, str], None]) -> None:
    database = any_store.rows("SELECT currentDatabase()")[0][0]
    golden("schema.sql", re.sub(rf"`?\b{database}\b`?\.", "default.", show_schema(any_store)))


@pytest.mark.parametrize("broken", [1, 2, 11, MIGRATIONS[-1].version])
def test_migration_broken_off_half_way_is_finished_by_the_next(
    broken: int, any_store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table is made, its view and its line in the ledger are not."""
    with Store.open(any_store_url) as store:
        half = [replace(one, sql=one.sql + ";\nSELECT nothing") if one.version == broken else one for one in MIGRATIONS]
        monkeypatch.setattr(module, "read_migrations", lambda: half)
        with pytest.raises(StoreError):
            migrate(store)
        monkeypatch.undo()
        assert [one.version for one in migrate(store)] == [one.version for one in MIGRATIONS if one.version >= broken]
        broken_off = show_schema(store)
        assert migrate(store) == []
    names = re.findall(r"^CREATE (?:TABLE|MATERIALIZED VIEW) \S+?\.(\S+)", broken_off, re.MULTILINE)
    declared = [re.findall(r"(?:TABLE|VIEW) IF NOT EXISTS (\S+)", migration.sql) for migration in MIGRATIONS]
    assert set(names) == {"schema_migrations", *chain.from_iterable(declared)}


def test_of_several_at_once_one_migrates_and_the_others_wait(clickhouse_url: str) -> None:
    """Each has a store of its own, as servers of a rollout do."""
    with ExitStack() as opened, ThreadPoolExecutor(4) as threads:
        stores = [opened.enter_context(Store.open(clickhouse_url)) for _ in range(4)]
        applied = list(threads.map(migrate, stores))
        assert sorted(applied, key=len) == [[], [], [], MIGRATIONS]
        assert stores[0].rows("SELECT count() FROM system.tables WHERE name = 'schema_lock'") == [(0,)]


def test_a_lock_whose_holder_died_is_taken_after_a_while(clickhouse_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store.open(clickhouse_url) as store:
        store.command("CREATE TABLE schema_lock (nothing UInt8) ENGINE = Null")
        monkeypatch.setattr(module, "_LONGEST_S", 1)
        assert migrate(store) == MIGRATIONS


def test_who_may_not_lock_is_told_so_at_once(clickhouse_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store.open(clickhouse_url) as store:
        command = store.command

        def refuse(sql: str, *rest: Any) -> object:
            return command("SELECT nothing" if "schema_lock" in sql else sql, *rest)

        monkeypatch.setattr(store, "command", refuse)
        with pytest.raises(StoreError, match="nothing"):
            migrate(store)


def test_codes_come_to_a_store_that_is_full_already(any_store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written before has none; what is written after has, at every level, beside what is there."""
    landed = (
        "INSERT INTO observations (time, source, target, protocol, layer, calls, latency{}) "
        "VALUES (toDateTime(1000000, 'UTC'), 'a', 'b', 'http', 'ipc', 5, map(7, 5){})"
    )
    with Store.open(any_store_url) as store:
        monkeypatch.setattr(module, "read_migrations", lambda: [one for one in MIGRATIONS if one.version < 17])
        migrate(store)
        store.command(landed.format("", ""))
        monkeypatch.undo()
        assert [one.version for one in migrate(store)] == [one.version for one in MIGRATIONS if one.version >= 17]
        store.command(landed.format(", codes", ", map('200', 4, '503', 1)"))
        for level in ("10s", "1m", "1h", "1d"):
            sums = store.rows(f"SELECT sumMap(r.latency), sumMap(r.codes) FROM latency_{level} AS r")
            assert sums == [({7: 10}, {"200": 4, "503": 1})], level
        assert store.rows("SELECT sum(calls) FROM edges_10s") == [(10,)]


def test_crash_before_the_ledger_is_written_repeats_the_migration(store: Store) -> None:
    store.command("DELETE FROM schema_migrations WHERE version >= 10")
    assert [one.version for one in migrate(store)] == [one.version for one in MIGRATIONS if one.version >= 10]


def test_changed_migration_is_an_error_that_names_it(any_store: Store) -> None:
    any_store.command("DELETE FROM schema_migrations WHERE version = 3")
    any_store.command("INSERT INTO schema_migrations (version, name, checksum) VALUES (3, 'edges_1m', 'f00')")
    for act in (pending, migrate):
        with pytest.raises(SchemaMismatch, match=r"0003_edges_1m .* differs .*checksum f00, here [0-9a-f]{12}"):
            act(any_store)


def test_migration_of_a_newer_version_is_an_error_that_says_upgrade(any_store: Store) -> None:
    any_store.command("INSERT INTO schema_migrations (version, name, checksum) VALUES (9001, 'later', 'f00')")
    with pytest.raises(SchemaMismatch, match=r"9001_later, which this version does not know.*upgrade"):
        migrate(any_store)


@pytest.mark.parametrize("migration", MIGRATIONS, ids=by_name)
def test_cluster_placeholders_make_every_object_replicated(migration: Migration) -> None:
    """No cluster can be started here: what is checked is what would be sent to one."""
    for statement in statements(migration.sql, cluster="c"):
        text = re.sub(r"--[^\n]*\n", "", statement).lstrip()
        assert re.match(_REPEATABLE, text), text
        engines = re.findall(r"ENGINE = (\w+)", text)
        assert engines == [] or engines == ["Null"] or engines[0].startswith("Replicated"), text
        assert "non_replicated" not in text
        assert "{" not in text


@pytest.mark.parametrize("migration", MIGRATIONS, ids=by_name)
def test_single_node_statements_have_no_word_of_a_cluster(migration: Migration) -> None:
    for statement in statements(migration.sql):
        assert "CLUSTER" not in statement
        assert "Replicated" not in statement
        assert " replicated_deduplication_window" not in statement
        assert "{" not in statement


def test_ledger_is_replicated_on_a_cluster_too() -> None:
    (statement,) = statements(LEDGER, "c")
    assert "ON CLUSTER 'c'" in statement
    assert "ENGINE = ReplicatedReplacingMergeTree" in statement


def test_statements_are_split_at_line_ends_and_comments_alone_are_none() -> None:
    assert statements("SELECT ';' AS a;\n-- only words\n\nSELECT 2;\n") == [
        "SELECT ';' AS a",
        "-- only words\n\nSELECT 2",
    ]
    assert statements("SELECT 1;\n-- the end;\n") == ["SELECT 1"]
    assert statements("-- only words\n") == []
