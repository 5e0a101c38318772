"""The loop of rules over a real store: alerts outlive it, two of them agree, and one rule's trouble is its own."""

from __future__ import annotations

import time
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from tests.server.rules.history import rules_of

from chronotope.schema.observations import observation_table
from chronotope.schema.storage.store import Store
from chronotope.server.events.table import read_events
from chronotope.server.evidence.settings import Settings
from chronotope.server.rules.loop import RuleLoop, RuleMetrics
from chronotope.server.rules.table import Standing, read_alerts

T0 = 1_700_006_400
FORBIDDEN = "  - {name: dev to prod, match: {source_namespace: dev}, when: {forbidden: true}, window: 10s, for: 20s}"


@pytest.fixture
def store(store: Store) -> Store:
    calls = [T0 + at for at in (0, 10, 20, 30, 60)]
    store.insert(
        "observations",
        observation_table({"time": calls, "layer": "trace", "source": "dev/a", "target": "prod/b", "calls": 1}),
    )
    return store


def rule_loop(store: Store, text: str = FORBIDDEN) -> tuple[RuleLoop, CollectorRegistry]:
    registry = CollectorRegistry()
    settings = Settings(clock=lambda: (T0 + 3600) * 1000)
    return RuleLoop(store, rules_of(text) if text else [], settings, RuleMetrics(registry)), registry


def standing(store: Store) -> list[tuple[int, int, int]]:
    """(since, fired, resolved), seconds after T0."""
    return [
        tuple(max(at // 1000 - T0, -1) for at in (own.state.since_ms, own.state.fired_ms, own.state.resolved_ms))  # type: ignore[misc]
        for own in read_alerts(store, 0)
    ]


def test_alerts_outlive_their_loops_and_two_of_them_agree(store: Store) -> None:
    """Every bucket is judged by two new loops, as if both had just started."""
    seen: list[list[tuple[int, int, int]]] = []
    for at in range(10, 80, 10):
        for _ in range(2):
            rule_loop(store)[0].tick((T0 + at) * 1000)
        seen.append(standing(store))
    assert seen == [
        [(10, -1, -1)],
        [(10, -1, -1)],
        [(10, 30, -1)],
        [(10, 30, -1)],
        [(10, 30, 50)],
        [(10, 30, 50)],
        [(10, 30, 50), (70, -1, -1)],
    ]
    (event,) = read_events(store, 0, (T0 + 3600) * 1000, types=["rule_violation"])
    assert event.edge is not None
    assert (event.rule, event.edge.source, event.edge.target) == ("dev to prod", "dev/a", "prod/b")


def test_listeners_hear_what_stands_and_whether_it_changed(store: Store) -> None:
    heard: list[tuple[list[int], bool]] = []
    own, registry = rule_loop(store)
    own.listeners.append(lambda now, changed: heard.append(([alert.state.fired_ms > 0 for alert in now], changed)))
    for at in (10, 20, 30, 40):
        own.tick((T0 + at) * 1000)
    assert heard == [([False], True), ([False], False), ([True], True), ([True], False)]
    labels = {"rule": "dev to prod", "severity": "warning"}
    assert registry.get_sample_value("chronotope_rule_firing", labels) == 1
    assert registry.get_sample_value("chronotope_rule_fired_total", labels) == 1
    assert registry.get_sample_value("chronotope_rule_pending", labels) == 0


def test_the_alerts_of_a_rule_that_is_gone_end(store: Store) -> None:
    for at in (10, 20, 30):
        rule_loop(store)[0].tick((T0 + at) * 1000)
    rule_loop(store, "  - {name: other, when: {new: true}}")[0].tick((T0 + 40) * 1000)
    assert standing(store) == [(10, 30, 40)]


@pytest.mark.parametrize(
    "others",
    [
        FORBIDDEN.replace("source_namespace: dev", "source_namespace: nobody"),
        FORBIDDEN.replace("dev to prod", "another"),
        FORBIDDEN.replace("forbidden: true", "calls_per_second: {above: 2}"),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_servers_with_other_rules_say_so(store: Store, others: str, first: bool, caplog: Any) -> None:
    """Each undoes what the other writes, whoever comes first: one of them at least sees it, and says it once."""
    calls = [T0 + at for at in range(100, 200, 10)]
    columns = {"time": calls, "layer": "trace", "source": "dev/a", "target": "prod/b", "calls": 1}
    store.insert("observations", observation_table(columns))
    pair = [rule_loop(store), rule_loop(store, others)]
    for at in range(110, 200, 10):
        for own, _ in pair if first else pair[::-1]:
            own.tick((T0 + at) * 1000)
    assert max(registry.get_sample_value("chronotope_rules_disputed") or 0 for _, registry in pair) >= 1
    said = [record.getMessage() for record in caplog.records if "the same rules" in record.getMessage()]
    assert 1 <= len(said) <= 2, "each once"


def test_servers_with_the_same_rules_do_not_dispute(store: Store, caplog: Any) -> None:
    """Not even when evidence comes between the two once, or one of them has started late."""
    pair = [rule_loop(store), rule_loop(store)]
    for at in range(10, 120, 10):
        pair[0][0].tick((T0 + at) * 1000)
        if at == 40:
            columns = {"time": [T0 + 35], "layer": "trace", "source": "dev/c", "target": "prod/b", "calls": 1}
            store.insert("observations", observation_table(columns))
        if at > 20:
            pair[1][0].tick((T0 + at) * 1000)
    assert [registry.get_sample_value("chronotope_rules_disputed") for _, registry in pair] == [0, 0]
    assert caplog.records == []


def test_a_rule_that_cannot_be_judged_leaves_its_alerts_and_the_others(store: Store) -> None:
    """The table of latencies is away: a rule about them fails, as long as it lasts."""
    slow = "  - {name: slow, when: {latency: {above_ms: 1}}, window: 10s}"
    own, registry = rule_loop(store, f"{FORBIDDEN}\n{slow}")
    store.command("RENAME TABLE latency_10s TO away")
    for at in (10, 20, 30):
        own.tick((T0 + at) * 1000)
    assert registry.get_sample_value("chronotope_rule_evaluation_failures_total", {"rule": "slow"}) == 3
    store.command("RENAME TABLE away TO latency_10s")
    own.tick((T0 + 40) * 1000)
    assert registry.get_sample_value("chronotope_rule_evaluation_failures_total", {"rule": "slow"}) == 3
    assert standing(store) == [(10, 30, -1)]


def test_a_store_that_takes_no_alert_delays_it(store: Store) -> None:
    """The table is away as it would be on a full disk: the thread goes on, and the alert comes when it can."""
    own, _ = rule_loop(store, FORBIDDEN.replace("for: 20s", "for: 0s"))
    now = [T0 * 1000 + 15_000]
    own.settings = Settings(clock=lambda: now[0])
    told: list[list[Standing]] = []
    own.listeners.append(lambda alerts, _: told.append(list(alerts)))
    store.command("RENAME TABLE alerts TO away")
    own.start()
    time.sleep(1.5)
    assert told == []
    store.command("RENAME TABLE away TO alerts")
    now[0] += 10_000
    deadline = time.monotonic() + 20
    while not told and time.monotonic() < deadline:
        time.sleep(0.05)
    own.rounds.stop(5)
    assert [alert.state.firing for alert in told[0]] == [True]
