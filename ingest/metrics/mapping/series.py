"""What each series means: its edge and what it adds, found once and kept in columns.

Invariant: after `update`, the columns are as long as the table, and row c is the meaning of series c under the rules;
each series that means nothing has its reason.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from chronotope.ingest.metrics.columns import SeriesTable
from chronotope.ingest.metrics.mapping.ends import UNKNOWN, End, scraped_end
from chronotope.ingest.metrics.mapping.rules import UNIT_S, Rules, Use
from chronotope.ingest.metrics.mapping.templates import Labels, first_known

# Why a series means nothing; the place is its code in `reason`.
REASONS = ("", "not_mapped", "conditions", "no_source", "no_target", "both_unknown", "gauge")
USED, NOT_MAPPED, CONDITIONS, NO_SOURCE, NO_TARGET, BOTH_UNKNOWN, GAUGE = range(len(REASONS))
_UNITS = tuple(UNIT_S)
MOST_PROVIDERS = 1000  # of one interface; more would be a label that names no interface


class Edge(NamedTuple):
    """What a series says of an edge: its ends as far as labels tell."""

    source: End
    target: End
    protocol: str
    reporter: int
    one_ended: bool  # the kind of metric never says who calls


class SeriesMeanings:
    """Columns by series code: `edge` int32 (-1: none), `adds` uint16, `unit_s` float64, `reason` uint8."""

    def __init__(self, table: SeriesTable, rules: Rules) -> None:
        self.rules = rules
        self.edges: list[Edge] = []
        self.providers: dict[str, dict[End, None]] = {}  # interface → the services that said that they provide it
        self._table = table
        self._codes: dict[Edge, int] = {}
        self.clear()

    def clear(self) -> None:
        """Forget the series, not the edges: needed after the table is compacted."""
        self.edge = np.empty(0, np.int32)
        self.adds = np.empty(0, np.uint16)
        self.unit_s = np.empty(0, np.float64)
        self.reason = np.empty(0, np.uint8)
        self.use: list[Use | None] = []

    def update(self) -> None:
        """Look at the series that are new in the table."""
        known, table = len(self.edge), self._table
        if known == len(table):
            return
        rows = [self._meaning(table.names[code], table.labels[code]) for code in range(known, len(table))]
        edge, adds, unit, reason, use = zip(*rows, strict=True)
        self.edge = np.concatenate([self.edge, np.array(edge, np.int32)])
        self.adds = np.concatenate([self.adds, np.array(adds, np.uint16)])
        self.unit_s = np.concatenate([self.unit_s, np.array(unit, np.float64)])
        self.reason = np.concatenate([self.reason, np.array(reason, np.uint8)])
        self.use += use

    def _meaning(self, name: str, labels: Labels) -> tuple[int, int, float, int, Use | None]:
        uses = self.rules.uses.get(name)
        if uses is None:
            return -1, 0, 1.0, NOT_MAPPED, None
        if self._table.type_of(name) == "gauge":
            return -1, 0, 1.0, GAUGE, None
        for use in uses:
            if use.applies(labels):
                return self._of(use, use.rule.extracted(labels))
        return -1, 0, 1.0, CONDITIONS, None

    def _of(self, use: Use, labels: Labels) -> tuple[int, int, float, int, Use | None]:
        rule = use.rule
        source, target = rule.source.end(labels, rule.nothing), rule.target.end(labels, rule.nothing)
        if rule.entry.provides:
            self._provided(labels.get(rule.entry.provides, ""), labels, rule.nothing)
        if source is None or target is None:
            return -1, 0, 1.0, NO_SOURCE if source is None else NO_TARGET, use
        if source.unknown and target.unknown:
            return -1, 0, 1.0, BOTH_UNKNOWN, use
        protocol = first_known(rule.protocol, labels, rule.nothing).lower() or UNKNOWN
        edge = Edge(source, target, protocol, rule.reporter.code(labels), rule.one_ended)
        code = self._codes.get(edge)
        if code is None:
            code = self._codes[edge] = len(self.edges)
            self.edges.append(edge)
        return code, int(use.added(labels)), UNIT_S[use.family.unit], USED, use

    def _provided(self, interface: str, labels: Labels, nothing: frozenset[str]) -> None:
        end = scraped_end(labels, nothing, "service")
        if interface and end is not None:
            known = self.providers.setdefault(interface, {})
            if len(known) < MOST_PROVIDERS:
                known[end] = None
