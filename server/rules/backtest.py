"""What rules would have done in the past: how often they would have fired, when, how long, and on what.

Invariant: a back-test and a server that ran at that time agree, to the resolution that is given: the history is judged
at the ends of steps of one level, by the code that judges now; events that were not looked for yet are found. Nothing
is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from msgspec import Struct

from chronotope.schema.config.events import EventsSection
from chronotope.schema.config.rules import RuleEntry
from chronotope.schema.errors import InvalidWindow
from chronotope.schema.storage.store import Store
from chronotope.schema.times import format_time
from chronotope.server.detection.watcher import Outcome, missing_events
from chronotope.server.evidence.columns import keep_edges
from chronotope.server.evidence.levels import LEVELS, Plan, Segment
from chronotope.server.rules.alert import alert_of
from chronotope.server.rules.catalog import Catalog, matching, read_catalog
from chronotope.server.rules.conditions import Judged, Subject, judge
from chronotope.server.rules.evaluation import SEEN_WITHIN_S, is_of_events, read_events_of
from chronotope.server.rules.firing import intervals
from chronotope.server.rules.sums import read_sums

MOST_CELLS = 10_000_000  # edges × steps that are judged at once: 80 MB a sum
_TOP = 10


class Fired(Struct):
    """What a rule would have done on one subject, most often first."""

    labels: dict[str, str]
    times: int
    seconds: int
    first: str
    last: str


class RuleCheck(Struct):
    """What one rule would have done. `resolution_seconds`: how far apart its condition was judged; 0: by events."""

    rule: str
    severity: str
    matched_edges: int
    resolution_seconds: int
    fired: int
    subjects: int
    seconds: int
    longest_seconds: int
    first: str | None
    last: str | None
    firing_at_end: int
    top: list[Fired]


class Checks(Struct, rename={"from_": "from"}):
    """A back-test of rules over [from, to)."""

    from_: str
    to: str
    rules: list[RuleCheck]


@dataclass(frozen=True, slots=True)
class Firings:
    """N times that an alert fires: on which subject, from and until when (Unix seconds; -1: still at the end)."""

    subjects: Sequence[Subject]
    subject: np.ndarray
    begin_s: np.ndarray
    end_s: np.ndarray


def check_rules(
    store: Store,
    rules: Sequence[RuleEntry],
    from_ms: int,
    to_ms: int,
    retention: Mapping[str, int | None],
    now_ms: int,
    events: EventsSection | None = None,
) -> Checks:
    """Return what rules would have done.

    Args:
        store: open and migrated.
        rules: what is checked.
        from_ms: Unix milliseconds; alerts that would have fired in [from, to).
        to_ms: likewise.
        retention: how long each level is kept.
        now_ms: the clock.
        events: how events are found that are not in the store; the defaults when absent.

    Raises:
        InvalidWindow: empty.
        StoreError: the store cannot answer.
    """
    if to_ms <= from_ms:
        raise InvalidWindow(f"the window from {format_time(from_ms)} to {format_time(to_ms)} is empty")
    catalog = read_catalog(store, to_ms)
    missing = Outcome()
    if any(map(is_of_events, rules)):
        missing = missing_events(store, events or EventsSection(), lambda: now_ms)
    checks = []
    for rule in rules:
        wanted = matching(catalog, rule.match)
        if is_of_events(rule):
            size, firings = 0, _of_events(store, catalog, wanted, rule, (from_ms, to_ms), missing)
        else:
            seen = wanted & (catalog.edges.first_seen < to_ms)
            seen &= catalog.edges.last_seen >= from_ms - SEEN_WITHIN_S * 1000
            size, firings = _of_windows(store, catalog, seen, rule, (from_ms, to_ms), retention, now_ms)
        checks.append(_summed_up(rule, int(wanted.sum()), size, firings, to_ms // 1000))
    return Checks(format_time(from_ms), format_time(to_ms), checks)


def _of_windows(
    store: Store,
    catalog: Catalog,
    wanted: np.ndarray,
    rule: RuleEntry,
    window_ms: tuple[int, int],
    retention: Mapping[str, int | None],
    now_ms: int,
) -> tuple[int, Firings]:
    edges, numbers = keep_edges(catalog.edges, wanted), catalog.numbers.keep(wanted)
    level, size = _resolution(rule, len(edges), window_ms, retention, now_ms)
    lead = max(rule.window // size, 1) - 1
    start = window_ms[0] // 1000 // size * size - lead * size
    end = -(-window_ms[1] // 1000 // size) * size
    if not len(edges):
        none = np.empty(0, np.int64)
        return size, Firings([], none, none, none)
    plan = Plan(start, end, size, (Segment(level, start, end),))
    judged = judge(rule, edges, read_sums(store, plan, size, rule, numbers), start)
    return size, _fired(judged, start + (lead + 1) * size, size, -(-rule.hold_s // size))


def _resolution(
    rule: RuleEntry, edges: int, window_ms: tuple[int, int], retention: Mapping[str, int | None], now_ms: int
) -> tuple[str, int]:
    """The finest level that is still kept, and whose history can be judged at once."""
    span_s = (window_ms[1] - window_ms[0]) // 1000 + rule.window
    for level, size in LEVELS:
        age = retention.get(level)
        kept = age is None or window_ms[0] // 1000 - rule.window >= now_ms // 1000 - age
        if kept and span_s // size * max(edges, 1) <= MOST_CELLS:
            return level, size
    return LEVELS[-1]


def _fired(judged: Judged, first_end_s: int, step_s: int, hold_steps: int) -> Firings:
    row, begin, end = intervals(judged.holds, hold_steps)
    steps = judged.holds.shape[1]
    ends = np.where(end < steps, first_end_s + end * step_s, -1)
    return Firings(judged.subjects, row, first_end_s + begin * step_s, ends)


def _of_events(
    store: Store,
    catalog: Catalog,
    wanted: np.ndarray,
    rule: RuleEntry,
    window_ms: tuple[int, int],
    missing: Outcome,
) -> Firings:
    """An alert about an event lasts for `keep`, and longer when another event comes before it ends."""
    from_ms, to_ms = window_ms
    found: dict[Subject, list[list[int]]] = {}
    for row in read_events_of(store, catalog, wanted, rule, from_ms - 1, to_ms - 1, missing):
        at = row["evident_ms"] // 1000
        own = found.setdefault(Subject(row["source"], row["target"], row["protocol"]), [])
        if own and at <= own[-1][1]:
            own[-1][1] = at + rule.keep
        else:
            own.append([at, at + rule.keep])
    pieces = [(number, *piece) for number, own in enumerate(found.values()) for piece in own]
    columns = np.array(pieces, np.int64).reshape(-1, 3)
    ends = np.where(columns[:, 2] < to_ms // 1000, columns[:, 2], -1)
    return Firings(list(found), columns[:, 0], columns[:, 1], ends)


def _summed_up(rule: RuleEntry, matched: int, size: int, firings: Firings, end_s: int) -> RuleCheck:
    lasts = np.where(firings.end_s < 0, end_s, firings.end_s) - firings.begin_s
    count = len(firings.subjects)
    times = np.bincount(firings.subject, minlength=count)
    seconds = np.bincount(firings.subject, lasts, count)
    order = np.lexsort((np.arange(count), -seconds, -times))
    top = [_fired_of(rule, firings, int(at), int(times[at]), int(seconds[at])) for at in order[:_TOP] if times[at]]
    begin = firings.begin_s
    return RuleCheck(
        rule.name, rule.severity, matched, size, len(begin), int((times > 0).sum()), int(lasts.sum()),
        int(lasts.max(initial=0)), _time(begin.min()) if len(begin) else None,
        _time(begin.max()) if len(begin) else None,
        int((firings.end_s < 0).sum()), top,
    )  # fmt: skip


def _fired_of(rule: RuleEntry, firings: Firings, at: int, times: int, seconds: int) -> Fired:
    own = firings.begin_s[firings.subject == at]
    labels = dict(alert_of(rule, firings.subjects[at], float("nan"), []).labels)
    return Fired(labels, times, seconds, _time(own.min()), _time(own.max()))


def _time(at_s: np.integer) -> str:
    return format_time(int(at_s) * 1000)
