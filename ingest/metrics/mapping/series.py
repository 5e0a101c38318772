"""The meaning of each series: its edge and what it adds, found once and kept in columns.

Invariant: after `update`, the columns are as long as the table, and row c is the meaning of series c under the rules.
Each series without a meaning has its reason.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import numpy as np

from chronotope.ingest.metrics.counters.columns import SeriesTable
from chronotope.ingest.metrics.mapping.duplicates import Places
from chronotope.ingest.metrics.mapping.ends import UNKNOWN, End, scraped_end
from chronotope.ingest.metrics.mapping.plain_names import plain_labels
from chronotope.ingest.metrics.mapping.rules import UNIT_S, Adds, Rules, Use
from chronotope.ingest.metrics.mapping.templates import Labels, first_known
from chronotope.schema.names import clean_name
from chronotope.schema.observations import MOST_CODES

# Why a series has no meaning. The index is its code in `reason`.
REASONS = ("", "not_mapped", "conditions", "no_source", "no_target", "both_unknown", "gauge")
USED, NOT_MAPPED, CONDITIONS, NO_SOURCE, NO_TARGET, BOTH_UNKNOWN, GAUGE = range(len(REASONS))
_UNITS = tuple(UNIT_S)
OTHER = "other"  # codes beyond the most that an edge may have
MOST_PROVIDERS = 1000  # of one interface; more would be a label that names no interface


class Edge(NamedTuple):
    """An edge as the labels of a series describe it."""

    source: End
    target: End
    protocol: str
    reporter: int
    one_ended: bool  # the kind of metric never says who calls


class Meaning(NamedTuple):
    """The meaning of one series."""

    reason: int
    use: Use | None = None
    edge: int = -1
    adds: int = 0
    unit_s: float = 1.0
    cell: int = -1
    place: int = -1


class Cells:
    """Response codes of edges, each pair of them a cell: `edge` and `code` by cell, `names` by code.

    An edge has at most `MOST_CODES` codes of its own; further ones are `other`, so that a label that is no code costs
    nothing.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self.code: list[int] = []
        self._codes: dict[str, int] = {}
        self._cells: dict[tuple[int, str], int] = {}
        self._count: Counter[int] = Counter()  # edge → its codes

    def __len__(self) -> int:
        return len(self.code)

    def of(self, edge: int, name: str) -> int:
        """Return the cell of an edge and a code; -1 for no code."""
        if not name:
            return -1
        if (edge, name) not in self._cells and self._count[edge] >= MOST_CODES - 1:
            name = OTHER
        cell = self._cells.setdefault((edge, name), len(self.code))
        if cell == len(self.code):
            self._count[edge] += 1
            self.code.append(self._codes.setdefault(name, len(self._codes)))
            self.names = list(self._codes) if len(self._codes) > len(self.names) else self.names
        return cell


class SeriesMeanings:
    """Columns by series code: `edge`, `cell`, `place` int32 (-1: none), `adds` uint16, `unit_s` float64,
    `reason` uint8.
    """

    def __init__(self, table: SeriesTable, rules: Rules) -> None:
        self.rules = rules
        self.edges: list[Edge] = []
        self.cells = Cells()
        self.providers: dict[str, dict[End, None]] = {}  # interface → the services that said that they provide it
        self._table = table
        self._codes: dict[Edge, int] = {}
        self.clear()

    def clear(self) -> None:
        """Forget the series, not the edges: needed after the table is compacted."""
        self.edge = np.empty(0, np.int32)
        self.cell = np.empty(0, np.int32)
        self.place = np.empty(0, np.int32)
        self.places = Places()
        self.adds = np.empty(0, np.uint16)
        self.unit_s = np.empty(0, np.float64)
        self.reason = np.empty(0, np.uint8)
        self.use: list[Use | None] = []

    def update(self) -> None:
        """Add the series that are new in the table."""
        known, table = len(self.edge), self._table
        if known == len(table):
            return
        rows = [self._meaning(table.names[code], table.labels[code]) for code in range(known, len(table))]
        reason, use, edge, adds, unit, cell, place = zip(*rows, strict=True)
        self.edge = np.concatenate([self.edge, np.array(edge, np.int32)])
        self.cell = np.concatenate([self.cell, np.array(cell, np.int32)])
        self.place = np.concatenate([self.place, np.array(place, np.int32)])
        self.adds = np.concatenate([self.adds, np.array(adds, np.uint16)])
        self.unit_s = np.concatenate([self.unit_s, np.array(unit, np.float64)])
        self.reason = np.concatenate([self.reason, np.array(reason, np.uint8)])
        self.use += use

    def _meaning(self, name: str, labels: Labels) -> Meaning:
        uses, labels = self.rules.of(name), plain_labels(labels)
        if uses is None:
            return Meaning(NOT_MAPPED)
        if self._table.type_of(name) == "gauge":
            return Meaning(GAUGE)
        for use in uses:
            if use.applies(labels) and not (Adds.NATIVE in use.adds and "quantile" in labels):
                return self._of(use, use.rule.extracted(labels))
        return Meaning(CONDITIONS)

    def _of(self, use: Use, labels: Labels) -> Meaning:
        rule = use.rule
        source, target = rule.source.end(labels, rule.nothing), rule.target.end(labels, rule.nothing)
        if rule.entry.provides:
            self._provided(labels.get(rule.entry.provides, ""), labels, rule.nothing)
        if source is None or target is None:
            return Meaning(NO_SOURCE if source is None else NO_TARGET, use)
        if source.unknown and target.unknown:
            return Meaning(BOTH_UNKNOWN, use)
        protocol = first_known(rule.protocol, labels, rule.nothing).lower() or UNKNOWN
        edge = Edge(source, target, protocol, rule.reporter.code(labels), rule.one_ended)
        code = self._codes.get(edge)
        if code is None:
            code = self._codes[edge] = len(self.edges)
            self.edges.append(edge)
        cell = self.cells.of(code, clean_name(use.code(labels)))
        place = self.places.of(use, source, target, labels)
        return Meaning(USED, use, code, int(use.added(labels)), UNIT_S[use.family.unit], cell, place)

    def _provided(self, interface: str, labels: Labels, nothing: frozenset[str]) -> None:
        end = scraped_end(labels, nothing, "service")
        if interface and end is not None:
            known = self.providers.setdefault(interface, {})
            if len(known) < MOST_PROVIDERS:
                known[end] = None
