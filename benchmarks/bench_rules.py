"""Rules: going back over 30 days of hours of 10,000 edges for each kind of condition, and judging one bucket live.

The month is made of a formula, from which every firing can be counted again: every edge has 1,000 calls in each hour,
an error ratio of 1 %, and in two hours of each day, others for each edge, of 20 %; for one edge in ten there is no such
hour. Latency is 1.1 ms, and 9 ms in those hours.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from benchmarks.percentiles import add_percentiles

from chronotope.schema.config.rules import RuleEntry, parse_rules
from chronotope.schema.storage.migrate import migrate
from chronotope.schema.storage.store import Store
from chronotope.server.rules.backtest import RuleCheck, check_rules
from chronotope.server.rules.catalog import read_catalog
from chronotope.server.rules.evaluation import evaluate

END_S = 1_767_225_600  # 2026-01-01T00:00:00Z
HOUR_S, DAY_S = 3600, 86_400
KEPT = {"10s": DAY_S, "1m": DAY_S, "1h": None, "1d": None}
_ONE_BLOCK = "SETTINGS min_insert_block_size_rows = 20000000, min_insert_block_size_bytes = 8000000000"
_ROWS = """
SELECT
    number %% {edges:UInt64} AS edge, intDiv(edge, 5) AS from_,
    (from_ + 1 + (edge %% 5) * 37) %% intDiv({edges:UInt64}, 5) AS to_, intDiv(number, {edges:UInt64}) AS hour,
    edge %% 10 != 0 AND (edge * 7 + hour) %% 24 < 2 AS bad,
    toDateTime({start:UInt32} + hour * 3600, 'UTC') AS time,
    concat('shop/service-', leftPad(toString(from_), 5, '0')) AS source,
    concat('shop/service-', leftPad(toString(to_), 5, '0')) AS target
FROM numbers({edges:UInt64} * {hours:UInt64})
"""
_COUNTS = f"""
INSERT INTO edges_1h (time, source, target, protocol, layer, view, reporter, via, calls, errors, latency_us_sum,
                      latency_count)
SELECT time, source, target, 'grpc', 'trace', 0, 1, '', 1000, if(bad, 200, 10), if(bad, 9000000, 1100000), 1000
FROM ({_ROWS}) {_ONE_BLOCK}
"""
_LATENCY = f"""
INSERT INTO latency_1h (time, source, target, protocol, layer, view, reporter, via, latency)
SELECT time, source, target, 'grpc', 'trace', 0, 1, '',
    CAST((arrayMap(at -> toUInt8(if(bad, 94, 72) + at), range(4)), [100, 400, 400, 100]), 'Map(UInt8, Int64)')
FROM ({_ROWS}) {_ONE_BLOCK}
"""
_LIFETIMES = """
INSERT INTO edge_lifetimes
SELECT source, target, protocol, layer,
    lower(hex(substring(SHA256(concat(source, '\\0', target, '\\0', protocol)), 1, 8))),
    toDateTime64(min(time), 3, 'UTC'), toDateTime64(max(time), 3, 'UTC')
FROM edges_1h GROUP BY source, target, protocol, layer
"""


@pytest.fixture(scope="module")
def month(request: pytest.FixtureRequest, history_folder: Path) -> Iterator[tuple[Store, int, int]]:
    """A store, how many edges it has, and over how many days."""
    edges, days = request.param
    path = history_folder / f"rules-{edges}x{days}"
    with Store.open(f"chdb://{path}") as store:
        migrate(store)
        if not store.rows("SELECT count() FROM edge_lifetimes")[0][0]:
            values = {"edges": edges, "hours": days * 24, "start": END_S - days * DAY_S}
            for sql in (_COUNTS, _LATENCY):
                store.command(sql.replace("%%", "%"), values)
            store.command(_LIFETIMES)
            print(f"{edges} edges over {days} days are written", file=sys.stderr, flush=True)
        yield store, edges, days


of_months = pytest.mark.sizes("month", [(100, 3)], [(10_000, 30)], indirect=True)
BAD_HOURS = 2


def firings_of(edges: int, days: int) -> int:
    """How often the bad hours of an edge begin, over all edges; an hour at an end may be half of a pair."""
    total = 0
    for edge in range(edges):
        if edge % 10:
            bad = [(edge * 7 + hour) % 24 < BAD_HOURS for hour in range(days * 24)]
            total += sum(now and not before for now, before in zip(bad, [False, *bad], strict=False))
    return total


RULES: dict[str, tuple[str, Callable[[int, int], int]]] = {
    "errors": ("{error_ratio: {above: 5%}}", firings_of),
    "latency": ("{latency: {quantile: 0.9, above_ms: 5}}", firings_of),
    "rate": ("{calls_per_second: {below: 0.1}}", lambda *_: 0),
    "forbidden": ("{forbidden: true}", lambda edges, _: edges),
    "fan_out": ("{fan_out: {above: 4}}", lambda edges, _: edges // 5),
    "cycle": ("{cycle: true}", lambda *_: 1),
}


def rule_of(when: str) -> RuleEntry:
    return parse_rules(f"rules: [{{name: one, when: {when}}}]", "bench")[0]


@of_months
@pytest.mark.parametrize("kind", RULES)
def test_back_test_over_a_month(benchmark: Any, month: tuple[Store, int, int], kind: str) -> None:
    store, edges, days = month
    when, expected = RULES[kind]
    rule = rule_of(when)

    def check() -> RuleCheck:
        window = ((END_S - days * DAY_S) * 1000, END_S * 1000)
        return check_rules(store, [rule], *window, KEPT, END_S * 1000).rules[0]

    found = benchmark.pedantic(check, rounds=3, warmup_rounds=0)
    assert found.resolution_seconds == HOUR_S
    assert found.fired == expected(edges, days)


@of_months
@pytest.mark.parametrize("kind", RULES)
def test_one_bucket_live(benchmark: Any, month: tuple[Store, int, int], kind: str) -> None:
    """The last hour, as the loop judges it: with all that it reads."""
    store, edges, _ = month
    rule = rule_of(RULES[kind][0]).model_copy(update={"window": HOUR_S})

    def judge() -> int:
        found = evaluate(store, read_catalog(store, END_S * 1000), rule, END_S * 1000, KEPT, END_S * 1000)
        return len(found.alerts) + found.beyond

    count = benchmark.pedantic(judge, rounds=20, warmup_rounds=2)
    add_percentiles(benchmark)
    bad = sum(edge % 10 > 0 and (edge * 7 + 23) % 24 < BAD_HOURS for edge in range(edges))
    assert count == {"forbidden": edges, "fan_out": edges // 5, "cycle": 1, "rate": 0}.get(kind, bad)
