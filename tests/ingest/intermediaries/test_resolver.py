"""What the resolution leaves in a store: the same for the same evidence, however it came, and after every crash."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from chronotope.ingest.identity.known import KnownIdentities
from chronotope.ingest.intermediaries import resolver as module
from chronotope.ingest.intermediaries.resolver import IntermediaryResolver
from chronotope.schema.config.config import Config
from chronotope.schema.errors import StoreError
from chronotope.schema.observations import observation_table
from chronotope.schema.storage.store import Store
from chronotope.server.api.app import create_app
from chronotope.server.evidence.settings import Settings

pytestmark = pytest.mark.slow

T0 = 1_700_006_400
BUCKETS = 60
CONFIG = Config.model_validate({"intermediaries": [{"service": "lb"}]})
GRAPH = f"/api/v1/graph?from={T0}&to={T0 + 10 * BUCKETS}"


def traffic(seed: int = 1) -> list[tuple[int, str, str, int]]:
    """(time, source, target, connections): a → t, b → u and c → u through lb, at rates of their own."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(20 * np.exp(rng.normal(0, 0.7, (3, BUCKETS))))
    rows = []
    for at in range(BUCKETS):
        a, b, c = counts[:, at].tolist()
        time = T0 + 10 * at
        rows += [(time, "a", "lb", a), (time, "b", "lb", b), (time, "c", "lb", c)]
        rows += [(time, "lb", "t", a), (time, "lb", "u", b + c)]
    return rows


def write(store: Store, rows: list[tuple[int, str, str, int]], **more: Any) -> None:
    times, sources, targets, counts = zip(*rows, strict=True)
    count = np.array(counts)
    table = {
        "time": list(times),
        "layer": "network",
        "source": list(sources),
        "target": list(targets),
        "protocol": "tcp",
        "connections": count,
        "bytes_sent": count * 100,
        "bytes_received": count * 1000,
    }
    store.insert("observations", observation_table({**table, **more}))


def resolution(store: Store, config: Config = CONFIG) -> IntermediaryResolver:
    return IntermediaryResolver(store, config, KnownIdentities())


def edges(store: Store, query: str = "") -> dict[tuple[str, str], Any]:
    answer = create_app(store, Settings(clock=lambda: (T0 + 86_400) * 1000)).test_client().get(GRAPH + query)
    return {(edge["source"], edge["target"]): edge for edge in answer.get_json()["edges"]}


def written(store: Store) -> list[Any]:
    """All that the resolution wrote, added up, in every level."""
    sums = "source, target, protocol, via, view, sum(connections) AS n, sum(bytes_sent) AS sent, sum(bytes_received)"
    return [
        store.rows(
            f"SELECT {sums} FROM edges_{level} WHERE reporter = 3 GROUP BY ALL HAVING n != 0 OR sent != 0 ORDER BY ALL"
        )
        for level in ("10s", "1m", "1h", "1d")
    ]


def test_hops_become_edges_and_stay_in_their_own_view(store: Store) -> None:
    write(store, traffic())
    hops = edges(store, "&view=hops")
    assert resolution(store).round() == 1
    found = edges(store)
    assert set(found) == {("a", "t"), ("b", "u"), ("c", "u")}
    for edge in found.values():
        assert edge["via"] == ["lb"]
        assert edge["inferred"]
        assert 0.9 < edge["confidence"] < 1
    assert edges(store, "&view=hops") == hops
    own = found["b", "u"]["evidence"]["network"]
    assert own == {**hops["b", "lb"]["evidence"]["network"], "rtt_ms": {"mean": None}}


def test_nodes_say_what_the_intermediary_is(store: Store) -> None:
    write(store, traffic())
    resolution(store).round()
    client = create_app(store, Settings(clock=lambda: (T0 + 86_400) * 1000)).test_client()
    kinds = {node["id"]: node["kind"] for node in client.get(f"{GRAPH}&view=hops").get_json()["nodes"]}
    assert kinds == {"lb": "intermediary", **dict.fromkeys("abctu", "service")}


def test_confirmed_edges_have_full_confidence(store: Store) -> None:
    write(store, traffic())
    call = {"time": [T0], "layer": "trace", "source": ["a"], "target": ["t"], "protocol": "http", "calls": [1]}
    store.insert("observations", observation_table(call))
    resolution(store).round()
    found = edges(store)
    assert found["a", "t"]["protocol"] == "http"
    assert found["a", "t"]["layers"] == ["network", "trace"]
    assert (found["a", "t"]["confidence"], found["a", "t"]["inferred"]) == (1.0, False)
    series = (
        create_app(store, Settings())
        .test_client()
        .get(f"/api/v1/edges/{found['b', 'u']['id']}?from={T0}&to={T0 + 600}")
    )
    assert series.get_json()["confidence"] == found["b", "u"]["confidence"]
    assert series.get_json()["inferred"]


def test_any_order_and_any_number_of_rounds_leave_the_same(store: Store) -> None:
    rows = traffic()
    late = rows[::7]
    write(store, [row for row in rows if row not in late])
    resolution(store).round()
    first = written(store)
    write(store, late)
    again = resolution(store)
    again.round()
    again.round()
    second = written(store)
    assert second != first
    assert {row[:5] for row in second[0]} == {row[:5] for row in second[3]}
    hops = edges(store, "&view=hops")
    total = sum(edge["evidence"]["network"]["connections"] for edge in edges(store).values())
    assert total == sum(edge["evidence"]["network"]["connections"] for pair, edge in hops.items() if pair[1] == "lb")


def test_corrections_of_hops_reach_what_was_resolved(store: Store) -> None:
    """Flows are attributed anew: what was b's is d's."""
    rows = traffic()
    write(store, rows)
    resolution(store).round()
    own = [row for row in rows if row[1] == "b"]
    write(store, [(time, source, target, -count) for time, source, target, count in own])
    write(store, [(time, "d", target, count) for time, _, target, count in own])
    resolution(store).round()
    assert set(edges(store)) == {("a", "t"), ("d", "u"), ("c", "u")}
    assert ("b", "lb") not in edges(store, "&view=hops")


@pytest.mark.parametrize("table", ["observations", "resolutions", "resolved_epochs"])
@pytest.mark.parametrize("landed", [False, True])
def test_a_crash_at_any_insert_loses_and_doubles_nothing(
    store: Store, table: str, landed: bool, monkeypatch: Any
) -> None:
    write(store, traffic())
    insert = store.insert

    def crash(name: str, *rest: Any) -> None:
        if name != table:
            insert(name, *rest)
            return
        if landed:
            insert(name, *rest)
        raise StoreError("killed")

    monkeypatch.setattr(store, "insert", crash)
    with pytest.raises(StoreError):
        resolution(store).round()
    monkeypatch.setattr(store, "insert", insert)
    resolution(store).round()
    after_crash = written(store)
    assert edges(store)["a", "t"]["evidence"]["network"]["connections"] == sum(
        count for _, source, _, count in traffic() if source == "a"
    )
    resolution(store).round()
    assert written(store) == after_crash


def test_what_is_declared_no_more_is_given_back(store: Store) -> None:
    write(store, traffic(), source_kind="service")
    hops = edges(store)
    resolution(store).round()
    store.command("ALTER TABLE services DELETE WHERE kind = 'intermediary' SETTINGS mutations_sync = 2")
    resolution(store, Config()).round()
    assert edges(store) == hops
    assert written(store) == [[], [], [], []]


def test_an_idle_store_is_left_alone(store: Store, monkeypatch: Any) -> None:
    write(store, traffic())
    monkeypatch.setattr(module, "_SETTLING_MS", -1000)
    resolution(store).round()
    assert resolution(store).round() == 0


def test_intermediaries_by_address_are_whoever_owned_it(store: Store) -> None:
    config = Config.model_validate(
        {
            "identities": [{"address": "10.0.0.5", "service": "lb"}, {"address": "10.0.0.6", "service": "b"}],
            "intermediaries": [{"address": "10.0.0.0/30"}, {"listener": "10.0.0.5:80", "targets": ["t"]}],
        }
    )
    write(store, traffic())
    resolution(store, config).round()
    assert ("a", "t") in edges(store)
    assert ("b", "lb") not in edges(store)
