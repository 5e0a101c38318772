"""What the store knows of edges and services beside their measures: lifetimes, kinds, attributes."""

from __future__ import annotations

import pyarrow as pa

from chronotope.schema.store import Store

# The first that a service was seen as is what it is: an address that turned out to be a database is one.
KIND_ORDER = ("intermediary", "database", "messaging", "service", "external", "unknown")

# As stored, a row a layer and part: putting them together here takes a third of what grouping in the engine does.
_LIFETIMES = """
SELECT source, target, protocol, layer, id,
       toUnixTimestamp64Milli(first_seen) AS first_seen, toUnixTimestamp64Milli(last_seen) AS last_seen
FROM edge_lifetimes
"""

_KINDS = """
SELECT service, argMin(toString(kind), indexOf({order:Array(String)}, toString(kind))) AS kind
FROM services
GROUP BY service
"""

# What held at the window's end: the value seen last before it, else the one seen first after it.
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


def read_lifetimes(store: Store) -> pa.Table:
    """Return all edges ever seen: `source`, `target`, `protocol`, `layer`, `id`, `first_seen`, `last_seen` (Unix ms).

    An edge may have several rows: it was first seen at the earliest, and last at the latest of them.
    """
    return store.query(_LIFETIMES)


def read_kinds(store: Store) -> dict[str, str]:
    """Return service → kind of every service ever seen."""
    table = store.query(_KINDS, {"order": list(KIND_ORDER)})
    return dict(zip(*_texts(table, "service", "kind"), strict=True))


def read_attributes(store: Store, at_ms: int) -> Attributes:
    """Return service → key → value as it held at an instant."""
    table = store.query(_ATTRIBUTES, {"at": at_ms})
    found: Attributes = {}
    for service, key, value in zip(*_texts(table, "service", "key", "value"), strict=True):
        found.setdefault(service, {})[key] = value
    return found


def _texts(table: pa.Table, *names: str) -> list[list[str]]:
    return [table.column(name).to_pylist() for name in names]
