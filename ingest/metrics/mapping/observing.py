"""Increases of series to observations of edges, by columns.

Invariant: every increase of a series that has an edge is in exactly one observation of layer `ipc`; over all buckets an
edge's measures add up to the increases that were given, rounded once. No bucket has more errors than calls.

A kind of metric that never says who calls (a server's own count) makes an edge from `unknown`, and only as long as no
other metric names a caller of that service over that protocol: they would be the same calls.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from chronotope.ingest.distinct import distinct_codes
from chronotope.ingest.identity import Identities, Service
from chronotope.ingest.metrics.columns import Increases
from chronotope.ingest.metrics.families import Families
from chronotope.ingest.metrics.histograms import latency_increases
from chronotope.ingest.metrics.mapping.edgecolumns import EdgeColumns, EndColumns, Services
from chronotope.ingest.metrics.mapping.ends import End
from chronotope.ingest.metrics.mapping.resolving import Resolver
from chronotope.ingest.metrics.mapping.rules import Adds
from chronotope.ingest.metrics.mapping.series import SeriesMeanings
from chronotope.ingest.records.codes import Codes, spread_codes
from chronotope.ingest.records.latencies import Histograms, spread_histograms
from chronotope.ingest.records.spreading import BUCKET_MS, Spread, spread
from chronotope.schema.observations import observation_table

NAMED_FOR_MS = 600_000  # how long a caller that was named explains what the server counts
MOST_SHARES = 1_000_000  # rows of one table, about
COUNTS = {
    "calls": Adds.CALLS,
    "errors": Adds.ERRORS,
    "connections": Adds.CONNECTIONS,
    "failed_connections": Adds.FAILED_CONNECTIONS,
    "bytes_sent": Adds.BYTES_SENT,
    "bytes_received": Adds.BYTES_RECEIVED,
    "retransmits": Adds.RETRANSMITS,
    "latency_us_sum": Adds.LATENCY_SUM,
    "latency_count": Adds.LATENCY_COUNT,
}


@dataclass(frozen=True, slots=True)
class Records:
    """R records, in the order of (edge, end, begin): all that was counted of an edge between two scrapes."""

    edge: np.ndarray  # int64[R]
    begin_ms: np.ndarray  # int64[R]
    end_ms: np.ndarray  # int64[R]
    counts: Mapping[str, np.ndarray]  # int64[R] each
    latency: Histograms
    codes: Codes

    def take(self, kept: np.ndarray) -> Records:
        """Return the records of a mask bool[R]."""
        place = np.cumsum(kept) - 1
        entries = kept[self.latency.record]
        latency = Histograms(
            place[self.latency.record[entries]], self.latency.bucket[entries], self.latency.count[entries]
        )
        counts = {name: column[kept] for name, column in self.counts.items()}
        codes = self.codes.take(kept)
        return Records(self.edge[kept], self.begin_ms[kept], self.end_ms[kept], counts, latency, codes)


@dataclass(frozen=True, slots=True)
class Ends:
    """The ends of R records: the services that those of their edges are at the record's time."""

    columns: EdgeColumns
    edge: np.ndarray  # int64[R] into the columns
    services: list[Service]
    sources: np.ndarray  # int64[R] into services
    targets: np.ndarray  # int64[R] into services

    def take(self, kept: np.ndarray) -> Ends:
        """Return those of a mask bool[R]."""
        return Ends(self.columns, self.edge[kept], self.services, self.sources[kept], self.targets[kept])


class Observer:
    """Makes observations of increases, batch after batch, in order of time.

    Args:
        meanings: what the series mean.
        families: which series are buckets of one histogram; of the same table.
        identities: returns who owns which address.
        aliases: service id → the id that it shall have instead.
    """

    def __init__(
        self,
        meanings: SeriesMeanings,
        families: Families,
        identities: Callable[[], Identities] = Identities,
        aliases: Mapping[str, str] | None = None,
    ) -> None:
        self.skipped: Counter[str] = Counter()  # reason → increases that made no observation
        self.used = 0  # increases that are in observations
        self._meanings = meanings
        self._families = families
        self._identities = identities
        self._services = Services(aliases or {})
        self._columns = EdgeColumns(meanings.edges, self._services)
        self._named: dict[tuple[str, str], int] = {}  # (target, protocol) → when a caller of it was last named
        self._left: dict[str, np.ndarray] = {}  # measure → what rounding left of each edge

    def observe(self, increases: Increases) -> list[pa.Table]:
        """Return the observations of a batch as tables for the store's landing table."""
        self._meanings.update()
        self._families.update()
        edge = self._meanings.edge[increases.series]
        self.skipped["not_used"] += int((edge < 0).sum())
        increases = increases.take(edge >= 0)
        if not len(increases):
            return []
        records = self._records(increases)
        ends = self._resolved(records)
        kept = self._kept(records, ends, increases)
        return list(_tables(records.take(kept), ends.take(kept)))

    def _records(self, increases: Increases) -> Records:
        """Add up the increases of each edge between two scrapes."""
        latencies = [
            latency_increases(increases.take(rows), self._families, unit_s=unit_s)
            for unit_s, rows in self._bucket_rows(increases)
        ]
        series = np.concatenate([increases.series, *(found.series for found in latencies)])
        begin = np.concatenate([increases.begin_ms, *(found.begin_ms for found in latencies)])
        end = np.concatenate([increases.end_ms, *(found.end_ms for found in latencies)])
        edge, ends, begins, record = _distinct(self._meanings.edge[series], begin, end)
        adds, amount = self._meanings.adds[increases.series], increases.increase
        amount = np.where(adds & Adds.LATENCY_SUM, amount * self._meanings.unit_s[increases.series] * 1e6, amount)
        counts = {}
        for name, flag in COUNTS.items():
            rows = np.flatnonzero(adds & flag)
            totals = np.bincount(record[rows], amount[rows], len(edge))
            counts[name] = self._whole(name, edge, totals, len(self._meanings.edges))
        first, entries = len(increases), []
        for found in latencies:
            of_each = record[first : first + len(found.series)]
            entries.append((np.repeat(of_each, np.diff(found.offsets)), found.bucket, found.count))
            first += len(found.series)
        latency = _joined(entries)
        return Records(edge, begins, ends, counts, latency, self._codes(increases, record))

    def _codes(self, increases: Increases, record: np.ndarray) -> Codes:
        """Add up the increases of each record that have a response code, by code."""
        cells = self._meanings.cells
        cell = self._meanings.cell[increases.series]
        rows = np.flatnonzero(cell >= 0)
        if not len(rows):
            return Codes()
        cell = cell[rows].astype(np.int64)
        used, code = distinct_codes(np.array(cells.code, np.int64)[cell])
        keys, entry = distinct_codes(record[rows] * len(used) + code)
        totals = np.bincount(entry, increases.increase[rows], len(keys))
        owner = np.empty(len(keys), np.int64)
        owner[entry] = cell
        order = np.argsort(owner, kind="stable")  # by cell and time, as records of an edge are in order of time
        count = np.empty(len(keys), np.int64)
        count[order] = self._whole("codes", owner[order], totals[order], len(cells))
        names = [cells.names[at] for at in used.tolist()]
        return Codes(keys // len(used), keys % len(used), count, names)

    def _bucket_rows(self, increases: Increases) -> Iterator[tuple[float, np.ndarray]]:
        buckets = (self._meanings.adds[increases.series] & Adds.LATENCY_BUCKET) != 0
        unit = self._meanings.unit_s[increases.series]
        for unit_s in np.unique(unit[buckets]).tolist():
            yield unit_s, np.flatnonzero(buckets & (unit == unit_s))

    def _whole(self, name: str, edge: np.ndarray, totals: np.ndarray, edges: int) -> np.ndarray:
        """Round totals, in order of (edge, time), so that those of an edge add up whatever they are.

        Args:
            name: what they are totals of.
            edge: int64[R]: the edge, or whatever else the totals are of.
            edges: how many there are.
        """
        whole = np.floor(totals)
        if np.array_equal(whole, totals):
            return np.asarray(whole, np.int64)
        left = self._left.get(name, np.empty(0))
        left = np.concatenate([left, np.zeros(edges - len(left))])
        parts = totals - whole
        first = np.searchsorted(edge, edge)
        running = np.cumsum(parts)
        running -= (running - parts)[first] - left[edge]
        rounded = np.floor(running + 0.5)
        before = np.where(np.arange(len(edge)) == first, np.floor(left[edge] + 0.5), np.roll(rounded, 1))
        last = np.flatnonzero(np.append(edge[1:] != edge[:-1], True))
        left[edge[last]] = running[last] - rounded[last]
        self._left[name] = left
        return np.asarray(whole + rounded - before, np.int64)

    def _resolved(self, records: Records) -> Ends:
        columns = self._columns
        columns.update()
        last_ms = int(records.end_ms.max(initial=1)) - 1
        resolver = Resolver(self._identities(), self._services, self._meanings.providers, last_ms)
        sources = _services_of(records, columns.source, lambda code: columns.edges[code].source, resolver)
        targets = _services_of(records, columns.target, lambda code: columns.edges[code].target, resolver)
        return Ends(columns, records.edge, self._services.all, sources, targets)

    def _kept(self, records: Records, ends: Ends, given: Increases) -> np.ndarray:
        """Return which records are told, bool[R]: not those of unknown callers that others have named."""
        words, one_ended = ends.columns.protocols, ends.columns.one_ended[ends.edge]
        known = self._services.known[ends.sources]
        pairs, pair = distinct_codes(ends.targets * len(words) + ends.columns.protocol[ends.edge])
        keys = [(ends.services[at // len(words)].id, words[at % len(words)]) for at in pairs.tolist()]
        last = np.array([self._named.get(key, -NAMED_FOR_MS) for key in keys], np.int64)
        naming = ~one_ended & known & (records.counts["calls"] > 0)
        np.maximum.at(last, pair[naming], records.end_ms[naming])
        self._named.update((key, at) for key, at in zip(keys, last.tolist(), strict=True) if at > 0)
        kept: np.ndarray = ~one_ended | (last[pair] < records.begin_ms - NAMED_FOR_MS)
        if kept.all():
            self.used += len(given)
            return kept
        dropped = np.isin(self._meanings.edge[given.series], np.setdiff1d(records.edge[~kept], records.edge[kept]))
        self.skipped["callers_are_named"] += int(dropped.sum())
        self.used += len(given) - int(dropped.sum())
        return kept


def _distinct(edge: np.ndarray, begin: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return the distinct (edge, end, begin), in order, as three columns, and which one each row is."""
    ends, nth_end = _distinct_times(end)
    begins, nth_begin = _distinct_times(begin)
    times, time = distinct_codes(nth_end * len(begins) + nth_begin)
    keys, record = distinct_codes(edge.astype(np.int64) * len(times) + time)
    edges, at = np.divmod(keys, len(times))
    return edges, ends[times[at] // len(begins)], begins[times[at] % len(begins)], record


def _distinct_times(times_ms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    first = times_ms.min()
    found, which = distinct_codes(times_ms - first)
    return found + first, which


def _tables(records: Records, ends: Ends) -> Iterator[pa.Table]:
    """Spread records over buckets of time, in tables of a bounded size."""
    shares = np.cumsum((records.end_ms - records.begin_ms) // BUCKET_MS + 2)
    part = shares // MOST_SHARES
    for number in np.unique(part).tolist():
        yield _table(records.take(part == number), ends.take(part == number))


def _table(records: Records, ends: Ends) -> pa.Table:
    over = spread(records.begin_ms, records.end_ms - records.begin_ms)
    measures = _measures(records, over)
    latency = spread_histograms(records.latency, over, len(records.edge))
    codes = spread_codes(records.codes, over, len(records.edge))
    some = np.any([column != 0 for column in measures.values()], axis=0)
    rows = np.flatnonzero(some | _filled(latency) | _filled(codes))
    record = over.record[rows]
    columns, edge, source, target = ends.columns, ends.edge[record], ends.sources[record], ends.targets[record]
    source_id, source_kind = _names(ends.services, source)
    target_id, target_kind = _names(ends.services, target)
    return observation_table(
        {
            "time": over.bucket[rows],
            "first_at": over.first_at[rows],
            "last_at": over.last_at[rows],
            "layer": "ipc",
            "source": source_id,
            "target": target_id,
            "source_kind": source_kind,
            "target_kind": target_kind,
            "protocol": _texts(columns.protocols, columns.protocol[edge]),
            "reporter": columns.reporter[edge],
            **{name: column[rows] for name, column in measures.items()},
            "latency": latency.take(pa.array(rows)),
            "codes": codes.take(pa.array(rows)),
            "source_attributes": _attributes(columns.source, edge),
            "target_attributes": _attributes(columns.target, edge),
        }
    )


def _filled(maps: pa.MapArray) -> np.ndarray:
    filled: np.ndarray = np.diff(maps.offsets.to_numpy()) > 0
    return filled


def _measures(records: Records, over: Spread) -> dict[str, np.ndarray]:
    measures = {name: over.share(column) for name, column in records.counts.items()}
    # Errors are spread first and the other calls beside them: no bucket has more errors than calls.
    calls, errors = records.counts["calls"], records.counts["errors"]
    apart = measures["errors"] + over.share(np.maximum(calls - errors, 0))
    measures["calls"] = np.where((calls >= errors)[over.record], apart, measures["calls"])
    return measures


def _joined(entries: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Histograms:
    """Join entries of histograms, in the order of their records."""
    if not entries:
        return Histograms(np.empty(0, np.int64), np.empty(0, np.uint8), np.empty(0, np.int64))
    record, bucket, count = (np.concatenate(columns) for columns in zip(*entries, strict=True))
    if (record[1:] >= record[:-1]).all():
        return Histograms(record, bucket, count)
    order = np.argsort(record, kind="stable")
    return Histograms(record[order], bucket[order], count[order])


def _services_of(records: Records, column: EndColumns, end_of: Callable[[int], End], resolver: Resolver) -> np.ndarray:
    """Return the services at one end of records, int64[R]."""
    services: np.ndarray = column.service[records.edge]
    rows = np.flatnonzero(column.open[records.edge])
    if len(rows):
        codes, which = distinct_codes(records.edge[rows])
        services[rows] = resolver.resolve([end_of(code) for code in codes.tolist()], which, records.end_ms[rows] - 1)
    return services


def _names(services: list[Service], codes: np.ndarray) -> tuple[pa.DictionaryArray, pa.DictionaryArray]:
    """Return ids and kinds of the services at rows."""
    used, which = distinct_codes(codes)
    chosen = [services[code] for code in used.tolist()]
    return _texts([one.id for one in chosen], which), _texts([one.kind for one in chosen], which)


def _texts(values: list[str], codes: np.ndarray) -> pa.DictionaryArray:
    """Return texts by code; a value may stand twice in the list."""
    encoded = pa.array(values, pa.string()).dictionary_encode()
    return pa.DictionaryArray.from_arrays(encoded.indices.take(pa.array(codes)), encoded.dictionary)


def _attributes(column: EndColumns, edges: np.ndarray) -> pa.Array:
    """Return the attributes of the ends of edges, map<text, text>."""
    used, which = distinct_codes(column.attributes[edges].astype(np.int64))
    chosen = pa.array([column.texts[code] for code in used.tolist()], pa.map_(pa.string(), pa.string()))
    return chosen.take(pa.array(which))
