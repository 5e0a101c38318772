"""How long each table keeps its rows.

Invariant: a table's TTL is changed only when it differs from what is asked: a change makes the engine look at every
part again. `retention_of` reads what holds now from the store itself, whoever set it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from chronotope.schema.storage.migrate import statements
from chronotope.schema.storage.store import Store


@dataclass(frozen=True, slots=True)
class Aged:
    """A table, what its rows' age counts from, and which rows expire at all (empty: every one)."""

    table: str
    since: str = "time"
    expires: str = ""


# The tables of each key of the configuration's `retention`.
# Ten minutes are resolved while their ten-second evidence is there; how sure that was is told as long as by the hour.
# What arrived is looked at for events once, soon after; evidence that has expired is not looked at again.
# Lifetimes and directions of edges, and since when a receiver is known, never expire; alerts go by the month, see
# `_forget_alerts`.
TABLES: Mapping[str, tuple[Aged, ...]] = {
    "10s": (
        Aged("edges_10s"),
        Aged("latency_10s"),
        Aged("epoch_arrivals", "epoch"),
        Aged("resolved_epochs", "epoch"),
        Aged("bucket_arrivals", "toDateTime(arrived_at)"),
    ),
    "1m": (Aged("edges_1m"), Aged("latency_1m")),
    "1h": (Aged("edges_1h"), Aged("latency_1h"), Aged("edge_hours"), Aged("resolutions", "epoch")),
    "1d": (Aged("edges_1d"), Aged("latency_1d")),
    "spans": (Aged("spans", "received_at"),),
    "flows": (Aged("flows", "received_at"),),
    "alerts": (Aged("notifications", "toDateTime(at)", "id != ''"),),
}
_TTL = re.compile(
    r" TTL \(?(?:\w+|toDateTime\(\w+\)) \+ toInterval(Second|Day)\((\d+)\)\)?(?: WHERE .*?)?(?= SETTINGS|$)"
)
_ANY_TTL = re.compile(r" TTL ")
_SECONDS = {"Second": 1, "Day": 86_400}
_SETTLED_MONTHS = """
SELECT toYYYYMM(since) AS month FROM alerts FINAL GROUP BY month
HAVING min(step) = 2 AND max(resolved_at) < now() - toIntervalSecond({kept:UInt32}) ORDER BY month
"""


def apply_retention(store: Store, kept_s: Mapping[str, int | None]) -> list[str]:
    """Make the tables keep their rows that long, and return those that were changed.

    Args:
        kept_s: seconds for the keys of TABLES, None for ever; a key that is not there is left as it is.
    """
    changed = []
    for key, wanted in kept_s.items():
        for aged in TABLES[key]:
            present = _engine(store, aged.table)
            if _seconds(present) == wanted and (wanted is not None or not _ANY_TTL.search(present)):
                continue
            store.command(statements(_alter(aged, wanted), store.location.cluster)[0])
            changed.append(aged.table)
    alerts_s = kept_s.get("alerts")
    if alerts_s is not None and _forget_alerts(store, alerts_s):
        changed.append("alerts")
    return changed


def retention_of(store: Store) -> dict[str, int | None]:
    """Return the seconds for which each key of TABLES keeps its rows now, None for ever."""
    kept: dict[str, int | None] = {}
    for key, tables in TABLES.items():
        known = [seconds for aged in tables if (seconds := _seconds(_engine(store, aged.table))) is not None]
        kept[key] = min(known, default=None)
    return kept


def _forget_alerts(store: Store, kept_s: int) -> bool:
    """Drop the months whose alerts were all resolved that long ago; say whether there were some.

    No TTL: it would take an alert's end before its beginning, which are two rows until they merge, and the alert would
    fire again.
    """
    months = store.rows(_SETTLED_MONTHS, {"kept": kept_s})
    for (month,) in months:
        statement = f"ALTER TABLE alerts {{on_cluster}} DROP PARTITION {int(month)}"
        store.command(statements(statement, store.location.cluster)[0])
    return bool(months)


def _alter(aged: Aged, wanted: int | None) -> str:
    """Return the statement. Names and the number come from this module and a checked configuration."""
    if wanted is None:
        return f"ALTER TABLE {aged.table} {{on_cluster}} REMOVE TTL"
    ttl = f"{aged.since} + INTERVAL {int(wanted)} SECOND{f' DELETE WHERE {aged.expires}' if aged.expires else ''}"
    return f"ALTER TABLE {aged.table} {{on_cluster}} MODIFY TTL {ttl}"


def _engine(store: Store, table: str) -> str:
    rows = store.rows(
        "SELECT engine_full FROM system.tables WHERE database = currentDatabase() AND name = {table:String}",
        {"table": table},
    )
    return str(rows[0][0]) if rows else ""


def _seconds(engine: str) -> int | None:
    found = _TTL.search(engine)
    return int(found[2]) * _SECONDS[found[1]] if found else None
