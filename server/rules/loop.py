"""Evaluate all rules once a bucket, and keep their alerts: the only part of rules with a clock and a thread.

Invariant: an evaluation is for a bucket's end, with what the store has then. Transitions are stored before listeners
are called. States are read from the store each time: a server that starts again, or a second one, goes on from there. A
rule that cannot be evaluated leaves its alerts as they are.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from chronotope.schema.config.rules import RuleEntry
from chronotope.schema.errors import ChronotopeError, StoreClosed
from chronotope.schema.observations import BUCKET_S
from chronotope.schema.repeating import Repeating, log_failure
from chronotope.schema.storage.store import Store
from chronotope.server.events.event import RULE_VIOLATION, Event, edge_of, event_id
from chronotope.server.events.table import write_events
from chronotope.server.evidence.settings import Settings
from chronotope.server.rules.alert import Alert
from chronotope.server.rules.catalog import read_catalog
from chronotope.server.rules.disputes import Disputes
from chronotope.server.rules.evaluation import Found, evaluate
from chronotope.server.rules.firing import State, transitions
from chronotope.server.rules.sums import SharedSums
from chronotope.server.rules.table import Standing, read_alerts, write_alerts

LAG_S = 5  # after a bucket's end, for what is still on its way
_BUCKET_MS = BUCKET_S * 1000

logger = logging.getLogger(__name__)
Listener = Callable[[Sequence[Standing], bool], None]


class RuleMetrics:
    """The metrics of rules. Labels come from the configuration, so their number is bounded."""

    def __init__(self, registry: CollectorRegistry) -> None:
        named = ("rule", "severity")
        self.firing = Gauge("chronotope_rule_firing", "Alerts that fire.", named, registry=registry)
        self.pending = Gauge("chronotope_rule_pending", "Alerts that hold, but not for long.", named, registry=registry)
        self.beyond = Gauge(
            "chronotope_rule_beyond", "Alerts above the 1,000 kept of a rule.", ["rule"], registry=registry
        )
        self.fired = Counter("chronotope_rule_fired", "Alerts that began to fire.", named, registry=registry)
        self.evaluations = Counter("chronotope_rule_evaluations", "Evaluations of a rule.", ["rule"], registry=registry)
        self.failures = Counter(
            "chronotope_rule_evaluation_failures", "Evaluations that failed.", ["rule"], registry=registry
        )
        self.disputed = Gauge(
            "chronotope_rules_disputed", "Rules that another server of this store judges otherwise.", registry=registry
        )
        self.seconds = Histogram(
            "chronotope_rules_duration_seconds", "Time that all rules of a bucket took.", registry=registry
        )


@dataclass(slots=True)
class RuleLoop:
    """Evaluates rules in a thread of its own, and passes the alerts and their states to listeners."""

    store: Store
    rules: Sequence[RuleEntry]
    settings: Settings
    metrics: RuleMetrics
    remember_s: int = 86_400
    listeners: list[Listener] = field(default_factory=list)
    rounds: Repeating = field(init=False)
    _last_ms: int = 0
    _written: bool = False
    _disputes: Disputes = field(default_factory=Disputes)
    _disputed: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Prepare the thread; nothing runs until `start`."""
        failed = partial(log_failure, logger, "rules are not evaluated; the next bucket tries again")
        self.rounds = Repeating("rules", self._next_bucket, failed, lambda: 0.5, pause_first=True)

    def start(self) -> None:
        """Begin with the next bucket."""
        for rule in self.rules:
            self.metrics.firing.labels(rule.name, rule.severity).set(0)
            self.metrics.fired.labels(rule.name, rule.severity)
            self.metrics.failures.labels(rule.name)
        self.rounds.start()

    def _next_bucket(self) -> None:
        at_ms = (self.settings.clock() - LAG_S * 1000) // _BUCKET_MS * _BUCKET_MS
        if at_ms > self._last_ms:
            self._last_ms = at_ms  # a bucket that fails is skipped
            self.tick(at_ms)

    def tick(self, at_ms: int) -> None:
        """Evaluate all rules at a bucket's end, store what changed, and call the listeners.

        Raises:
            StoreError: nothing is changed, or it will be found again.
        """
        began = time.perf_counter()
        standing = read_alerts(self.store, at_ms - self.remember_s * 1000)
        found = self._evaluate(at_ms)
        self._dispute(standing, found, at_ms)
        changed = list(_changes(standing, self.rules, found, at_ms))
        if changed:
            write_alerts(self.store, changed)
        fired = [own for own in changed if own.state.fired_ms == at_ms]
        # What fired before a crash may lack its event; an event that is written again is still one event.
        firing = fired if self._written else [own for own in _after(standing, changed, found) if own.state.firing]
        write_events(self.store, [violation(own, self.settings.clock()) for own in firing])
        self._written = True
        now = _after(standing, changed, found)
        self._count(now, fired, found)
        self.metrics.seconds.observe(time.perf_counter() - began)
        for listener in self.listeners:
            listener(now, bool(changed))

    def _dispute(self, standing: Sequence[Standing], found: Mapping[str, Found], at_ms: int) -> None:
        """Warn when another server undoes what this one writes: its rules differ."""
        disputed = self._disputes.see(standing, {rule.name for rule in self.rules}, found, at_ms)
        for name in sorted(disputed - self._disputed):
            logger.warning(
                "rules: another server of this store judges %s otherwise, so its alerts come and go; "
                "give all servers of a store the same rules",
                name,
            )
        self._disputed = disputed
        self.metrics.disputed.set(len(disputed))

    def _evaluate(self, at_ms: int) -> dict[str, Found]:
        found: dict[str, Found] = {}
        now_ms, retention = self.settings.clock(), self.settings.retention
        catalog, shared = read_catalog(self.store, at_ms), SharedSums(self.rules)
        for rule in self.rules:
            self.metrics.evaluations.labels(rule.name).inc()
            try:
                found[rule.name] = evaluate(self.store, catalog, rule, at_ms, retention, now_ms, shared)
            except StoreClosed:
                raise
            except ChronotopeError as error:
                self.metrics.failures.labels(rule.name).inc()
                logger.warning("rule %s cannot be evaluated: %s", rule.name, error)
        return found

    def _count(self, standing: Sequence[Standing], fired: Sequence[Standing], found: Mapping[str, Found]) -> None:
        for rule in self.rules:
            states = [own.state for own in standing if own.alert.rule == rule.name]
            self.metrics.firing.labels(rule.name, rule.severity).set(sum(state.firing for state in states))
            self.metrics.pending.labels(rule.name, rule.severity).set(sum(not state.fired_ms for state in states))
            self.metrics.fired.labels(rule.name, rule.severity).inc(sum(own.alert.rule == rule.name for own in fired))
            if rule.name in found:
                self.metrics.beyond.labels(rule.name).set(found[rule.name].beyond)


def violation(own: Standing, now_ms: int) -> Event:
    """Return the event that says that an alert fires."""
    alert, state, subject = own.alert, own.state, own.alert.subject
    edge = edge_of(subject.source, subject.target, subject.protocol) if subject.source else None
    return Event(
        id=event_id(RULE_VIOLATION, alert.rule, state.since_ms, alert.fingerprint),
        type=RULE_VIOLATION,
        time_ms=state.fired_ms,
        evident_ms=state.fired_ms,
        detected_ms=now_ms,
        edge=edge,
        rule=alert.rule,
        service="" if edge else subject.services[0],
        title=alert.annotations.get("summary", ""),
        attributes=dict(alert.labels),
    )


def _changes(
    standing: Sequence[Standing], rules: Sequence[RuleEntry], found: Mapping[str, Found], at_ms: int
) -> list[Standing]:
    """The transitions of all rules at an instant; alerts of a removed rule end."""
    alerts: dict[str, Alert] = {own.alert.fingerprint: own.alert for own in standing}
    states: dict[str, dict[str, State]] = {}
    for own in standing:
        states.setdefault(own.alert.rule, {})[own.alert.fingerprint] = own.state
    names = {rule.name: rule.hold_s for rule in rules}
    changed: list[Standing] = []
    for name in sorted({*states, *names}):
        if name in names and name not in found:
            continue  # it could not be evaluated
        holding = found[name].alerts if name in found else {}
        alerts |= holding
        changes = transitions(states.get(name, {}), holding, names.get(name, 0), at_ms)
        changed += [Standing(alerts[key], state) for key, state in changes.items()]
    return changed


def _after(standing: Sequence[Standing], changed: Sequence[Standing], found: Mapping[str, Found]) -> list[Standing]:
    """The alerts after changes, with present texts; an alert that ended and began again is there twice."""
    fresh = {key: alert for one in found.values() for key, alert in one.alerts.items()}
    after = {(own.alert.fingerprint, own.state.since_ms): own for own in (*standing, *changed)}
    return [
        Standing(own.alert if own.state.resolved_ms else fresh.get(own.alert.fingerprint, own.alert), own.state)
        for own in after.values()
        if own.state.fired_ms or not own.state.resolved_ms
    ]
