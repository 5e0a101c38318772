"""A service that passes on what it gets is proposed as an intermediary, and nothing else is."""

from __future__ import annotations

from typing import Any

import numpy as np

from chronotope.schema.observations import observation_table
from chronotope.schema.storage.store import Store
from chronotope.server.api.app import create_app
from chronotope.server.evidence.settings import Settings

T0 = 1_700_006_400


def proposals(store: Store, volumes: dict[tuple[str, str], np.ndarray], **more: Any) -> list[dict[str, Any]]:
    for (source, target), volume in volumes.items():
        store.insert(
            "observations",
            observation_table(
                {
                    "time": T0 + 10 * np.arange(len(volume)),
                    "layer": "network",
                    "source": [source] * len(volume),
                    "target": [target] * len(volume),
                    "protocol": "tcp",
                    "connections": np.ones(len(volume), np.int64),
                    "bytes_sent": volume,
                    "bytes_received": 3 * volume,
                    **more,
                }
            ),
        )
    client = create_app(store, Settings(clock=lambda: (T0 + 86_400) * 1000)).test_client()
    return client.get(f"/api/v1/findings?from={T0}&to={T0 + 300}").get_json()["proposals"]


def volumes_of(*, alike: bool) -> dict[tuple[str, str], np.ndarray]:
    rng = np.random.default_rng(1)
    a, b, c, d = rng.integers(1000, 100_000, (4, 30))
    return {("a", "p"): a, ("b", "p"): b, ("p", "t"): a if alike else c, ("p", "u"): b if alike else d}


def test_what_sends_on_as_much_at_the_same_times_is_proposed(store: Store) -> None:
    (found,) = proposals(store, volumes_of(alike=True))
    assert (found["service"], found["callers"], found["targets"]) == ("p", 2, 2)
    assert found["correlation"] == 1.0


def test_what_sends_as_much_at_other_times_is_not(store: Store) -> None:
    assert proposals(store, volumes_of(alike=False)) == []


def test_what_is_declared_is_not_proposed(store: Store) -> None:
    volumes = volumes_of(alike=True)
    assert (
        proposals(store, {pair: volumes[pair] for pair in volumes if pair[1] == "p"}, target_kind="intermediary") == []
    )
    assert proposals(store, {pair: volumes[pair] for pair in volumes if pair[0] == "p"}) == []
