"""When edges were seen first and last: of what is left after corrections, whatever the order in which all that came."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chronotope.schema.observations import observation_table
from chronotope.schema.storage.store import Store
from chronotope.server.api.app import create_app
from chronotope.server.evidence.lifetimes import forget_lookups, lifetimes_of, lifetimes_queries, read_lifetimes
from chronotope.server.evidence.settings import Settings

T0 = 1_700_006_400  # a day's start
MONTHS_MS = (T0 + 100 * 86_400) * 1000


class Call(NamedTuple):
    """Evidence of one edge: seconds after T0, and how many calls; negative: taken back."""

    target: str
    at_s: float
    calls: int
    layer: str = "trace"


def write(store: Store, calls: Iterable[Call], source: str = "a") -> None:
    """Write each as an insert of its own."""
    for call in calls:
        at_ms = int((T0 + call.at_s) * 1000)
        columns = {
            "time": [at_ms // 10_000 * 10],
            **{name: [at_ms] for name in ("first_at", "last_at")},
            **{"layer": call.layer, "source": source, "target": call.target, "protocol": "http"},
            "calls": [call.calls],
        }
        store.insert("observations", observation_table(columns))


def ends(store: Store, source: str = "a") -> dict[tuple[str, str], tuple[float, float]]:
    """(target, layer) → first and last seen, seconds after T0."""
    found: dict[tuple[str, str], tuple[float, float]] = {}
    for row in read_lifetimes(store, "source = {source:String}", {"source": source}).to_pylist():
        first, last = row["first_seen"] / 1000 - T0, row["last_seen"] / 1000 - T0
        was = found.get((row["target"], row["layer"]), (first, last))
        found[row["target"], row["layer"]] = min(first, was[0]), max(last, was[1])
    return {key: (round(first, 3), round(last, 3)) for key, (first, last) in found.items()}


def test_what_was_taken_back_does_not_count(any_store: Store) -> None:
    """The bucket of what is left is known, and the very millisecond where nothing was taken back so far out."""
    write(any_store, [Call("b", 3.5, 2), Call("b", 3.5, -2), Call("b", 124.25, 1), Call("b", 9000.75, 1)])
    write(any_store, [Call("kept", 3.5, 2), Call("kept", 9000.75, 1)])
    assert ends(any_store) == {("b", "trace"): (120, 9000.75), ("kept", "trace"): (3.5, 9000.75)}
    write(any_store, [Call("b", 9000.75, -1)])
    assert ends(any_store)["b", "trace"] == (120, 129.999)
    write(any_store, [Call("b", 124.25, -1)])
    assert ends(any_store).keys() == {("kept", "trace")}
    write(any_store, [Call("b", 64.5, 1)])
    forget_lookups(any_store)
    assert ends(any_store)["b", "trace"] == (60, 69.999)


def test_layers_are_looked_up_apart(store: Store) -> None:
    write(store, [Call("b", 5, 1, "ipc"), Call("b", 5, 1), Call("b", 5, -1)])
    assert ends(store) == {("b", "ipc"): (5, 5)}


def test_graph_series_and_protocols_know_nothing_of_what_was_taken_back(store: Store) -> None:
    """An estimate named another protocol: the pair's flows belong to the one that is left."""
    columns = {"time": [T0] * 4, "source": "a", "target": "b", "layer": ["network", "trace", "trace", "trace"]}
    measures = {"connections": [3, 0, 0, 0], "calls": [0, 4, -4, 2]}
    named = {"protocol": ["tcp", "http", "http", "grpc"]}
    store.insert("observations", observation_table({**columns, **named, **measures}))
    client = create_app(store, Settings(clock=lambda: MONTHS_MS)).test_client()
    (edge,) = client.get(f"/api/v1/graph?from={T0}&to={T0 + 60}").get_json()["edges"]
    assert (edge["protocol"], edge["layers"]) == ("grpc", ["network", "trace"])
    ghost = next(row["id"] for row in store.query("SELECT id FROM edge_lifetimes WHERE protocol = 'http'").to_pylist())
    window = f"from={T0}&to={T0 + 60}"
    assert client.get(f"/api/v1/edges/{ghost}?{window}").status_code == 404
    assert client.get(f"/api/v1/edges/{edge['id']}?{window}").get_json()["first_seen"] == edge["first_seen"]


def test_an_edge_of_which_nothing_was_left_is_there_when_evidence_comes_late(store: Store) -> None:
    """Evidence from between what was taken back moves no end of the stored lifetime."""
    write(store, [Call("b", 5, 1), Call("b", 25, 1), Call("b", 5, -1), Call("b", 25, -1)])
    assert ends(store) == {}
    write(store, [Call("b", 15, 1)])
    client = create_app(store, Settings(clock=lambda: MONTHS_MS)).test_client()
    (edge,) = client.get(f"/api/v1/graph?from={T0}&to={T0 + 60}").get_json()["edges"]
    assert (edge["target"], edge["first_seen"][17:], edge["last_seen"][17:]) == ("b", "10.000Z", "19.999Z")


def test_of_what_is_older_than_the_sums_the_lifetime_is_left_as_it_is(store: Store) -> None:
    write(store, [Call("b", -10.5, 1), Call("b", -10.5, -1), Call("b", 8000, 1)])
    assert ends(store)["b", "trace"] == (8000, 8000)
    store.command("ALTER TABLE edge_hours DELETE WHERE time < {t:DateTime} SETTINGS mutations_sync = 1", {"t": T0})
    forget_lookups(store)
    assert ends(store)["b", "trace"] == (-10.5, 8000)


def test_without_the_finer_sums_the_hour_is_told(store: Store) -> None:
    write(store, [Call("b", 5, 1), Call("b", 5, -1), Call("b", 3725, 1), Call("b", 9000, 1)])
    for table, first in (("edges_10s", 3720), ("edges_1m", 3600)):
        store.command(f"TRUNCATE TABLE {table}")
        forget_lookups(store)
        assert ends(store)["b", "trace"] == (first, 9000)


def test_lookups_are_remembered_until_a_correction_comes(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    write(store, [Call("b", 5, 1), Call("b", 5, -1), Call("b", 200, 1), Call("c", 5, 1), Call("c", 5, -1)])
    assert ends(store) == {("b", "trace"): (200, 200)}
    answers = store.query_together(*lifetimes_queries())
    asked: list[str] = []
    query = store.query
    monkeypatch.setattr(store, "query", lambda sql, *rest: asked.append(sql) or query(sql, *rest))
    assert set(lifetimes_of(store, *answers).column("target").to_pylist()) == {"b"}
    assert not asked
    write(store, [Call("b", 200, -1), Call("b", 300, 1)])
    assert ends(store) == {("b", "trace"): (300, 300)}
    assert asked


# What was written, and which of it is taken back: buckets around the borders of minutes and hours.
moments = st.builds(
    lambda base, step, late: base + step * 10 + late,
    st.sampled_from([0, 3600, 86_400]),
    st.integers(-7, 7),
    st.sampled_from([0, 0.25, 9.5]),
)
written = st.lists(st.tuples(moments, st.sampled_from(["b", "c"]), st.booleans()), min_size=1, max_size=12)


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(calls=written, data=st.data())
def test_in_any_order_what_is_left_is_known_to_ten_seconds(calls, data, store):
    """Against the plainest model: the calls that were not taken back."""
    source = f"caller-{uuid4()}"
    deeds = [Call(target, at_s, 1) for at_s, target, _ in calls]
    deeds += [Call(target, at_s, -1) for at_s, target, back in calls if back]
    write(store, data.draw(st.permutations(deeds)), source)
    left: dict[str, list[float]] = {}
    for at_s, target, back in calls:
        if not back:
            left.setdefault(target, []).append(at_s)
    found = ends(store, source)
    assert {target for target, _ in found} == left.keys()
    for target, moments in left.items():
        first, last = found[target, "trace"]
        assert min(moments) // 10 * 10 <= first <= min(moments)
        assert max(moments) <= last < max(moments) // 10 * 10 + 10
