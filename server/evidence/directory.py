"""What the store knows of services beside their measures: kinds and attributes."""

from __future__ import annotations

import pyarrow as pa

from chronotope.schema.storage.store import Asked, Store

# Of all kinds that a service was seen as, the first in this order counts.
KIND_ORDER = ("intermediary", "database", "messaging", "service", "external", "unknown")

_KINDS = """
SELECT service, argMin(toString(kind), indexOf({order:Array(String)}, toString(kind))) AS kind
FROM services
GROUP BY service
"""

# The value at the window's end: the last one seen before it, else the first one after it.
_ATTRIBUTES = """
SELECT service, key,
       argMax(value, (began <= {at:Int64}, least(ended, {at:Int64}), -abs(began - {at:Int64}), value)) AS value
FROM
(
    SELECT service, toString(key) AS key, value,
           toUnixTimestamp64Milli(min(first_seen)) AS began, toUnixTimestamp64Milli(max(last_seen)) AS ended
    FROM service_attributes
    GROUP BY service, key, value
    UNION ALL
    SELECT service, said.1 AS key, said.2 AS value,
           toUnixTimestamp64Milli(min(valid_from)) AS began, toUnixTimestamp64Milli(max(valid_to)) AS ended
    FROM identities ARRAY JOIN arrayZip(mapKeys(attributes), mapValues(attributes)) AS said
    GROUP BY service, key, value
)
GROUP BY service, key
ORDER BY service, key
"""

Attributes = dict[str, dict[str, str]]


def kinds_query() -> Asked:
    """Ask for what `kinds_of` reads."""
    return _KINDS, {"order": list(KIND_ORDER)}


def kinds_of(table: pa.Table) -> dict[str, str]:
    """Return service → kind of every service ever seen."""
    return dict(zip(*_texts(table, "service", "kind"), strict=True))


def read_kinds(store: Store) -> dict[str, str]:
    """Return service → kind of every service ever seen."""
    return kinds_of(store.query(*kinds_query()))


def attributes_query(at_ms: int) -> Asked:
    """Ask for what `attributes_of` reads, at an instant."""
    return _ATTRIBUTES, {"at": at_ms}


def attributes_of(table: pa.Table) -> Attributes:
    """Return service → key → value as it held at the instant asked for."""
    found: Attributes = {}
    for service, key, value in zip(*_texts(table, "service", "key", "value"), strict=True):
        found.setdefault(service, {})[key] = value
    return found


def read_attributes(store: Store, at_ms: int) -> Attributes:
    """Return service → key → value as it held at an instant."""
    return attributes_of(store.query(*attributes_query(at_ms)))


def _texts(table: pa.Table, *names: str) -> list[list[str]]:
    return [table.column(name).to_pylist() for name in names]
