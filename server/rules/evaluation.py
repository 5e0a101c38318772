"""Evaluate one rule at one instant, from the store.

Invariant: the result depends only on the store and the instant, so every server finds the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from chronotope.schema.config.rules import RuleEntry
from chronotope.schema.storage.store import Store
from chronotope.server.detection.watcher import Outcome
from chronotope.server.events.event import NEW, RETURNED, VANISHED, Event, EventEdge
from chronotope.server.evidence.columns import keep_edges
from chronotope.server.evidence.levels import plan_window
from chronotope.server.rules.alert import Alert, alert_of
from chronotope.server.rules.catalog import Catalog, matching
from chronotope.server.rules.conditions import Subject, judge, layer_names
from chronotope.server.rules.sums import SharedSums

MOST_ALERTS = 1000  # of one rule at a time: more are not readable
SEEN_WITHIN_S = 86_400  # a dependency unseen for longer has no rate that could be too low
_EVENT_TYPES = {"new": NEW, "vanished": VANISHED, "returned": RETURNED}
_EVENTS = """
SELECT id, source, target, protocol, layers, toUnixTimestamp64Milli(evident_at) AS evident_ms
FROM events FINAL
WHERE evident_at > fromUnixTimestamp64Milli({from:Int64}) AND evident_at <= fromUnixTimestamp64Milli({to:Int64})
  AND type = {type:String} AND withdrawn = 0
"""


@dataclass(frozen=True, slots=True)
class Found:
    """The alerts whose condition holds, by fingerprint; `beyond`: how many more there are."""

    alerts: Mapping[str, Alert]
    beyond: int = 0


def evaluate(
    store: Store,
    catalog: Catalog,
    rule: RuleEntry,
    at_ms: int,
    retention: Mapping[str, int | None],
    now_ms: int,
    shared: SharedSums | None = None,
) -> Found:
    """Return the alerts of a rule whose condition holds at an instant.

    Args:
        store: open and migrated.
        catalog: all dependencies.
        rule: what is evaluated.
        at_ms: Unix milliseconds: the end of the rule's window.
        retention: how long each level is kept.
        now_ms: the clock.
        shared: what rules that are evaluated for the same instant have read.
    """
    wanted = matching(catalog, rule.match)
    if is_of_events(rule):
        return _bounded(_of_events(store, catalog, wanted, rule, at_ms))
    wanted &= catalog.edges.last_seen >= at_ms - 1000 * max(rule.window, SEEN_WITHIN_S)
    if not wanted.any():
        return Found({})
    plan = plan_window(at_ms - rule.window * 1000, at_ms, retention, now_ms)
    edges = keep_edges(catalog.edges, wanted)
    sums = (shared or SharedSums([rule])).of(store, plan, rule, catalog.numbers, wanted)
    judged = judge(rule, edges, sums, plan.start_s)
    rows = np.flatnonzero(judged.holds[:, -1]) if judged.holds.shape[1] else np.empty(0, np.int64)
    alerts = [
        alert_of(rule, judged.subjects[row], float(judged.value[row, -1]), layer_names(int(judged.layers[row, -1])))
        for row in rows[:MOST_ALERTS].tolist()
    ]
    return Found({alert.fingerprint: alert for alert in alerts}, max(len(rows) - MOST_ALERTS, 0))


def is_of_events(rule: RuleEntry) -> bool:
    """Return whether a rule is about dependencies that came or went, not about the graph of a window."""
    return rule.when.name in _EVENT_TYPES


def read_events_of(
    store: Store,
    catalog: Catalog,
    wanted: np.ndarray,
    rule: RuleEntry,
    from_ms: int,
    to_ms: int,
    missing: Outcome | None = None,
) -> list[dict[str, Any]]:
    """Return the events of a rule that became evident in (from, to], of edges that it matches, in order of time.

    Args:
        missing: what detection would still write and withdraw; nothing when it keeps up.
    """
    missing = missing or Outcome()
    parameters = {"from": from_ms, "to": to_ms, "type": _EVENT_TYPES[rule.when.name]}
    edges = catalog.edges
    names = {
        (edges.names[edges.source[at]], edges.names[edges.target[at]], edges.protocols[edges.protocol[at]])
        for at in np.flatnonzero(wanted).tolist()
    }
    layers, gone = set(rule.match.layer), {event.id for event in missing.withdrawn}
    rows = [row for row in store.query(_EVENTS, parameters).to_pylist() if row["id"] not in gone]
    rows += [
        _row(event)
        for event in missing.written
        if event.type == parameters["type"] and from_ms < event.evident_ms <= to_ms
    ]
    return sorted(
        (
            row
            for row in rows
            if (row["source"], row["target"], row["protocol"]) in names and (not layers or layers & set(row["layers"]))
        ),
        key=lambda row: (row["evident_ms"], row["id"]),
    )


def _row(event: Event) -> dict[str, Any]:
    edge = event.edge or EventEdge("", "", "", "")
    found = {"id": event.id, "layers": list(event.layers), "evident_ms": event.evident_ms}
    return found | {"source": edge.source, "target": edge.target, "protocol": edge.protocol}


def _of_events(store: Store, catalog: Catalog, wanted: np.ndarray, rule: RuleEntry, at_ms: int) -> dict[str, Alert]:
    found: dict[str, Alert] = {}
    for row in read_events_of(store, catalog, wanted, rule, at_ms - rule.keep * 1000, at_ms):
        subject = Subject(row["source"], row["target"], row["protocol"])
        alert = alert_of(rule, subject, float("nan"), list(row["layers"]), _EVENT_TYPES[rule.when.name])
        found[alert.fingerprint] = alert
    return found


def _bounded(alerts: dict[str, Alert]) -> Found:
    kept = dict(list(alerts.items())[:MOST_ALERTS])
    return replace(Found(kept), beyond=len(alerts) - len(kept))
