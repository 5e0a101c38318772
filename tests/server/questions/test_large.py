"""Questions about large graphs: a real one of 1,238 services, exactly; and hostile ones, which end by their bounds."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import networkx as nx
import numpy as np
import pytest
from flask.testing import FlaskClient

from chronotope.schema.observations import observation_table
from chronotope.schema.storage.migrate import migrate
from chronotope.schema.storage.store import Store
from chronotope.server.api.app import create_app
from chronotope.server.evidence.settings import Settings
from chronotope.server.questions.blast_radius import blast_radius
from chronotope.server.questions.cycles import cycles
from chronotope.server.questions.equations import TOLERANCE
from chronotope.server.questions.pairs import Pairs, pairs_of
from chronotope.server.questions.paths import paths_between
from chronotope.server.questions.single_points import single_points_of_failure

pytestmark = pytest.mark.slow

T0 = 1_700_006_400
ALL = 10**6
WINDOW = f"from={T0}&to={T0 + 60}"


@pytest.fixture(scope="module")
def calls(shared_data: Path) -> list[tuple[str, str, int]]:
    """An anonymised production graph: caller, callee, calls."""
    with gzip.open(shared_data / "jaeger_uber_graph" / "dependencies_large.json.gz") as file:
        return [(edge["parent"], edge["child"], edge["callCount"]) for edge in json.load(file)]


@pytest.fixture(scope="module")
def graph(calls: list[tuple[str, str, int]]) -> nx.DiGraph:
    graph = nx.DiGraph()
    graph.add_weighted_edges_from(calls)
    return graph


@pytest.fixture(scope="module")
def names(graph: nx.DiGraph) -> list[str]:
    return sorted(graph)


@pytest.fixture(scope="module")
def pairs(calls: list[tuple[str, str, int]], names: list[str]) -> Pairs:
    place = {name: at for at, name in enumerate(names)}
    source, target, count = zip(*((place[a], place[b], n) for a, b, n in calls), strict=True)
    return pairs_of(np.array(source), np.array(target), np.array(count), len(names))


def busiest(graph: nx.DiGraph, count: int) -> list[str]:
    """Services with the most callers."""
    return [name for name, _ in sorted(graph.in_degree(), key=lambda pair: (-pair[1], pair[0]))[:count]]


def test_blast_radius_of_every_service_has_networkx_s_hops(graph: nx.DiGraph, pairs: Pairs, names: list[str]) -> None:
    assert len(names) == 1238
    backwards = graph.reverse()
    for at, name in enumerate(names):
        found = blast_radius(pairs, at, max_hops=ALL)
        assert found.settled
        hops = {names[caller]: far for caller, far in zip(found.caller.tolist(), found.hops.tolist(), strict=True)}
        wanted = nx.single_source_shortest_path_length(backwards, name)
        del wanted[name]
        assert hops == wanted


def test_shares_are_those_of_one_system_of_equations(graph: nx.DiGraph, pairs: Pairs, names: list[str]) -> None:
    """All callers at once, by NetworkX's matrix and a dense solution; ours goes group by group."""
    for name in busiest(graph, 12):
        found = blast_radius(pairs, names.index(name), max_hops=ALL)
        order = sorted(nx.ancestors(graph, name))
        matrix = nx.to_numpy_array(graph, nodelist=[*order, name])[:-1]
        totals = np.array([graph.out_degree(one, weight="weight") for one in order])
        parts = matrix / totals[:, None]
        wanted = np.linalg.solve(np.eye(len(order)) - parts[:, :-1], parts[:, -1])
        shares = dict(zip(found.caller.tolist(), found.share.tolist(), strict=True))
        assert np.array([shares[names.index(one)] for one in order]) == pytest.approx(wanted, abs=TOLERANCE)


def test_paths_are_all_of_networkx_s_shortest_first(graph: nx.DiGraph, pairs: Pairs, names: list[str]) -> None:
    checked = 0
    for target in busiest(graph, 3):
        far = sorted(nx.single_source_shortest_path_length(graph.reverse(), target).items())[::60]
        for source, hops in far:
            if not 0 < hops < 5:
                continue
            every = [tuple(path) for path in nx.all_simple_paths(graph, source, target, cutoff=hops + 1)]
            wanted = sorted(every, key=lambda path: (len(path), path))
            ends = names.index(source), names.index(target)
            found = paths_between(pairs, *ends, max_hops=hops + 1, limit=ALL)
            assert [tuple(names[at] for at in path) for path in found.paths] == wanted
            assert not found.truncated
            checked += len(wanted)
    assert checked > 100


def test_cycles_are_networkx_s_components(graph: nx.DiGraph, pairs: Pairs, names: list[str]) -> None:
    found = cycles(pairs)
    wanted = {frozenset(group) for group in nx.strongly_connected_components(graph) if len(group) > 1}
    assert {frozenset(names[at] for at in one.services) for one in found} == wanted
    for one in found:
        assert all(graph.has_edge(names[a], names[b]) for a, b in zip(one.example, one.example[1:], strict=False))
        assert graph.has_edge(names[one.example[-1]], names[one.example[0]])


def test_single_points_of_failure_are_networkx_s_dominators(graph: nx.DiGraph, pairs: Pairs, names: list[str]) -> None:
    condensed = nx.condensation(graph)
    rooted = graph.copy()
    for group, callers in condensed.in_degree():
        if not callers:
            rooted.add_edges_from(("", one) for one in condensed.nodes[group]["members"])
    dominators = nx.immediate_dominators(rooted, "")
    below: Counter[str] = Counter()
    for one in names:
        above = dominators[one]
        while above:
            below[above] += 1
            above = dominators[above]
    wanted = {name: count for name, count in below.items() if graph.in_degree(name)}
    found = single_points_of_failure(pairs, named=ALL)
    assert {names[one.service]: one.cuts_off for one in found} == wanted
    assert all(len(one.services) == one.cuts_off for one in found)


@pytest.fixture(scope="module")
def client(calls: list[tuple[str, str, int]]) -> Iterator[FlaskClient]:
    """The real graph in a store, behind the application."""
    with Store.open("chdb://memory") as store:
        migrate(store)
        columns = {
            "time": [T0] * len(calls),
            "layer": ["trace"] * len(calls),
            "source": [row[0] for row in calls],
            "target": [row[1] for row in calls],
            "calls": [row[2] for row in calls],
        }
        store.insert("observations", observation_table(columns))
        yield create_app(store, Settings(clock=lambda: (T0 + 3600) * 1000)).test_client()


def test_routes_answer_as_the_functions_do(
    client: FlaskClient, graph: nx.DiGraph, pairs: Pairs, names: list[str]
) -> None:
    (name,) = busiest(graph, 1)
    found = blast_radius(pairs, names.index(name), max_hops=ALL)
    answer = client.get(f"/api/v1/services/{name}/blast-radius?{WINDOW}").json
    assert [one["service"] for one in answer["callers"]] == [names[at] for at in found.caller.tolist()]
    assert [one["share"] for one in answer["callers"]] == pytest.approx(found.share.tolist(), abs=TOLERANCE)
    assert answer["totals"] == {"callers": 833, "direct": graph.in_degree(name)}
    assert len(client.get(f"/api/v1/cycles?{WINDOW}").json["cycles"]) == len(cycles(pairs)) == 5
    points = client.get(f"/api/v1/single-points-of-failure?{WINDOW}").json["single_points_of_failure"]
    assert len(points) == len(single_points_of_failure(pairs, named=1))
    paths = client.get(f"/api/v1/paths?source={answer['callers'][-1]['service']}&target={name}&limit=3&{WINDOW}").json
    assert len(paths["paths"]) == 3
    assert paths["truncated"]


def random_graph(services: int, edges: int) -> Pairs:
    random = np.random.default_rng(7)
    ends = random.integers(0, services, (2, edges))
    return pairs_of(ends[0], ends[1], random.integers(1, 1000, edges), services)


def test_dense_cyclic_graph_of_100_000_edges_is_answered() -> None:
    pairs = random_graph(10_000, 100_000)
    found = blast_radius(pairs, 0, max_hops=ALL)
    assert found.settled
    assert len(found.caller) > 9_900
    assert found.share.max() <= 1
    paths = paths_between(pairs, int(found.caller[-1]), 0, max_hops=ALL, limit=100)
    assert paths.truncated
    assert [len(path) for path in paths.paths] == sorted(len(path) for path in paths.paths)
    assert all(len(set(path)) == len(path) for path in paths.paths)
    assert len(cycles(pairs)[0].services) > 9_900
    assert single_points_of_failure(pairs, named=100) is not None


def test_clique_whose_paths_nobody_could_count_is_cut_off() -> None:
    services = np.arange(300)
    pairs = pairs_of(np.repeat(services, 300), np.tile(services, 300), np.ones(90_000, np.int64), 300)
    found = paths_between(pairs, 0, 299, max_hops=ALL, limit=1000)
    assert found.truncated
    assert found.paths[:2] == [(0, 299), (0, 1, 299)]
    assert blast_radius(pairs, 0, max_hops=ALL).share == pytest.approx(1.0, abs=1e-6)


def test_crowd_behind_the_only_way_is_never_entered() -> None:
    """0 → 1 → 2, and a dense crowd that comes back to 1 alone: one path, found and known to be the only one."""
    crowd = np.arange(3, 303)
    source = np.concatenate([[0, 1], np.repeat(crowd, 300), np.full(300, 1), crowd])
    target = np.concatenate([[1, 2], np.tile(crowd, 300), crowd, np.full(300, 1)])
    found = paths_between(pairs_of(source, target, np.ones(len(source), np.int64), 303), 0, 2, max_hops=ALL, limit=100)
    assert (found.paths, found.truncated) == ([(0, 1, 2)], False)


def test_ring_and_chain_of_10_000_services() -> None:
    services = np.arange(10_000)
    ring = pairs_of(services, (services + 1) % 10_000, np.ones(10_000, np.int64), 10_000)
    found = blast_radius(ring, 0, max_hops=ALL)
    assert (found.hops.max(), found.share.min()) == (9_999, 1.0)
    assert len(paths_between(ring, 1, 0, max_hops=ALL, limit=10).paths) == 1
    assert cycles(ring)[0].example == services.tolist()
    chain = pairs_of(services[:-1], services[1:], np.ones(9_999, np.int64), 10_000)
    points = single_points_of_failure(chain, named=3)
    assert [(one.service, one.cuts_off, one.services) for one in points[:2]] == [
        (1, 9_998, [2, 3, 4]), (2, 9_997, [3, 4, 5])
    ]  # fmt: skip


def test_long_ladder_is_answered_with_some_path_and_with_shares() -> None:
    """10,000 services whose circles lead far away and back: the hardest that one group of them can be."""
    rungs = np.arange(9_998)
    source = np.concatenate([rungs, rungs, rungs + 1, rungs + 2])
    target = np.concatenate([rungs + 1, rungs + 2, rungs, rungs])
    pairs = pairs_of(source, target, np.arange(len(source)) % 7 + 1, 10_000)
    found = blast_radius(pairs, 0, max_hops=ALL)
    assert len(found.caller) == 9_999
    assert found.settled
    assert ((found.share >= 0) & (found.share <= 1)).all()
    paths = paths_between(pairs, 9_999, 0, max_hops=ALL, limit=100)
    assert len(paths.paths[0]) == 5_001
    assert paths.truncated
