"""Twelve minutes of random traffic of a few services, and rules about it."""

from __future__ import annotations

import numpy as np

from chronotope.schema.config.rules import RuleEntry, parse_rules
from chronotope.schema.observations import observation_table
from chronotope.schema.storage.migrate import migrate
from chronotope.schema.storage.store import Store

T0 = 1_700_006_400
BUCKETS = 72
KEEP_ALL = dict.fromkeys(("10s", "1m", "1h", "1d"), None)
SERVICES = ("dev/tool", "shop/front", "shop/cart", "shop/pay", "prod/ledger", "ops/billing")


def rules_of(text: str) -> list[RuleEntry]:
    return parse_rules(f"rules:\n{text}", "test.yaml")


def write_traffic(store: Store, seed: int) -> None:
    """Edges that come and go in every layer; both ends report some of the ipc."""
    migrate(store)
    random = np.random.default_rng(seed)
    columns: dict[str, list[object]] = {
        name: [] for name in ("time", "layer", "source", "target", "protocol", "reporter", "calls", "errors",
                              "connections", "bytes_sent", "latency_us_sum", "latency_count", "latency")
    }  # fmt: skip
    for source in SERVICES:
        for target in SERVICES:
            layer = str(random.choice(["trace", "ipc", "network"]))
            if source == target or random.random() < 0.15:
                continue
            for reporter in (1, 2) if layer == "ipc" else (1,):
                _write_edge(columns, random, layer, source, target, reporter)
    store.insert("observations", observation_table(columns))


def _write_edge(
    columns: dict[str, list[object]], random: np.random.Generator, layer: str, source: str, target: str, reporter: int
) -> None:
    alive = np.repeat(random.random(BUCKETS // 6) < 0.6, 6) & (random.random(BUCKETS) < 0.7)
    for at in np.flatnonzero(alive).tolist():
        calls = int(random.integers(1, 30))
        flows = layer == "network"
        bucket = int(random.integers(40, 70))
        row = {
            "time": T0 + 10 * at, "layer": layer, "source": source, "target": target, "protocol": "grpc",
            "reporter": reporter, "calls": 0 if flows else calls,
            "errors": 0 if flows else int(random.binomial(calls, random.choice([0.0, 0.3]))),
            "connections": calls if flows else 0, "bytes_sent": calls * 100 if flows else 0,
            "latency_us_sum": 0 if flows else calls * 1000, "latency_count": 0 if flows else calls,
            "latency": {} if flows else {bucket: calls},
        }  # fmt: skip
        for name, value in row.items():
            columns[name].append(value)
