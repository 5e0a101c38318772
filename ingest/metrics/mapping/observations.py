"""From increases of series to observations of edges, by columns.

Invariant: every increase of a series that has an edge is in exactly one observation of layer `ipc`. Over all buckets,
an edge's measures add up to the increases, rounded once. No bucket has more errors than calls. Increases of metrics
that count the same calls twice are left out first: see `duplicates`.

A metric that never says who calls (a server's own count) makes an edge from `unknown`, for the calls that no other
metric of that service and protocol reports: see `unnamed_callers`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from chronotope.ingest.columns.codes import distinct_codes
from chronotope.ingest.identity.owners import Identities, Service
from chronotope.ingest.metrics.counters.columns import Increases
from chronotope.ingest.metrics.counters.families import Families
from chronotope.ingest.metrics.counters.native_histograms import NativeIncreases
from chronotope.ingest.metrics.mapping.duplicates import Coverage
from chronotope.ingest.metrics.mapping.edge_columns import EdgeColumns, EndColumns, Services
from chronotope.ingest.metrics.mapping.edge_records import Adder, Records
from chronotope.ingest.metrics.mapping.end_resolver import Resolver
from chronotope.ingest.metrics.mapping.ends import End
from chronotope.ingest.metrics.mapping.series import SeriesMeanings
from chronotope.ingest.metrics.mapping.unnamed_callers import UnnamedCallers
from chronotope.ingest.records.codes import spread_codes
from chronotope.ingest.records.latencies import spread_histograms
from chronotope.ingest.records.spreading import BUCKET_MS, Spread, spread
from chronotope.schema.observations import REPORTER_TARGET, observation_table

MOST_SHARES = 1_000_000  # rows of one table, about


@dataclass(frozen=True, slots=True)
class Ends:
    """The ends of R records: the services at their edges' ends at the record's time."""

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
        coverage: when which metrics were there, as far as the increases reach.
    """

    def __init__(
        self,
        meanings: SeriesMeanings,
        families: Families,
        identities: Callable[[], Identities] = Identities,
        aliases: Mapping[str, str] | None = None,
        coverage: Coverage | None = None,
    ) -> None:
        self.coverage = coverage or Coverage()
        self.skipped: Counter[str] = Counter()  # reason → increases that made no observation
        self.used = 0  # increases that are in observations
        self._meanings = meanings
        self._families = families
        self._adder = Adder(meanings, families)
        self._identities = identities
        self._services = Services(aliases or {})
        self._columns = EdgeColumns(meanings.edges, self._services)
        self._unnamed = UnnamedCallers()

    def observe(self, increases: Increases, native: NativeIncreases | None = None) -> list[pa.Table]:
        """Return the observations of a batch as rows of the table `observations`.

        Args:
            increases: of any series of the table; those that have no edge are counted and left out.
            native: of series that have an edge.
        """
        self._meanings.update()
        self._families.update()
        edge = self._meanings.edge[increases.series]
        self.skipped["not_used"] += int((edge < 0).sum())
        increases, native = self._once(increases.take(edge >= 0), native)
        if not len(increases) and not native:
            return []
        records = self._adder.records(increases, native or None)
        ends = self._resolved(records)
        share = self._shares(records, ends)
        self._count(records, share, increases)
        kept = share > 0
        return list(_tables(records.scaled(share).take(kept), ends.take(kept)))

    def _once(self, increases: Increases, native: NativeIncreases | None) -> tuple[Increases, NativeIncreases | None]:
        """Leave out what a preferred metric of the same calls counts."""
        twice = self._duplicates(increases)
        if twice.any():
            increases = increases.take(~twice)
        if native and (twice := self._duplicates(native.increases)).any():
            native = native.take(np.flatnonzero(~twice))
        self.coverage.forget_past()
        return increases, native

    def _duplicates(self, increases: Increases) -> np.ndarray:
        place, begin_ms, end_ms = self._meanings.place[increases.series], increases.begin_ms, increases.end_ms
        twice = self.coverage.duplicates(self._meanings.places, place, begin_ms, end_ms)
        self.skipped["duplicate_family"] += int(twice.sum())
        return twice

    def _resolved(self, records: Records) -> Ends:
        columns = self._columns
        columns.update()
        last_ms = int(records.end_ms.max(initial=1)) - 1
        resolver = Resolver(self._identities(), self._services, self._meanings.providers, last_ms)
        sources = _services_of(records, columns.source, lambda code: columns.edges[code].source, resolver)
        targets = _services_of(records, columns.target, lambda code: columns.edges[code].target, resolver)
        return Ends(columns, records.edge, self._services.all, sources, targets)

    def _shares(self, records: Records, ends: Ends) -> np.ndarray:
        """Return the reported part of each record, float64[R]; of a server's own count: calls without named caller."""
        words, one_ended = ends.columns.protocols, ends.columns.one_ended[ends.edge]
        known, reporter = self._services.known[ends.sources], ends.columns.reporter[ends.edge]
        pairs, pair = distinct_codes(ends.targets * len(words) + ends.columns.protocol[ends.edge])
        keys = [(ends.services[at // len(words)].id, words[at % len(words)]) for at in pairs.tolist()]
        calls = records.counts["calls"]
        naming = ~one_ended & known & (calls > 0)
        # Named callers may be counted at both ends: the end that counted more stands for both.
        at_target = reporter == REPORTER_TARGET
        sums = [np.bincount(pair[rows], calls[rows], len(keys)) for rows in (naming & ~at_target, naming & at_target)]
        naming &= at_target == (sums[1] > sums[0])[pair]
        side = one_ended.astype(np.int64) - naming
        return self._unnamed.shares(keys, pair, records.begin_ms, records.end_ms, calls, side)

    def _count(self, records: Records, share: np.ndarray, given: Increases) -> None:
        """Count the increases that are reported, and those that are not."""
        dropped = 0
        if not share.all():
            none = np.setdiff1d(records.edge[share == 0], records.edge[share > 0])
            dropped = int(np.isin(self._meanings.edge[given.series], none).sum())
            self.skipped["callers_are_named"] += dropped
        self.used += len(given) - dropped


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
