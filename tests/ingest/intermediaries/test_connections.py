"""What flow records add: which listener was called, short steps, and connections that carry the same."""

from __future__ import annotations

from typing import Any

import numpy as np

from chronotope.ingest.flows.rows import FLOW
from chronotope.ingest.intermediaries.matching import STEP_MS, match
from chronotope.ingest.intermediaries.resolver import IntermediaryResolver
from chronotope.schema.config.config import Config
from chronotope.schema.storage.store import Store
from chronotope.server.api.app import create_app
from chronotope.server.evidence.settings import Settings
from chronotope.server.running.owners import known_identities
from tests.ingest.flows.building import T0_S, flow, open_writer, sent

HOSTS = {"a": "10.0.0.1", "b": "10.0.0.2", "c": "10.0.0.3", "lb": "10.0.0.9", "t": "10.0.1.1", "u": "10.0.1.2"}
IDENTITIES = [{"address": address, "service": name} for name, address in HOSTS.items()]


def resolved(store: Store, config: Config, records: list[dict[str, Any]]) -> dict[tuple[str, str], Any]:
    writer, vocabulary = open_writer(store, config)
    writer.accept([sent(vocabulary, *records)])
    IntermediaryResolver(store, config, known_identities(store, config)).round()
    client = create_app(store, Settings(clock=lambda: (T0_S + 86_400) * 1000)).test_client()
    answer = client.get(f"/api/v1/graph?from={T0_S}&to={T0_S + 120}").get_json()
    return {(edge["source"], edge["target"]): edge for edge in answer["edges"]}


def hop(source: str, target: str, port: int, at_s: float, **more: Any) -> dict[str, Any]:
    return flow(HOSTS[source], HOSTS[target], port, at_s=at_s, **{"end": T0_S + at_s + 0.01, **more})


def test_a_caller_of_two_listeners_is_told_apart_by_the_port(store: Store) -> None:
    """Two callers and two targets at the same times: volumes say nothing, the declared listeners all."""
    config = Config.model_validate(
        {
            "identities": IDENTITIES,
            "intermediaries": [
                {"service": "lb", "listener": f"{HOSTS['lb']}:8001", "targets": ["t"]},
                {"service": "lb", "listener": f"{HOSTS['lb']}:8002", "targets": ["u"]},
            ],
        }
    )
    records = [
        record
        for at in range(12)
        for record in (
            hop("a", "lb", 8001, at * 10),
            hop("a", "lb", 8002, at * 10, bytes_sent=300),
            hop("b", "lb", 8002, at * 10),
            hop("lb", "t", 9000, at * 10),
            hop("lb", "u", 9000, at * 10, bytes_sent=400, connections=2),
        )
    ]
    found = resolved(store, config, records)
    assert set(found) == {("a", "t"), ("a", "u"), ("b", "u")}
    assert all(edge["confidence"] == 1.0 and not edge["inferred"] for edge in found.values())
    assert found["a", "t"]["evidence"]["network"]["bytes_sent"] == 1200
    assert found["a", "u"]["evidence"]["network"]["bytes_sent"] == 3600


def test_short_connections_are_paired_within_seconds_of_traffic(store: Store) -> None:
    """Two minutes of constant rates: by ten seconds all look alike, by 200 ms they do not."""
    rng = np.random.default_rng(3)
    config = Config.model_validate({"identities": IDENTITIES, "intermediaries": [{"service": "lb"}]})
    records = []
    for caller, target in (("a", "t"), ("b", "u"), ("c", "t"), ("c", "u")):
        for at in np.sort(rng.uniform(0, 100, 300)).round(3).tolist():
            size = {"bytes_sent": int(rng.integers(200, 400)), "bytes_received": int(rng.integers(500, 1500))}
            records += [hop(caller, "lb", 80, at, **size), hop("lb", target, 9000, at + 0.002, **size)]
    found = {pair for pair in resolved(store, config, records) if "lb" not in pair}
    assert found == {("a", "t"), ("b", "u"), ("c", "t"), ("c", "u")}


def long_rows(volumes: np.ndarray, first_port: int) -> np.ndarray:
    """FLOW rows of connections with so many bytes in each step, float64[C, S]."""
    rows = np.zeros(volumes.size, FLOW)
    rows["client_port"] = np.repeat(np.arange(len(volumes)) + first_port, volumes.shape[1])
    rows["first"] = np.tile(np.arange(volumes.shape[1]) * STEP_MS, len(volumes))
    rows["last"] = rows["first"] + STEP_MS
    rows["bytes_sent"], rows["bytes_received"] = volumes.ravel() // 10, volumes.ravel()
    return rows


def test_connections_with_the_same_bytes_are_matched_and_no_others() -> None:
    rng = np.random.default_rng(1)
    into = rng.lognormal(9, 1, (6, 12)).astype(np.int64)
    out = np.concatenate([into[[2, 0, 5]] + 100, rng.lognormal(9, 1, (3, 12)).astype(np.int64)])
    rows_in, rows_out = long_rows(into, 1000), long_rows(out, 2000)
    found = match(rows_in, np.repeat(np.arange(6), 12), rows_out, np.repeat(np.arange(6), 12))
    assert list(zip(found.unit_in.tolist(), found.unit_out.tolist(), strict=True)) == [(2, 0), (0, 1), (5, 2)]
    assert found.rows_in.sum() == found.rows_out.sum() == 36


def test_independent_connections_are_never_matched_by_chance() -> None:
    rng = np.random.default_rng(2)
    for _ in range(20):
        rows = [long_rows(rng.lognormal(9, 1, (20, 8)).astype(np.int64), port) for port in (1000, 2000)]
        units = np.repeat(np.arange(20), 8)
        assert len(match(rows[0], units, rows[1], units).unit_in) == 0


def test_connections_that_live_for_a_moment_are_not_compared() -> None:
    rows = long_rows(np.full((3, 2), 1000), 1000)
    assert len(match(rows, np.repeat(np.arange(3), 2), rows, np.repeat(np.arange(3), 2)).unit_in) == 0
