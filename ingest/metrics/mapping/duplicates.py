"""Metrics that count the same calls twice: which one counts.

A program may export one histogram of its calls under the names of two conventions (OpenTelemetry's `http/dup`), as
classic and as native, or count its requests with two libraries. Mappings say by `same_calls` which metrics count the
same calls. Of these, one counts at a time, per scraped target, end and instrumentation scope: the first in the order of
configuration and presets, those with latencies before those without.

Invariant: an increase is a duplicate only if a preferred metric of the same calls was there at both ends of its time.
So what only one metric counts is never lost. A change from one metric to the other counts neither twice nor not at all.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from chronotope.ingest.metrics.counters.columns import TIME_BITS, sort_key
from chronotope.ingest.metrics.counters.increases import LONGEST_GAP_MS
from chronotope.ingest.metrics.counters.series_starts import target_of_labels
from chronotope.ingest.metrics.mapping.ends import End
from chronotope.ingest.metrics.mapping.rules import Adds, Use
from chronotope.ingest.metrics.mapping.templates import Labels

COUNTING = Adds.CALLS | Adds.LATENCY_COUNT  # what tells that a metric is there

Key = tuple[str, tuple[str, str], str, str]


class Place(NamedTuple):
    """One metric's count of the calls of one key."""

    scope: str
    rank: int
    mapping: str
    measure: str

    def outdoes(self, other: Place) -> bool:
        """Return whether the other is a duplicate while this one is there."""
        one_scope = self.scope == other.scope or not self.scope or not other.scope
        if self.rank >= other.rank or not one_scope:
            return False
        if other.measure == "latency":
            return self.measure in ("latency", "calls_and_latency")
        # If one mapping gives calls and their connections and bytes, these belong to the same calls.
        alike = other.measure in ("calls", "calls_and_latency") or self.mapping != other.mapping
        return self.measure in ("calls", "calls_and_latency") and alike


class Places:
    """All metrics that may be duplicates, numbered: the places of series."""

    def __init__(self) -> None:
        self._all: list[Place] = []
        self._numbers: dict[tuple[Key, Place], int] = {}
        self._of_key: dict[Key, list[int]] = {}
        self._worse: list[int] = []
        self._better: list[int] = []

    def of(self, use: Use, source: End, target: End, labels: Labels) -> int:
        """Return the place of a series; -1 for one of a metric that is never a duplicate."""
        if not use.same_calls:
            return -1
        rule = use.rule.entry
        # The target identifies the scraped end, because libraries may name it differently.
        ends = ("" if rule.source.scraped else _said(source), "" if rule.target.scraped else _said(target))
        key = (use.same_calls, target_of_labels(labels), *ends)
        place = Place(labels.get("otel_scope_name", ""), use.rank, rule.name, use.family.measure)
        number = self._numbers.setdefault((key, place), len(self._all))
        if number == len(self._all):
            self._all.append(place)
            for rival in self._of_key.setdefault(key, []):
                self._compare(number, rival)
                self._compare(rival, number)
            self._of_key[key].append(number)
        return number

    def _compare(self, better: int, worse: int) -> None:
        if self._all[better].outdoes(self._all[worse]):
            self._better.append(better)
            self._worse.append(worse)

    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the places that are outdone and those that outdo them, int64[K] each, the former rising."""
        worse, better = np.array(self._worse, np.int64), np.array(self._better, np.int64)
        order = np.argsort(worse, kind="stable")
        return worse[order], better[order]


def _said(end: End) -> str:
    """Return the identity of an end without what only one convention has: port, or address beside the interface."""
    return end.provider or end.service


class Coverage:
    """When the metrics of places were there: runs of samples without a long gap, batch after batch, in order of time.

    Args:
        longest_gap_ms: samples further apart are of two runs.
    """

    def __init__(self, longest_gap_ms: int = LONGEST_GAP_MS) -> None:
        self._gap_ms = longest_gap_ms
        self._noted: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def note(self, place: np.ndarray, begin_ms: np.ndarray, end_ms: np.ndarray) -> None:
        """Note that the metrics of int64[N] places were there; a place of -1 is none."""
        rows = np.flatnonzero(place >= 0)
        if len(rows):
            self._noted.append(_merged(place[rows].astype(np.int64), begin_ms[rows], end_ms[rows], self._gap_ms))

    def duplicates(self, places: Places, place: np.ndarray, begin_ms: np.ndarray, end_ms: np.ndarray) -> np.ndarray:
        """Return which increases, of N series' places and times, are of calls that a preferred metric counts."""
        found = np.zeros(len(place), np.bool_)
        worse, better = places.pairs()
        rows = np.flatnonzero(np.isin(place, worse)) if len(worse) else worse
        if not len(rows) or not self._noted:
            return found
        of, begin, end = self._runs()
        first, last = np.searchsorted(of, better), np.searchsorted(of, better, "right")
        count = last - first
        run = np.repeat(first - (np.cumsum(count) - count), count) + np.arange(count.sum())
        if not len(run):
            return found
        of, begin, end = _merged(np.repeat(worse, count), begin[run], end[run], 0)
        at = np.searchsorted(sort_key(of, begin), sort_key(place[rows].astype(np.int64), end_ms[rows])) - 1
        found[rows] = (at >= 0) & (of[at] == place[rows]) & (end[at] > begin_ms[rows])
        return found

    def forget_past(self) -> None:
        """Keep the last run of each place: what follows is later."""
        if self._noted:
            of, begin, end = self._runs()
            last = np.append(of[1:] != of[:-1], True)
            self._noted = [(of[last], begin[last], end[last])]

    def clear(self) -> None:
        """Begin again: needed after the places do."""
        self._noted.clear()

    def _runs(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if len(self._noted) > 1:
            of, begin, end = (np.concatenate(columns) for columns in zip(*self._noted, strict=True))
            self._noted = [_merged(of, begin, end, self._gap_ms)]
        return self._noted[0]


def _merged(
    of: np.ndarray, begin: np.ndarray, end: np.ndarray, gap_ms: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Join the intervals of each place that overlap or are not more than a gap apart; N > 0 in, rising out."""
    order = np.argsort(sort_key(of, begin), kind="stable")
    of, begin = of[order], begin[order]
    reached = np.maximum.accumulate(sort_key(of, end[order]))  # the place is above the time: each begins anew
    first = np.append(True, sort_key(of[1:], np.maximum(begin[1:] - gap_ms, 0)) > reached[:-1])
    last = np.append(first[1:], True)
    return of[first], begin[first], reached[last] & ((1 << TIME_BITS) - 1)
