"""The fields of observations, checked by columns.

Invariant: an `Observed` can be stored as it is. What cannot was refused with its reason.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from chronotope.ingest.records.codes import Codes, codes
from chronotope.ingest.records.latencies import Histograms, histograms
from chronotope.ingest.records.spreading import LONGEST_MS
from chronotope.ingest.requests import fields
from chronotope.ingest.requests.fields import (
    MAX_COUNT,
    NO_TIME,
    STRINGS,
    TIME,
    Count,
    Text,
    Traffic,
    column_of,
    encoded,
    line_schema,
)
from chronotope.ingest.requests.ndjson import ParseTime
from chronotope.ingest.requests.outcome import Records
from chronotope.schema.errors import InvalidPayload
from chronotope.schema.names import clean_name
from chronotope.schema.observations import KINDS, LAYERS, MEASURES, VIA_SEPARATOR
from chronotope.schema.times import shortened

# The table's measures that a record has under the same names.
COUNTS = tuple(name for name in MEASURES if not name.startswith(("latency", "rtt")))
MAX_HOPS = 16
REPORTERS = ("", "source", "target")  # in the order of their codes

_Attributes = dict[str, str | int | float | bool | None] | None


class ObservationLine(Traffic, kw_only=True):
    """The fields of an NDJSON line and their types."""

    time: int
    layer: str
    source: str
    target: str
    interval_s: float | None = None
    source_kind: str | None = None
    target_kind: str | None = None
    protocol: str | None = None
    reporter: str | None = None
    via: list[str] | None = None
    calls: Count = None
    errors: Count = None
    latency_ms_sum: float | None = None
    latency_ms_buckets: list[tuple[float | None, Annotated[float, msgspec.Meta(ge=0)]]] | None = None
    codes: dict[str, Count] | None = None
    source_attributes: _Attributes = None
    target_attributes: _Attributes = None


_TYPES = {
    "time": TIME,
    "via": pa.list_(pa.string()),
    "latency_ms_buckets": pa.list_(pa.list_(pa.float64())),
    "codes": pa.map_(pa.string(), pa.float64()),
    "source_attributes": STRINGS,
    "target_attributes": STRINGS,
    **dict.fromkeys((*COUNTS, "interval_s", "latency_ms_sum"), pa.float64()),
}
LINE_SCHEMA = line_schema(ObservationLine, _TYPES)


@dataclass(frozen=True, slots=True)
class Observed:
    """N records, with refused ones among them. Only rows of `Records.alive` have a meaning."""

    start_ms: np.ndarray
    length_ms: np.ndarray  # 0: an instant
    texts: Mapping[str, Text]  # layer, source, target, protocol, source_kind, target_kind, via
    reporter: np.ndarray
    counts: Mapping[str, np.ndarray]  # of COUNTS, and latency_us_sum
    timed: np.ndarray  # bool[N]: it says the sum of its latencies
    latency: Histograms
    codes: Codes
    source_attributes: pa.Array
    target_attributes: pa.Array


def observed(records: Records, parse_time: ParseTime, aliases: Mapping[str, str]) -> Observed:
    """Check every field of every record. A record with a wrong field is refused in `records`.

    Raises:
        InvalidPayload: an Arrow column of a type that can't hold its field.
    """
    start_ms = fields.time_ms(records, "time", parse_time)
    records.refuse(start_ms == NO_TIME, lambda _: "time is missing")
    seconds = fields.number(records, "interval_s")
    too_long = (seconds * 1000 > LONGEST_MS) | (seconds * 1000 < 1)
    records.refuse(
        too_long, lambda row: f"interval_s {seconds[row]:g} is not accepted; use 0.001 to {LONGEST_MS // 1000}"
    )
    latency_ms = fields.number(records, "latency_ms_sum")
    records.refuse(latency_ms > MAX_COUNT / 1000, lambda row: f"latency_ms_sum {latency_ms[row]:g} is too large")
    counts = _counts(records)
    counts["latency_us_sum"] = np.rint(np.nan_to_num(np.clip(latency_ms, 0, 1e12)) * 1000).astype(np.int64)
    by_code = _codes(records, counts)
    reporter = fields.text(records, "reporter")
    fields.accept(records, "reporter", reporter, REPORTERS)
    return Observed(
        start_ms=start_ms,
        length_ms=np.nan_to_num(np.where(too_long, 0, seconds) * 1000).round().astype(np.int64),
        texts=_texts(records, aliases),
        reporter=reporter.places(REPORTERS),
        counts=counts,
        timed=~np.isnan(latency_ms),
        latency=histograms(records, "latency_ms_buckets"),
        codes=by_code,
        source_attributes=fields.strings(records, "source_attributes"),
        target_attributes=fields.strings(records, "target_attributes"),
    )


def _counts(records: Records) -> dict[str, np.ndarray]:
    counts, given = {}, {}
    for name in COUNTS:
        counts[name], given[name] = fields.count(records, name)
    calls, errors = counts["calls"], counts["errors"]
    records.refuse(
        given["calls"] & (errors > calls),
        lambda row: f"errors {errors[row]} is more than calls {calls[row]}; errors are calls too",
    )
    return counts


def _codes(records: Records, counts: Mapping[str, np.ndarray]) -> Codes:
    found, calls = codes(records, "codes"), counts["calls"]
    sums = found.totals(len(records.lines))
    records.refuse(
        sums > calls, lambda row: f"codes add up to {sums[row]}, more than calls {calls[row]}; use at most that many"
    )
    return found


def _texts(records: Records, aliases: Mapping[str, str]) -> dict[str, Text]:
    texts = {name: fields.text(records, name) for name in ("layer", "source", "target", "protocol")}
    fields.accept(records, "layer", texts["layer"], LAYERS)
    for end in ("source", "target"):
        records.refuse(texts[end].is_in([""]), lambda _, end=end: f"{end} is missing; use a service id")  # type: ignore[misc]
        texts[end] = fields.names(texts[end], aliases)
        kind = fields.text(records, f"{end}_kind").or_else("service")
        fields.accept(records, f"{end}_kind", kind, KINDS)
        texts[f"{end}_kind"] = kind
    texts["protocol"] = texts["protocol"].or_else("unknown").mapped(str.lower)
    texts["via"] = _via_ids(records, aliases)
    return texts


def _via_ids(records: Records, aliases: Mapping[str, str]) -> Text:
    """Read the field `via`, a list of service ids; empty where there is none."""
    column = column_of(records, "via")
    if column is None:
        return Text(np.zeros(len(records.lines), np.int64), [""])
    if not (pa.types.is_list(column.type) or pa.types.is_large_list(column.type)):
        raise InvalidPayload(f"column via is {shortened(str(column.type))}; accepted: a list of text")
    hops = np.zeros(len(records.lines), np.int64)
    parents = pc.list_parent_indices(column).to_numpy(zero_copy_only=False)
    np.add.at(hops, parents, 1)
    records.refuse(hops > MAX_HOPS, lambda row: f"via has {hops[row]} entries; at most {MAX_HOPS} are accepted")
    said = encoded("via", pc.list_flatten(column))
    ids = [aliases.get(name, name) for name in map(clean_name, said.values)]
    nameless = np.zeros(len(hops), np.bool_)
    nameless[parents[Text(said.codes, ids).is_in([""])]] = True
    records.refuse(nameless, lambda _: "via has an empty entry; use service ids")
    return _joined_ids(hops, parents, said.codes, ids)


def _joined_ids(hops: np.ndarray, parents: np.ndarray, codes: np.ndarray, ids: list[str]) -> Text:
    """Join each record's ids; the few distinct lists that there are become text once."""
    order = np.arange(len(parents)) - np.repeat(np.cumsum(hops) - hops, hops)
    table = np.full((len(hops), min(int(hops.max(initial=0)), MAX_HOPS)), -1, np.int64)
    kept = order < MAX_HOPS
    table[parents[kept], order[kept]] = codes[kept]
    distinct, row = np.unique(table, axis=0, return_inverse=True)
    texts = [VIA_SEPARATOR.join(ids[code] for code in codes if code >= 0) for codes in distinct.tolist()]
    return Text(row.reshape(-1), texts).mapped(str)
