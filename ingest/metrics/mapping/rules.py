"""The mappings of the configuration and of the presets, compiled, by the name of a metric.

Invariant: for each series at most one mapping and family decides: the first one, configuration before presets, whose
conditions hold. Which metrics are wanted depends on names alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntFlag
from functools import cache
from importlib import resources
from typing import NamedTuple

from chronotope.ingest.metrics.mapping.ends import EndRule
from chronotope.ingest.metrics.mapping.plain_names import plain_name
from chronotope.ingest.metrics.mapping.templates import (
    Condition,
    Labels,
    Template,
    all_hold,
    any_holds,
    conditions,
    first_known,
)
from chronotope.schema.config.metrics import FamilyEntry, MappingEntry, MetricsSection, ReporterEntry, parse_preset
from chronotope.schema.observations import REPORTER_SOURCE, REPORTER_TARGET, REPORTER_UNSAID

UNIT_S = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_REPORTERS = {"": REPORTER_UNSAID, "source": REPORTER_SOURCE, "target": REPORTER_TARGET}


class Adds(IntFlag):
    """The measure to which the increases of a series are added."""

    CALLS = 1
    ERRORS = 2
    CONNECTIONS = 4
    FAILED_CONNECTIONS = 8
    BYTES_SENT = 16
    BYTES_RECEIVED = 32
    RETRANSMITS = 64
    LATENCY_SUM = 128
    LATENCY_COUNT = 256
    LATENCY_BUCKET = 512
    NATIVE = 1024  # the series itself is a native histogram: floats under its name mean nothing


_PLAIN = {
    "calls": Adds.CALLS,
    "errors": Adds.ERRORS,
    "connections": Adds.CONNECTIONS,
    "failed_connections": Adds.FAILED_CONNECTIONS,
    "bytes_sent": Adds.BYTES_SENT,
    "bytes_received": Adds.BYTES_RECEIVED,
    "retransmits": Adds.RETRANSMITS,
}
_TOGETHER = ("errors", "failed_connections", "retransmits")  # measures beside calls, never instead of them
_LATER = 1 << 20  # more than there are metrics in mappings
_HISTOGRAM = {"_bucket": Adds.LATENCY_BUCKET, "_sum": Adds.LATENCY_SUM, "_count": Adds.LATENCY_COUNT}


@dataclass(frozen=True, slots=True)
class Reporter:
    """Which end counted, by a label or always."""

    entry: ReporterEntry
    source: Condition
    target: Condition

    @classmethod
    def of(cls, entry: ReporterEntry) -> Reporter:
        """Return the rule of a configuration's entry."""
        source, target = (Condition(entry.label, tuple(map(re.compile, p))) for p in (entry.source, entry.target))
        return cls(entry, source, target)

    def code(self, labels: Labels) -> int:
        """Return the reporter's code in observations."""
        if self.entry.always or not self.entry.label:
            return _REPORTERS[self.entry.always]
        if self.source.holds(labels):
            return REPORTER_SOURCE
        return REPORTER_TARGET if self.target.holds(labels) else REPORTER_UNSAID


@dataclass(frozen=True, slots=True)
class Rule:
    """A mapping, compiled."""

    entry: MappingEntry
    preset: str
    source: EndRule
    target: EndRule
    protocol: tuple[Template, ...]
    reporter: Reporter
    where: tuple[Condition, ...]
    extract: tuple[tuple[str, re.Pattern[str]], ...]
    nothing: frozenset[str]

    @classmethod
    def of(cls, entry: MappingEntry, preset: str = "") -> Rule:
        """Return the rule of a configuration's entry."""
        return cls(
            entry,
            preset,
            EndRule.of(entry.source),
            EndRule.of(entry.target),
            tuple(map(Template.parse, entry.protocol)),
            Reporter.of(entry.reporter),
            conditions(entry.where),
            tuple((part.label, re.compile(part.pattern)) for part in entry.extract),
            frozenset(value.lower() for value in entry.unknown_values),
        )

    @property
    def one_ended(self) -> bool:
        """Whether its labels can never say who calls."""
        return self.entry.source.says_nothing

    def extracted(self, labels: Labels) -> Labels:
        """Return the labels with those extracted from others. Existing labels stay."""
        if not self.extract:
            return labels
        more = dict(labels)
        for label, pattern in self.extract:
            if match := pattern.fullmatch(labels.get(label, "")):
                for name, value in match.groupdict().items():
                    more.setdefault(name, value or "")
        return more


class Use(NamedTuple):
    """A way to use the series of one name."""

    rule: Rule
    family: FamilyEntry
    adds: Adds
    where: tuple[Condition, ...]
    errors: tuple[Condition, ...]
    codes: tuple[Template, ...] = ()
    same_calls: str = ""  # metrics that count the same calls, of which the lowest rank counts
    rank: int = 0

    def applies(self, labels: Labels) -> bool:
        """Whether the conditions of the mapping and of the family hold."""
        return all_hold(self.rule.where, labels) and all_hold(self.where, labels)

    def added(self, labels: Labels) -> Adds:
        """Return the measure to which a series with these labels is added."""
        return self.adds | Adds.ERRORS if Adds.CALLS in self.adds and any_holds(self.errors, labels) else self.adds

    def code(self, labels: Labels) -> str:
        """Return the response code of the calls of a series; empty when none is said. Every value says something."""
        return first_known(self.codes, labels, ()) if Adds.CALLS in self.adds else ""


class Rules:
    """All mappings in use, by the names of series."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.uses: dict[str, list[Use]] = {}
        pairs = ((rule, *pair) for rule in rules for pair in rule.entry.families.items())
        for order, (rule, family, entry) in enumerate(pairs):
            codes, same = tuple(map(Template.parse, entry.codes)), _same_calls(rule, family, entry)
            for name, adds in _series(family, entry):
                rank = _rank(order, entry, adds)
                use = Use(rule, entry, adds, conditions(entry.where), conditions(entry.errors), codes, same, rank)
                self.uses.setdefault(name, []).append(use)

    def wanted(self, name: str) -> bool:
        """Whether some mapping uses series of a name in texts, which have no native histograms."""
        return any(Adds.NATIVE not in use.adds for use in self.of(name) or ())

    def selected(self, name: str) -> bool:
        """Whether some mapping uses series of a name in a Prometheus."""
        return self.of(name) is not None

    def of(self, name: str) -> list[Use] | None:
        """Return the ways to use series of a name, which may be written with dots; None when there is none."""
        return self.uses.get(plain_name(name))

    @property
    def names(self) -> list[str]:
        """The names of all series that some mapping uses, sorted."""
        return sorted(self.uses)


def rules_of(section: MetricsSection) -> Rules:
    """Return the mappings that a configuration wants: its own, then its presets, in its order."""
    own = [Rule.of(entry) for entry in section.mappings]
    return Rules([*own, *(rule for preset in section.presets for rule in preset_rules(preset))])


@cache
def preset_rules(preset: str) -> tuple[Rule, ...]:
    """Return the mappings of a preset."""
    file = resources.files("chronotope.ingest.metrics") / "presets" / f"{preset}.yaml"
    entries = parse_preset(file.read_text("utf-8"), f"presets/{preset}.yaml")
    return tuple(Rule.of(entry, preset) for entry in entries)


def _same_calls(rule: Rule, family: str, entry: FamilyEntry) -> str:
    """Return what the metrics of the same calls have in common; empty: none counts them once more."""
    if entry.measure in _TOGETHER:
        return ""
    # Prometheus may hold a histogram twice, as classic and as native.
    own = f"{rule.entry.name} {family}" if entry.measure in ("latency", "calls_and_latency") else ""
    return rule.entry.same_calls or own


def _rank(order: int, entry: FamilyEntry, adds: Adds) -> int:
    """Return a metric's rank among those of the same calls: with latencies first, native before classic."""
    return 2 * (order + _LATER * (entry.measure != "calls_and_latency")) + (Adds.NATIVE not in adds)


def _series(family: str, entry: FamilyEntry) -> Iterable[tuple[str, Adds]]:
    """Return the names of a family's series, and what each is added to."""
    if entry.measure not in ("latency", "calls_and_latency"):
        return [(family, _PLAIN[entry.measure])]
    count = Adds.LATENCY_COUNT | Adds.CALLS if entry.measure == "calls_and_latency" else Adds.LATENCY_COUNT
    roles: Mapping[str, Adds] = {**_HISTOGRAM, "_count": count, "": count | Adds.NATIVE}
    return [(family + suffix, adds) for suffix, adds in roles.items()]
