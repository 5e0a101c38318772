"""Questions about a graph: equal to NetworkX's answers, or to the definition spelled out, on small random graphs."""

from __future__ import annotations

from fractions import Fraction

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chronotope.server.questions import equations
from chronotope.server.questions.blast_radius import blast_radius
from chronotope.server.questions.cycles import cycles
from chronotope.server.questions.pairs import Pairs, pairs_of
from chronotope.server.questions.paths import paths_between
from chronotope.server.questions.single_points import entries, single_points_of_failure

MOST = 9
Edges = list[tuple[int, int, int]]
ALL = 10**6

nodes = st.integers(0, MOST - 1)
edge_lists = st.lists(st.tuples(nodes, nodes, st.integers(0, 5)), max_size=30)
checked = settings(max_examples=150, deadline=None, database=None, derandomize=True)


def pairs_from(edges: Edges, services: int = MOST) -> Pairs:
    columns = np.array(edges, np.int64).reshape(-1, 3)
    return pairs_of(columns[:, 0], columns[:, 1], columns[:, 2], services)


def graph_of(edges: Edges, services: int = MOST) -> nx.DiGraph:
    graph = nx.DiGraph()
    graph.add_nodes_from(range(services))
    graph.add_edges_from((source, target) for source, target, _ in edges)
    return graph


def exact_shares(edges: Edges, service: int) -> dict[int, Fraction]:
    """Solve the definition in whole fractions, over the callers that reach the service by calls."""
    called = [(source, target, calls) for source, target, calls in edges if calls and source != target]
    totals: dict[int, int] = {}
    for source, _, calls in called:
        totals[source] = totals.get(source, 0) + calls
    unknown = sorted(nx.ancestors(graph_of(called), service))
    rows = []
    for one in unknown:
        row = {other: Fraction(int(one == other)) for other in unknown}
        constant = Fraction(0)
        for source, target, calls in called:
            if source == one and target == service:
                constant += Fraction(calls, totals[one])
            elif source == one and target in row:
                row[target] -= Fraction(calls, totals[one])
        rows.append(([row[other] for other in unknown], constant))
    for at in range(len(rows)):
        pivot = next(k for k in range(at, len(rows)) if rows[k][0][at] != 0)
        rows[at], rows[pivot] = rows[pivot], rows[at]
        for k in range(len(rows)):
            if k != at and rows[k][0][at] != 0:
                factor = rows[k][0][at] / rows[at][0][at]
                left = [a - factor * b for a, b in zip(rows[k][0], rows[at][0], strict=True)]
                rows[k] = (left, rows[k][1] - factor * rows[at][1])
    return {one: rows[at][1] / rows[at][0][at] for at, one in enumerate(unknown)}


@checked
@given(edge_lists, nodes, st.integers(1, MOST))
def test_callers_and_hops_are_networkx_s_ancestors(edges: Edges, service: int, max_hops: int) -> None:
    found = blast_radius(pairs_from(edges), service, max_hops=max_hops)
    every = nx.single_source_shortest_path_length(graph_of(edges).reverse(), service)
    wanted = {one: hops for one, hops in every.items() if 0 < hops <= max_hops}
    assert dict(zip(found.caller.tolist(), found.hops.tolist(), strict=True)) == wanted
    assert found.beyond == len(every) - 1 - len(wanted)
    assert found.hops.tolist() == sorted(found.hops.tolist())


@checked
@given(edge_lists, nodes, st.sampled_from([(50, 1500, 10**6), (1, 1500, 10**6), (1, 1500, 9), (1, 1, 0), (1, 1, 9)]))
def test_shares_solve_the_definition(edges: Edges, service: int, solver: tuple[int, int, int]) -> None:
    """With cycles, self-loops and pairs without calls; as small groups are solved, and as large ones are."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in zip(("DENSE", "CORE", "WORK"), solver, strict=True):
            patch.setattr(equations, name, value)
        found = blast_radius(pairs_from(edges), service, max_hops=ALL)
    exact = exact_shares(edges, service)
    assert found.settled
    for caller, share, calls in zip(found.caller.tolist(), found.share.tolist(), found.calls.tolist(), strict=True):
        own = sum(count for source, target, count in edges if source == caller != target)
        assert calls == own
        if own:
            assert share == pytest.approx(float(exact.get(caller, 0)), abs=1e-8)
        else:
            assert np.isnan(share)


@checked
@given(edge_lists, nodes, nodes, st.integers(1, MOST))
def test_paths_are_networkx_s_simple_paths_in_order(edges: Edges, source: int, target: int, max_hops: int) -> None:
    found = paths_between(pairs_from(edges), source, target, max_hops=max_hops, limit=ALL)
    every = [tuple(path) for path in nx.all_simple_paths(graph_of(edges), source, target, cutoff=max_hops)]
    wanted = sorted((path for path in every if len(path) > 1), key=lambda path: (len(path), path))
    assert found.paths == wanted
    assert not found.truncated


@checked
@given(edge_lists, nodes, nodes, st.integers(1, 4))
def test_fewer_paths_are_the_first_of_all(edges: Edges, source: int, target: int, limit: int) -> None:
    every = paths_between(pairs_from(edges), source, target, max_hops=ALL, limit=ALL).paths
    found = paths_between(pairs_from(edges), source, target, max_hops=ALL, limit=limit)
    assert found.paths == every[:limit]
    assert found.truncated == (len(every) > limit)


@checked
@given(edge_lists)
def test_cycles_are_networkx_s_components(edges: Edges) -> None:
    graph = graph_of(edges)
    found = cycles(pairs_from(edges))
    components = [group for group in nx.strongly_connected_components(graph) if len(group) > 1]
    alone = {source for source, target, _ in edges if source == target} - set().union(*components)
    wanted = [sorted(group) for group in components] + [[one] for one in alone]
    assert [one.services for one in found] == sorted(wanted, key=lambda group: (-len(group), group[0]))
    for one in found:
        steps = zip(one.example, [*one.example[1:], one.example[0]], strict=True)
        assert all(graph.has_edge(*step) for step in steps)
        assert one.example[0] == one.services[0]
        assert set(one.example) <= set(one.services)
        first = one.services[0]
        back = [
            nx.shortest_path_length(graph, after, first) for after in graph[first] if nx.has_path(graph, after, first)
        ]
        if len(one.services) > 1:
            assert len(set(one.example)) == len(one.example) == 1 + min(hops for hops in back if hops)


@checked
@given(edge_lists)
def test_single_points_of_failure_are_the_definition(edges: Edges) -> None:
    """Take each service away, and see whom the other entries do not reach any more; and NetworkX's dominators."""
    graph = graph_of([edge for edge in edges if edge[0] != edge[1]])
    condensed = nx.condensation(graph)
    roots = {one for group, degree in condensed.in_degree() if not degree for one in condensed.nodes[group]["members"]}
    pairs = pairs_from(edges)
    assert set(entries(pairs)) == roots
    wanted = {}
    for one in graph:
        others = roots - {one}
        before = set().union(*(nx.descendants(graph, root) | {root} for root in others))
        rest = graph.subgraph(set(graph) - {one})
        after = set().union(*(nx.descendants(rest, root) | {root} for root in others))
        if lost := before - after - {one}:
            wanted[one] = sorted(lost)
    found = single_points_of_failure(pairs, named=MOST)
    assert {one.service: one.services for one in found} == wanted
    assert [one.cuts_off for one in found] == [len(one.services) for one in found]
    assert found == sorted(found, key=lambda one: (-one.cuts_off, one.service))


def test_graph_of_one_service_and_of_none() -> None:
    for pairs in (pairs_from([], 1), pairs_from([(0, 0, 5)], 1)):
        assert not len(blast_radius(pairs, 0, max_hops=ALL).caller)
        assert paths_between(pairs, 0, 0, max_hops=ALL, limit=ALL).paths == []
        assert single_points_of_failure(pairs, named=5) == []
    assert [one.example for one in cycles(pairs_from([(0, 0, 5)], 1))] == [[0]]
    assert cycles(pairs_from([], 0)) == []
    assert single_points_of_failure(pairs_from([], 0), named=5) == []


def test_calls_of_a_service_to_itself_change_no_share() -> None:
    found = blast_radius(pairs_from([(0, 0, 90), (0, 1, 5), (0, 2, 5)]), 1, max_hops=ALL)
    assert found.share.tolist() == [0.5]


def test_circle_of_callers_hardly_left_is_solved_to_the_end() -> None:
    """Two services call each other a million times for each call that leaves: the last 1e-6 decides everything."""
    edges = [(0, 1, 10**6), (1, 0, 10**6), (0, 2, 1), (1, 3, 1)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(equations, "DENSE", 1)
        found = blast_radius(pairs_from(edges), 2, max_hops=ALL)
    exact = exact_shares(edges, 2)
    assert found.share.tolist() == pytest.approx([float(exact[one]) for one in found.caller.tolist()], abs=1e-9)


def test_shares_that_do_not_settle_are_lower_bounds() -> None:
    """A walk among eight services, hardly ever left: two rounds are not enough, and say so."""
    edges = [(a, b, 50) for a in range(8) for b in range(8) if a != b] + [(0, 8, 1)]
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("DENSE", 1), ("CORE", 1), ("WORK", 0), ("ROUNDS", 2)):
            patch.setattr(equations, name, value)
        patch.setattr(equations, "bicgstab", lambda *_: None)
        found = blast_radius(pairs_from(edges), 8, max_hops=ALL)
    assert not found.settled
    assert 0 < found.share[0] < 0.01  # 1 exactly
    assert (found.share <= 1).all()


def test_protocols_of_one_pair_are_added_up() -> None:
    pairs = pairs_from([(0, 1, 1), (0, 1, 2), (0, 2, 1)])
    assert pairs.calls.tolist() == [3, 1]
    assert blast_radius(pairs, 1, max_hops=ALL).share.tolist() == [0.75]
