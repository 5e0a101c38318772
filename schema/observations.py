"""Edge observations as Arrow columns: every collector hands them to the store.

Invariant: `observation_table` gives each column of the table `observations`, in its type. A missing measure is 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

BUCKET_S = 10
LAYERS = ("network", "ipc", "trace")
KINDS = ("service", "database", "messaging", "external", "intermediary", "unknown")

# Which of the two views of the graph an observation belongs to.
BOTH_VIEWS, RESOLVED_ONLY, HOPS_ONLY = 0, 1, 2
# Of neither view: where time goes inside an edge or a service (its own edge), as latency sums without calls.
INSIDE = 3
# Which end of the edge measured it.
REPORTER_UNSAID, REPORTER_SOURCE, REPORTER_TARGET = 0, 1, 2
# No end did: what the resolution of intermediaries wrote, and takes back when it knows better.
REPORTER_RESOLUTION = 3

# How it is known which end of a flow is the caller. A greater number is better evidence. The numbers are in stores
# (`flows.direction`, `edge_directions`) and never change.
BY_ORDER, BY_PORT, BY_SYN = 0, 1, 2
DIRECTIONS = ("unknown", "port", "syn")  # as the API says it, by number

VIA_SEPARATOR = "\x1f"
MOST_CODES = 100  # response codes of one edge that a collector keeps apart; a label with more is no code

MEASURES = (
    "calls",
    "errors",
    "connections",
    "failed_connections",
    "bytes_sent",
    "bytes_received",
    "retransmits",
    "latency_us_sum",
    "latency_count",
    "rtt_us_sum",
    "rtt_count",
)

_TEXT = pa.dictionary(pa.int32(), pa.string())
_NAMES = ("layer", "source", "target", "protocol", "via", "source_kind", "target_kind")
SCHEMA = pa.schema(
    [
        ("time", pa.uint32()),
        ("first_at", pa.timestamp("ms", tz="UTC")),
        ("last_at", pa.timestamp("ms", tz="UTC")),
        *((name, _TEXT) for name in _NAMES[:4]),
        ("view", pa.uint8()),
        ("reporter", pa.uint8()),
        *((name, _TEXT) for name in _NAMES[4:]),
        *((name, pa.int64()) for name in MEASURES),
        ("latency", pa.map_(pa.uint8(), pa.int64())),
        ("codes", pa.map_(pa.string(), pa.int64())),
        ("source_attributes", pa.map_(pa.string(), pa.string())),
        ("target_attributes", pa.map_(pa.string(), pa.string())),
    ]
)
_DEFAULT_TEXT = {"protocol": "unknown", "via": "", "source_kind": "service", "target_kind": "service"}


def observation_table(columns: Mapping[str, Any]) -> pa.Table:
    """Return all columns of the table `observations` from the given ones, N rows.

    Args:
        columns: `time` (Unix seconds, a multiple of 10), `layer`, `source`, `target` are required; arrays, lists or
            one value for all rows. `first_at`, `last_at` (Unix milliseconds) default to the bucket's start.
    """
    count = len(columns["time"])
    time_s = np.asarray(columns["time"], np.int64)
    given = {"first_at": time_s * 1000, "last_at": time_s * 1000, **columns}
    arrays = [_column(field, given.get(field.name), count) for field in SCHEMA]
    return pa.Table.from_arrays(arrays, schema=SCHEMA)


def _column(field: pa.Field, values: Any, count: int) -> pa.Array:
    if values is None:
        values = _DEFAULT_TEXT.get(field.name)
    if pa.types.is_dictionary(field.type):
        return _text(values, count)
    if values is None:
        return _empty(field.type, count)
    if isinstance(values, (pa.Array, pa.ChunkedArray)):
        return values.cast(field.type)
    if np.isscalar(values):
        values = np.full(count, values)
    if pa.types.is_timestamp(field.type):
        return pa.array(np.asarray(values, np.int64), pa.int64()).cast(field.type)
    if pa.types.is_map(field.type):
        return pa.array(values, field.type)
    return pa.array(np.asarray(values), field.type)


def _text(values: Any, count: int) -> pa.Array:
    if isinstance(values, str):
        return pa.DictionaryArray.from_arrays(np.zeros(count, np.int32), pa.array([values]))
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if isinstance(values, pa.DictionaryArray):
        return values.cast(_TEXT)
    return pa.array(values, pa.string()).dictionary_encode()


def _empty(kind: pa.DataType, count: int) -> pa.Array:
    if pa.types.is_map(kind):
        offsets = pa.array(np.zeros(count + 1, np.int32))
        return pa.MapArray.from_arrays(offsets, pa.array([], kind.key_type), pa.array([], kind.item_type))
    return pa.array(np.zeros(count, np.int64)).cast(kind)
