"""Replay example traces at any time: span rows for an interval, with new ids and the real shapes and durations.

Invariant: the same generator and interval give the same rows. Intervals that follow each other neither overlap nor
leave a gap.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib.resources import as_file, files

import numpy as np
import pyarrow.parquet as pq

from chronotope.ingest.spans.columns import CLIENT, RELEASED, SERVER, SPAN, UNSPECIFIED, SpanBatch, Vocabulary

NAMESPACE = "shop"
NEWCOMER = "shop/adservice"  # is deployed in the middle of the history, so that there is a change to find
_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Template:
    """SPAN[N] of all example traces with small ids and times from 0, and where each trace starts."""

    rows: np.ndarray
    offsets: np.ndarray

    @property
    def traces(self) -> int:
        """The number of traces."""
        return len(self.offsets) - 1


def read_template(vocabulary: Vocabulary) -> Template:
    """Read the shipped traces."""
    with as_file(files("chronotope.ingest.demo").joinpath("onlineboutique.parquet")) as path:
        table = pq.read_table(path).combine_chunks()
    rows = np.zeros(table.num_rows, SPAN)
    for name in ("span", "parent"):
        rows[name] = table[name].to_numpy()
    rows["start_ns"] = table["offset_ns"].to_numpy()
    rows["end_ns"] = rows["start_ns"] + table["duration_ns"].to_numpy()
    service = table["service"].combine_chunks()
    codes = [vocabulary.service(f"{NAMESPACE}/{name}") for name in service.dictionary.to_pylist()]
    rows["service"] = np.array(codes, np.int32)[service.indices.to_numpy()]
    rows["peer"], rows["weight"], rows["flags"] = -1, 1, RELEASED
    rows["protocol"] = vocabulary.protocols.code("grpc")
    rows["kind"] = UNSPECIFIED
    trace = table["trace"].to_numpy()
    _name_kinds(rows, trace)
    return Template(rows, np.searchsorted(trace, np.arange(int(trace[-1]) + 2)))


def _name_kinds(rows: np.ndarray, trace: np.ndarray) -> None:
    """A span whose parent is in another service is a server span, that parent a client span."""
    place = {(t, s): i for i, (t, s) in enumerate(zip(trace.tolist(), rows["span"].tolist(), strict=True))}
    for i, key in enumerate(zip(trace.tolist(), rows["parent"].tolist(), strict=True)):
        above = place.get(key)
        if above is not None and rows["service"][above] != rows["service"][i]:
            rows["kind"][i], rows["kind"][above] = SERVER, CLIENT


def rhythm(at_s: float) -> float:
    """Share of the day's busiest traffic at a time: quiet at night, busy at 14 h UTC."""
    return 0.6 + 0.4 * math.cos((at_s % _DAY_S / _DAY_S - 14 / 24) * 2 * math.pi)


def replay(
    template: Template,
    vocabulary: Vocabulary,
    random: np.random.Generator,
    begin_s: float,
    end_s: float,
    *,
    traces_per_s: float,
    newcomer_from_s: float = -math.inf,
    calls_each: int = 1,
) -> SpanBatch:
    """Return the spans of traces that start in an interval.

    Args:
        begin_s, end_s: Unix seconds, half-open.
        traces_per_s: how many traces to make at the day's busiest time; each span stands for `calls_each` calls.
        newcomer_from_s: before it, `NEWCOMER` does not exist.
    """
    count = random.poisson(max(0.0, end_s - begin_s) * traces_per_s * rhythm((begin_s + end_s) / 2))
    starts_s = np.sort(random.uniform(begin_s, end_s, count))
    picked = random.integers(0, template.traces, count)
    sizes = np.diff(template.offsets)[picked]
    owner = np.repeat(np.arange(count), sizes)
    within = np.arange(len(owner)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    rows = template.rows[template.offsets[picked][owner] + within]
    rows["trace_hi"] = random.integers(1, 2**63, count, np.uint64)[owner]
    rows["trace_lo"] = random.integers(1, 2**63, count, np.uint64)[owner]
    start_ns = (starts_s * 1e9).astype(np.int64)[owner]
    rows["start_ns"] += start_ns
    rows["end_ns"] += start_ns
    rows["weight"] = calls_each
    absent = (rows["service"] == vocabulary.service(NEWCOMER)) & (starts_s[owner] < newcomer_from_s)
    return SpanBatch(rows[~absent], read=len(rows))
