"""Numbered SQL files, forward only: apply, show, check.

Invariant: a shipped file never changes. The ledger keeps each checksum, and a difference is an error that names it.
Of several that find a store to migrate one does so; the table `schema_lock` is there meanwhile.
"""

from __future__ import annotations

import hashlib
import logging
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files

from chronotope.schema.errors import SchemaMismatch, StoreError
from chronotope.schema.storage.store import Store

LEDGER = """
CREATE TABLE IF NOT EXISTS schema_migrations {on_cluster}
(
    version    UInt32,
    name       String,
    checksum   String,
    applied_at DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = {replicated}ReplacingMergeTree
ORDER BY version
"""
_RECORD = """
INSERT INTO schema_migrations (version, name, checksum)
SELECT each.1, each.2, each.3
FROM (SELECT arrayJoin(arrayZip({versions:Array(UInt32)}, {names:Array(String)}, {checksums:Array(String)})) AS each)
"""
_LOCK_AGE = """
SELECT dateDiff('second', metadata_modification_time, now()) FROM system.tables
WHERE database = currentDatabase() AND name = 'schema_lock'
"""
_LONGEST_S = 120  # whoever has migrated for longer has died: nothing that is shipped rewrites data
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Migration:
    """One SQL file: its number, its name, its text and the checksum of the text."""

    version: int
    name: str
    sql: str
    checksum: str


def read_migrations() -> list[Migration]:
    """Return the shipped migrations in order."""
    found = []
    for file in files("chronotope.schema").joinpath("migrations").iterdir():
        match = re.fullmatch(r"(\d{4})_([a-z0-9_]+)\.sql", file.name)
        if match:
            sql = file.read_text(encoding="utf-8")
            digest = hashlib.sha256(sql.encode()).hexdigest()
            found.append(Migration(int(match[1]), match[2], sql, digest))
    return sorted(found, key=lambda migration: migration.version)


def statements(sql: str, cluster: str = "") -> list[str]:
    """Split a file into statements and fill its placeholders for a single node (no cluster) or a cluster."""
    filled = (
        sql.replace("{on_cluster}", f"ON CLUSTER '{cluster}'" if cluster else "")
        .replace("{replicated}", "Replicated" if cluster else "")
        .replace("{deduplication_window}", f"{'' if cluster else 'non_'}replicated_deduplication_window")
    )
    parts = (part.strip() for part in filled.split(";\n"))
    return [part.rstrip(";") for part in parts if re.sub(r"--[^\n]*", "", part).strip()]


def pending(store: Store) -> list[Migration]:
    """Return the migrations the store has not seen.

    Raises:
        SchemaMismatch: the store has a migration this version does not know, or one with another checksum.
    """
    shipped = read_migrations()
    applied = _applied(store)
    by_version = {migration.version: migration for migration in shipped}
    for version, (name, checksum) in sorted(applied.items()):
        known = by_version.get(version)
        if known is None:
            raise SchemaMismatch(
                f"the store has migration {version:04d}_{name}, which this version does not know: "
                "it was written by a newer chronotope; upgrade this one"
            )
        if known.checksum != checksum:
            raise SchemaMismatch(
                f"migration {version:04d}_{name} in the store differs from the file of this version "
                f"(checksum {checksum[:12]}, here {known.checksum[:12]}); a shipped migration never changes: "
                "install the version that wrote it"
            )
    return [migration for migration in shipped if migration.version not in applied]


def migrate(store: Store) -> list[Migration]:
    """Apply what is pending and return it. Safe to run again, after a crash in the middle, and beside others."""
    for statement in statements(LEDGER, store.location.cluster):
        store.command(statement)
    if not pending(store):
        return []
    with _alone(store):
        return _apply(store, pending(store))


@contextmanager
def _alone(store: Store) -> Iterator[None]:
    """Wait until nobody else migrates the store, and keep others from it: of two that make a table one fails."""
    if store.location.embedded:  # it has one process
        yield
        return
    if not _locked(store):
        logger.warning("somebody else migrates the store: waiting")
        while not _locked(store):
            time.sleep(0.5)
    try:
        yield
    finally:
        store.command("DROP TABLE IF EXISTS schema_lock")


def _locked(store: Store) -> bool:
    try:
        store.command("CREATE TABLE schema_lock (nothing UInt8) ENGINE = Null")
    except StoreError as error:
        if "already exists" not in str(error):
            raise
        if any(age > _LONGEST_S for (age,) in store.rows(_LOCK_AGE)):
            store.command("DROP TABLE IF EXISTS schema_lock")
        return False
    return True


def _apply(store: Store, todo: list[Migration]) -> list[Migration]:
    """Run the files and note which were; one insert for each would take as long again as all that they do."""
    done = []
    try:
        for migration in todo:
            for statement in statements(migration.sql, store.location.cluster):
                store.command(statement)
            done.append(migration)
    finally:
        if done:
            _record(store, done)
    return todo


def show_schema(store: Store) -> str:
    """Return `SHOW CREATE` of every object of the store, in order of name."""
    names = store.rows(
        "SELECT name FROM system.tables WHERE database = currentDatabase() AND NOT startsWith(name, '.') ORDER BY name"
    )
    shown = [str(store.rows(f"SHOW CREATE TABLE `{name}`")[0][0]) for (name,) in names]
    return "\n\n".join(f"{text};" for text in shown) + "\n"


def _applied(store: Store) -> dict[int, tuple[str, str]]:
    exists = store.rows(
        "SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = 'schema_migrations'"
    )
    if not exists[0][0]:
        return {}
    rows = store.rows("SELECT version, name, checksum FROM schema_migrations FINAL")
    return {int(version): (str(name), str(checksum)) for version, name, checksum in rows}


def _record(store: Store, done: list[Migration]) -> None:
    columns = {
        "versions": [one.version for one in done],
        "names": [one.name for one in done],
        "checksums": [one.checksum for one in done],
    }
    store.command(_RECORD, columns)
