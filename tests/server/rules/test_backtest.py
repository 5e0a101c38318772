"""Going back over history says what a server that had run then would have said."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.server.rules.history import BUCKETS, KEEP_ALL, T0, rules_of, write_traffic

from chronotope.schema.config.events import EventsSection
from chronotope.schema.config.rules import RuleEntry
from chronotope.schema.storage.store import Store
from chronotope.schema.times import format_time
from chronotope.server.detection.watcher import find_events
from chronotope.server.rules.backtest import check_rules
from chronotope.server.rules.catalog import Catalog, read_catalog
from chronotope.server.rules.evaluation import evaluate
from chronotope.server.rules.firing import State, transitions
from chronotope.server.rules.sums import SharedSums

END = T0 + BUCKETS * 10
NOW_MS = (END + 3600) * 1000
RULES = {
    "forbidden": "{match: {source: 'dev/*', target_namespace: prod}, when: {forbidden: true}, window: 20s}",
    "not": "{match: {target: ledger, not: {source: [billing]}}, when: {forbidden: true}, window: 30s, for: 40s}",
    "errors": "{when: {error_ratio: {above: 15%}}, window: 1m, minimum_calls: 20, for: 20s}",
    "few errors": "{match: {layer: trace}, when: {error_ratio: {below: 5%}}, window: 30s, minimum_calls: 10}",
    "latency": "{when: {latency: {quantile: 0.9, above_ms: 0.4}}, window: 1m}",
    "rate": "{when: {calls_per_second: {above: 2}}, window: 1m}",
    "silence": "{match: {source_namespace: shop}, when: {calls_per_second: {below: 0.3}}, window: 1m, for: 30s}",
    "fan out": "{when: {fan_out: {above: 2}}, window: 30s}",
    "fan in": "{match: {not: {source_namespace: dev}}, when: {fan_in: {above: 2}}, window: 30s}",
    "circle": "{when: {cycle: true}, window: 30s}",
    "new": "{when: {new: true}, keep: 2m}",
}


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    with Store.open("chdb://memory") as opened:
        write_traffic(opened, 7)
        find_events(opened, EventsSection(), lambda: NOW_MS)
        yield opened


@pytest.fixture(scope="module")
def catalog(store: Store) -> Catalog:
    return read_catalog(store, NOW_MS)


def lived_through(store: Store, catalog: Catalog, rule: RuleEntry) -> dict[str, list[tuple[int, int]]]:
    """Fingerprint → when its alert fired and ended (-1: not yet), judged at every bucket's end."""
    states: dict[str, State] = {}
    found: dict[str, list[tuple[int, int]]] = {}
    for at_ms in range((T0 + 10) * 1000, END * 1000 + 1, 10_000):
        holding = evaluate(store, catalog, rule, at_ms, KEEP_ALL, NOW_MS).alerts
        for key, state in transitions(states, holding.keys(), rule.hold_s, at_ms).items():
            if state.fired_ms and not state.resolved_ms:
                found.setdefault(key, []).append((state.fired_ms // 1000, -1))
            elif state.fired_ms:
                found[key][-1] = (found[key][-1][0], state.resolved_ms // 1000)
            states[key] = state
    return found


@pytest.mark.parametrize("name", RULES)
def test_it_agrees_with_a_life_lived_through(store: Store, catalog: Catalog, name: str) -> None:
    (rule,) = rules_of(f"  - {{name: {name}, {RULES[name][1:]}")
    lived = lived_through(store, catalog, rule)
    (check,) = check_rules(store, [rule], T0 * 1000, END * 1000, KEEP_ALL, NOW_MS).rules
    every = [piece for own in lived.values() for piece in own]
    assert every, "a rule that never fires tests nothing"
    assert check.fired == len(every)
    assert check.subjects == len(lived)
    assert check.firing_at_end == sum(end < 0 for _, end in every)
    assert check.seconds == sum((end if end > 0 else END) - begin for begin, end in every)
    assert check.first == format_time(min(begin for begin, _ in every) * 1000)
    assert check.last == format_time(max(begin for begin, _ in every) * 1000)
    assert check.resolution_seconds == (0 if name == "new" else 10)
    assert max(len(own) for own in lived.values()) == check.top[0].times


def test_what_rules_share_is_what_each_would_read(store: Store, catalog: Catalog) -> None:
    """Every rule twice, one of them about fewer edges: both are judged by sums that were read once, for all edges."""
    for name, text in RULES.items():
        (rule,) = rules_of(f"  - {{name: {name}, {text[1:]}")
        narrow = rule.model_copy(update={"match": rule.match.model_copy(update={"source": ["shop/*"]})})
        for at_ms in ((T0 + 200) * 1000, END * 1000):
            shared = SharedSums([rule, narrow])
            for own in (rule, narrow):
                alone = evaluate(store, catalog, own, at_ms, KEEP_ALL, NOW_MS)
                assert evaluate(store, catalog, own, at_ms, KEEP_ALL, NOW_MS, shared) == alone


def test_a_long_history_is_judged_by_coarser_steps(store: Store) -> None:
    rules = rules_of("  - {name: any, when: {forbidden: true}, window: 1m}")
    (check,) = check_rules(store, rules, (END - 400 * 86_400) * 1000, END * 1000, KEEP_ALL, NOW_MS).rules
    assert check.resolution_seconds == 3600
    assert check.fired >= check.subjects == check.matched_edges
