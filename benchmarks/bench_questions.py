"""Questions about a whole graph: a real one of 1,238 services at the core and by its route, and 100,000 random edges.

Each answer is held to what is known of it; times do not include reading the store, except for the route's.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from benchmarks.percentiles import add_percentiles
from flask.testing import FlaskClient

from chronotope.schema.observations import observation_table
from chronotope.schema.storage.migrate import migrate
from chronotope.schema.storage.store import Store
from chronotope.server.api.app import create_app
from chronotope.server.evidence.settings import Settings
from chronotope.server.questions.blast_radius import blast_radius
from chronotope.server.questions.cycles import cycles
from chronotope.server.questions.pairs import Pairs, pairs_of
from chronotope.server.questions.paths import paths_between
from chronotope.server.questions.single_points import single_points_of_failure

T0 = 1_700_006_400
ALL = 10**6


class Columns(NamedTuple):
    """Edges, and what is known of their answers."""

    source: np.ndarray
    target: np.ndarray
    calls: np.ndarray
    services: int
    names: list[str]

    def pairs(self) -> Pairs:
        return pairs_of(self.source, self.target, self.calls, self.services)

    def busiest(self) -> int:
        """The service with the most callers."""
        return int(np.bincount(self.target, minlength=self.services).argmax())


def real(shared_data: Path) -> Columns:
    with gzip.open(shared_data / "jaeger_uber_graph" / "dependencies_large.json.gz") as file:
        edges = json.load(file)
    names = sorted({edge[end] for edge in edges for end in ("parent", "child")})
    place = {name: at for at, name in enumerate(names)}
    source, target = (np.array([place[edge[end]] for edge in edges]) for end in ("parent", "child"))
    return Columns(source, target, np.array([edge["callCount"] for edge in edges]), len(names), names)


def hostile() -> Columns:
    """Dense and cyclic: nearly every service reaches every other."""
    random = np.random.default_rng(7)
    source, target = random.integers(0, 10_000, (2, 100_000))
    return Columns(source, target, random.integers(1, 1000, 100_000), 10_000, [])


@pytest.fixture(scope="module", params=["real_4271_edges", "hostile_100000_edges"])
def columns(request: pytest.FixtureRequest, shared_data: Path) -> Columns:
    return real(shared_data) if request.param.startswith("real") else hostile()


def timed(benchmark: Any, run: Any) -> Any:
    answer = benchmark.pedantic(run, rounds=20, warmup_rounds=2)
    add_percentiles(benchmark)
    return answer


def test_blast_radius(benchmark: Any, columns: Columns) -> None:
    """From columns: pairs are made anew each time, as for each request."""
    service = columns.busiest()
    found = timed(benchmark, lambda: blast_radius(columns.pairs(), service, max_hops=ALL))
    assert found.settled
    assert len(found.caller) == (833 if columns.names else 9_999)


def test_paths(benchmark: Any, columns: Columns) -> None:
    pairs, service = columns.pairs(), columns.busiest()
    far = int(blast_radius(pairs, service, max_hops=ALL).caller[-1])
    found = timed(benchmark, lambda: paths_between(columns.pairs(), far, service, max_hops=ALL, limit=100))
    assert found.truncated
    assert len(found.paths) == 100


def test_cycles(benchmark: Any, columns: Columns) -> None:
    found = timed(benchmark, lambda: cycles(columns.pairs()))
    assert len(found[0].services) == (356 if columns.names else 10_000)


def test_single_points_of_failure(benchmark: Any, columns: Columns) -> None:
    found = timed(benchmark, lambda: single_points_of_failure(columns.pairs(), named=100))
    assert len(found) == (156 if columns.names else 0)


@pytest.fixture(scope="module")
def client(shared_data: Path) -> Iterator[FlaskClient]:
    edges = real(shared_data)
    with Store.open("chdb://memory") as store:
        migrate(store)
        ends = {name: [edges.names[at] for at in getattr(edges, name)] for name in ("source", "target")}
        rows = {"time": [T0] * len(edges.calls), "layer": ["trace"] * len(edges.calls), "calls": edges.calls.tolist()}
        store.insert("observations", observation_table(rows | ends))
        yield create_app(store, Settings(clock=lambda: (T0 + 3600) * 1000)).test_client()


def test_blast_radius_through_the_route(benchmark: Any, client: FlaskClient, shared_data: Path) -> None:
    edges = real(shared_data)
    url = f"/api/v1/services/{edges.names[edges.busiest()]}/blast-radius?from={T0}&to={T0 + 60}"
    answer = timed(benchmark, lambda: client.get(url))
    assert answer.json["totals"]["callers"] == 833
