"""What `Counters` must remember over a restart: series, last value and last time.

Invariant: counters restored from a state go on as if there had been no restart: the samples after it give the same
increases. The caller saves a state together with, or after, the observations made of the samples before it; samples
that come a second time are then not counted again.
"""

from __future__ import annotations

import msgspec
import numpy as np

from chronotope.ingest.metrics.columns import REFUSED, SeriesTable, sorted_labels
from chronotope.ingest.metrics.increases import Counters
from chronotope.schema.errors import InvalidPayload

VERSION = 1


class _State(msgspec.Struct, array_like=True):
    version: int
    since_ms: int | None
    names: list[str]
    labels: list[dict[str, str]]
    values: list[float | None]  # null: the series ended
    times: list[int]
    created: list[int]


def dump_counters(counters: Counters, table: SeriesTable) -> bytes:
    """Return the state of all series that had a sample, as JSON: about 100 bytes and the labels for each."""
    counters.grow()
    codes = np.flatnonzero(counters.last_time > np.iinfo(np.int64).min)
    values = counters.last_value[codes].tolist()
    state = _State(
        VERSION,
        counters.since_ms,
        [table.names[code] for code in codes],
        [table.labels[code] for code in codes],
        [None if value != value else value for value in values],
        counters.last_time[codes].tolist(),
        counters.last_created[codes].tolist(),
    )
    return msgspec.json.encode(state)


def load_counters(body: bytes, table: SeriesTable, counters: Counters) -> int:
    """Put a state into counters that have seen nothing yet; return how many series it has.

    Raises:
        InvalidPayload: not such a state, or of another version.
    """
    try:
        state = msgspec.json.decode(body, type=_State)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidPayload(f"not a state of counters: {error}") from error
    sizes = {len(column) for column in (state.names, state.labels, state.values, state.times, state.created)}
    if state.version != VERSION or len(sizes) != 1:
        raise InvalidPayload(f"not a state of counters of version {VERSION}")
    codes = np.array(
        [table.code(name, sorted_labels(labels)) for name, labels in zip(state.names, state.labels, strict=True)],
        np.int32,
    )
    counters.grow()
    known = codes != REFUSED
    values = np.array([np.nan if value is None else value for value in state.values], np.float64)
    counters.last_value[codes[known]] = values[known]
    counters.last_time[codes[known]] = np.array(state.times, np.int64)[known]
    counters.last_created[codes[known]] = np.array(state.created, np.int64)[known]
    counters.since_ms = state.since_ms
    return int(known.sum())
