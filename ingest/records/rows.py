"""Checked observations as rows of the table `observations`.

Invariant: over all buckets, a record's measures add up to its totals. A record that passes intermediaries is one edge
in the resolved view, and its single hops in the view of hops.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from chronotope.ingest.records.codes import spread_codes
from chronotope.ingest.records.latencies import Histograms, spread_histograms
from chronotope.ingest.records.observation_fields import Observed
from chronotope.ingest.records.spreading import Spread, spread
from chronotope.ingest.requests.fields import Text
from chronotope.schema.errors import TooLarge
from chronotope.schema.observations import (
    BOTH_VIEWS,
    BUCKET_S,
    HOPS_ONLY,
    RESOLVED_ONLY,
    VIA_SEPARATOR,
    observation_table,
)

MAX_ROWS = 3_000_000  # one insert is one block, see store.py


def observation_rows(seen: Observed, alive: np.ndarray) -> pa.Table:
    """Return the rows of the records that are alive, bool[N].

    Raises:
        TooLarge: the records cover too many buckets for one insert.
    """
    kept = np.flatnonzero(alive)
    length_ms = seen.length_ms[kept]
    places = length_ms // (BUCKET_S * 1000) + 2
    if int(places.sum()) > MAX_ROWS:
        raise TooLarge(
            f"the records cover about {int(places.sum())} buckets of {BUCKET_S} s; at most {MAX_ROWS} are taken in one "
            "request: send smaller batches or shorter intervals"
        )
    over = spread(seen.start_ms[kept], np.maximum(length_ms, 1))
    histogram = _kept(seen.latency, alive)
    codes = seen.codes.take(alive)
    for name, of_records in (("histograms", histogram.record), ("codes", codes.record)):
        if int(places[of_records].sum()) > MAX_ROWS:
            raise TooLarge(f"the {name} cover more than {MAX_ROWS} buckets: send smaller batches")
    measures = _measures(seen, kept, over, histogram)
    latency = spread_histograms(histogram, over, len(kept))
    by_code = spread_codes(codes, over, len(kept))
    # Most buckets of a long interval with few calls are empty. The record's first bucket is always there.
    full = over.first | np.any([column != 0 for column in measures.values()], axis=0)
    full |= (np.diff(latency.offsets.to_numpy()) > 0) | (np.diff(by_code.offsets.to_numpy()) > 0)
    rows = np.flatnonzero(full)
    record = kept[over.record[rows]]
    columns: dict[str, Any] = {
        "time": over.bucket[rows],
        "first_at": over.first_at[rows],
        "last_at": over.last_at[rows],
        **{name: text.arrow(record) for name, text in seen.texts.items()},
        "view": np.where(_passes(seen.texts["via"])[record], RESOLVED_ONLY, BOTH_VIEWS).astype(np.uint8),
        "reporter": seen.reporter[record],
        **{name: column[rows] for name, column in measures.items()},
        "latency": latency.take(pa.array(rows)),
        "codes": by_code.take(pa.array(rows)),
        "source_attributes": seen.source_attributes.take(pa.array(record)),
        "target_attributes": seen.target_attributes.take(pa.array(record)),
    }
    return pa.concat_tables([observation_table(columns), *_hops(seen.texts["via"], record, columns)])


def _measures(seen: Observed, kept: np.ndarray, over: Spread, histogram: Histograms) -> dict[str, np.ndarray]:
    totals = {name: column[kept] for name, column in seen.counts.items()}
    counted = histogram.totals(len(kept))
    calls = np.where(counted > 0, counted, totals["calls"])
    # Without the sum of latencies there is no mean: a count beside a sum of 0 would make it 0.
    totals["latency_count"] = np.where(seen.timed[kept], calls, 0)
    measures = {name: over.share(column) for name, column in totals.items()}
    # Errors are spread first and the other calls beside them: no bucket has more errors than calls.
    errors_within = totals["calls"] >= totals["errors"]
    apart = measures["errors"] + over.share(np.maximum(totals["calls"] - totals["errors"], 0))
    measures["calls"] = np.where(errors_within[over.record], apart, measures["calls"])
    return measures


def _kept(found: Histograms, alive: np.ndarray) -> Histograms:
    """Return the entries of the records that are alive, records renumbered."""
    keep = alive[found.record]
    renumbered = np.cumsum(alive) - 1
    return Histograms(renumbered[found.record[keep]], found.bucket[keep], found.count[keep])


def _passes(via: Text) -> np.ndarray:
    """Return bool[N]: whether a record passes intermediaries."""
    return ~via.is_in([""])


def _hops(via: Text, record: np.ndarray, columns: dict[str, Any]) -> list[pa.Table]:
    """Return the hops of rows that pass intermediaries: all first hops, all second ones, …

    The latency is the caller's, so it goes with the first hop alone.
    """
    stops = [value.split(VIA_SEPARATOR) if value else [] for value in via.values]
    count = np.array([len(ids) for ids in stops], np.int64)[via.codes[record]]
    tables = []
    for nth in range(int(count.max(initial=0)) + 1):
        rows = np.flatnonzero((count > 0) & (count >= nth))
        codes = via.codes[record[rows]]
        hop = {
            name: _taken(column, rows)
            for name, column in columns.items()
            if "attributes" not in name and not (nth and name.startswith("latency"))
        }
        hop |= {"view": HOPS_ONLY, "via": ""}
        if nth:
            hop |= {"source": _stop(stops, codes, nth - 1), "source_kind": "intermediary"}
        further = nth < count[rows]
        own = Text(np.arange(len(rows)), hop["target"].to_pylist())
        hop["target"] = _either(further, Text(codes, _nth(stops, nth)), own)
        kind = Text(np.arange(len(rows)), hop["target_kind"].to_pylist())
        hop["target_kind"] = _either(further, Text(np.zeros(len(rows), np.int64), ["intermediary"]), kind)
        tables.append(observation_table(hop))
    return [table for table in tables if table.num_rows]


def _nth(stops: list[list[str]], nth: int) -> list[str]:
    return [ids[nth] if nth < len(ids) else "" for ids in stops]


def _stop(stops: list[list[str]], codes: np.ndarray, nth: int) -> pa.DictionaryArray:
    return Text(codes, _nth(stops, nth)).mapped(str).arrow(np.arange(len(codes)))


def _either(first: np.ndarray, one: Text, other: Text) -> pa.DictionaryArray:
    """Return the value of one text field where bool[N] says so, else that of the other."""
    codes = np.where(first, one.codes, other.codes + len(one.values))
    return Text(codes, [*one.values, *other.values]).mapped(str).arrow(np.arange(len(first)))


def _taken(column: Any, rows: np.ndarray) -> Any:
    return column[rows] if isinstance(column, np.ndarray) else column.take(pa.array(rows))
