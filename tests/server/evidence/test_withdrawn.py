"""Edges that were estimated behind an intermediary and taken back: they were never there."""

from __future__ import annotations

import pyarrow as pa

from chronotope.schema.config.config import Config
from chronotope.schema.observations import RESOLVED_ONLY, observation_table
from chronotope.schema.storage.store import Store
from chronotope.server.evidence.settings import KEEP_ALL
from chronotope.server.evidence.windows import read_known
from chronotope.server.rules.backtest import check_rules

T0 = 1_700_006_400
STAMP = pa.timestamp("ms", tz="UTC")
RULES = {"rules": [{"name": "quiet", "when": {"calls_per_second": {"below": 1}}, "window": "1m"}]}


def resolve(store: Store, source: str, target: str, at: int, connections: int) -> None:
    """Write resolved evidence as the resolution of intermediaries does; negative: it takes that back."""
    measures = {"connections": [connections], "bytes_sent": [100 * connections], "bytes_received": [50 * connections]}
    row = {"time": [at], "layer": "network", "source": source, "target": target, "protocol": "tcp", "via": "edge/lb"}
    store.insert("observations", observation_table({**row, "view": RESOLVED_ONLY, "reporter": 3, **measures}))
    noted = {
        "epoch": pa.array([at // 600 * 600], pa.uint32()),
        **{name: [row[name]] for name in ("source", "target", "protocol", "via")},
        "confidence": pa.array([0.8 if connections > 0 else 0.0], pa.float32()),
        "inferred": pa.array([int(connections > 0)], pa.uint8()),
        "resolved_at": pa.array([(at + 20 + (connections < 0)) * 1000], pa.int64()).cast(STAMP),
    }
    store.insert("resolutions", pa.table(noted))


def write_estimates(store: Store) -> None:
    """`ghost` was taken back, `late` in one epoch and not in another, `kept` never; traces know `ghost` of `other`."""
    for target in ("ghost", "late", "kept"):
        resolve(store, "x", target, T0, 7)
    for target in ("ghost", "late"):
        resolve(store, "x", target, T0, -7)
    resolve(store, "x", "late", T0 + 7200, 3)
    resolve(store, "other", "ghost", T0, 4)
    resolve(store, "other", "ghost", T0, -4)
    seen = {"time": [T0], "layer": "trace", "source": "other", "target": "ghost", "protocol": "tcp", "calls": [2]}
    store.insert("observations", observation_table(seen))


def test_an_estimate_that_was_taken_back_is_no_known_edge(any_store: Store) -> None:
    write_estimates(any_store)
    edges, numbers = read_known(any_store)
    found = {
        (edges.names[s], edges.names[t]) for s, t in zip(edges.source.tolist(), edges.target.tolist(), strict=True)
    }
    assert found == {("x", "late"), ("x", "kept"), ("other", "ghost")}
    assert len(numbers) == len(edges) == 3


def test_no_rule_says_that_an_edge_which_never_was_is_too_quiet(store: Store) -> None:
    write_estimates(store)
    rules = Config.model_validate(RULES).rules
    checks = check_rules(store, rules, T0 * 1000, (T0 + 3600) * 1000, KEEP_ALL, (T0 + 8000) * 1000)
    quiet = {(firing.labels["source"], firing.labels["target"]) for firing in checks.rules[0].top}
    assert quiet >= {("x", "kept"), ("other", "ghost")}
    assert ("x", "ghost") not in quiet
