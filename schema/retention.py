"""How long each table keeps its rows.

Invariant: a table's TTL is changed only when it differs from what is asked: a change makes the engine look at every
part again. `retention_of` reads what holds now from the store itself, whoever set it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from chronotope.schema.migrate import statements
from chronotope.schema.store import Store

# The tables of each key of the configuration's `retention`, and the column their age counts from.
TABLES: Mapping[str, tuple[str, ...]] = {
    "10s": ("edges_10s", "latency_10s"),
    "1m": ("edges_1m", "latency_1m"),
    "1h": ("edges_1h", "latency_1h", "edge_hours"),
    "1d": ("edges_1d", "latency_1d"),
    "spans": ("spans",),
    "flows": ("flows",),
}
_AGE = {"spans": "received_at", "flows": "received_at"}
_TTL = re.compile(r" TTL \(?(\w+) \+ toInterval(Second|Day)\((\d+)\)\)?(?= SETTINGS|$)")
_ANY_TTL = re.compile(r" TTL ")
_SECONDS = {"Second": 1, "Day": 86_400}


def apply_retention(store: Store, kept_s: Mapping[str, int | None]) -> list[str]:
    """Make the tables keep their rows that long, and return those that were changed.

    Args:
        kept_s: seconds for the keys of TABLES, None for ever; a key that is not there is left as it is.
    """
    changed = []
    for key, wanted in kept_s.items():
        for table in TABLES[key]:
            present = _engine(store, table)
            if _seconds(present) == wanted and (wanted is not None or not _ANY_TTL.search(present)):
                continue
            store.command(statements(_alter(key, table, wanted), store.location.cluster)[0])
            changed.append(table)
    return changed


def retention_of(store: Store) -> dict[str, int | None]:
    """Return the seconds for which each key of TABLES keeps its rows now, None for ever."""
    kept: dict[str, int | None] = {}
    for key, tables in TABLES.items():
        known = [seconds for table in tables if (seconds := _seconds(_engine(store, table))) is not None]
        kept[key] = min(known, default=None)
    return kept


def _alter(key: str, table: str, wanted: int | None) -> str:
    """Return the statement. Names and the number come from this module and a checked configuration."""
    if wanted is None:
        return f"ALTER TABLE {table} {{on_cluster}} REMOVE TTL"
    return f"ALTER TABLE {table} {{on_cluster}} MODIFY TTL {_AGE.get(key, 'time')} + INTERVAL {int(wanted)} SECOND"


def _engine(store: Store, table: str) -> str:
    rows = store.rows(
        "SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = {table:String}",
        {"table": table},
    )
    return str(rows[0][0]) if rows else ""


def _seconds(engine: str) -> int | None:
    found = _TTL.search(engine)
    return int(found[3]) * _SECONDS[found[2]] if found else None
