"""Five minutes of known traffic, as rows for a store: what the tests of the diff compare."""

from __future__ import annotations

from typing import Any
from zlib import crc32

import numpy as np
from flask.testing import FlaskClient

from chronotope.schema.observations import observation_table
from chronotope.schema.storage.store import Store
from chronotope.server.api.app import create_app
from chronotope.server.evidence.settings import Settings

T0 = 1_700_006_400  # a day's start
DAY = 86_400
NOW_MS = (T0 + 30 * DAY) * 1000
ASKED = f"/api/v1/diff?before=-1d&after={T0 + DAY + 300}"
SLOTS = 30  # ten seconds each


def rows_of(
    layer: str, source: str, target: str, start: int, mean: float, *, errors: float = 0.0, latency: int = 60
) -> dict[str, Any]:
    """An observation for each ten seconds of five minutes; Poisson calls, or connections of flows."""
    rng = np.random.default_rng(crc32(f"{layer} {source} {target} {start}".encode()))
    calls = rng.poisson(mean, SLOTS)
    network = layer == "network"
    return {
        "time": [start + 10 * at for at in range(SLOTS)],
        "layer": [layer] * SLOTS,
        "source": [source] * SLOTS,
        "target": [target] * SLOTS,
        "protocol": ["grpc"] * SLOTS,
        "calls": ([0] * SLOTS if network else calls.tolist()),
        "connections": (calls.tolist() if network else [0] * SLOTS),
        "bytes_sent": ((calls * 1000).tolist() if network else [0] * SLOTS),
        "errors": rng.binomial(calls, 0.0 if network else errors).tolist(),
        "latency_us_sum": (calls * 1000 if not network else calls * 0).tolist(),
        "latency_count": (calls if not network else calls * 0).tolist(),
        "latency": [{} if network or not count else {latency: int(count)} for count in calls],
    }


def client_of(store: Store, *edges: dict[str, Any]) -> FlaskClient:
    columns = {name: [value for edge in edges for value in edge[name]] for name in edges[0]}
    store.insert("observations", observation_table(columns))
    return create_app(store, Settings(clock=lambda: NOW_MS)).test_client()


def statuses(answer: Any) -> dict[tuple[str, str], str]:
    return {(edge["source"], edge["target"]): edge["status"] for edge in answer["edges"]}


BEFORE, AFTER = T0, T0 + DAY
