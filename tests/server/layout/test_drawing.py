"""Places of nodes: room for every name, callers left of callees, and stable as services come."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from chronotope.server.layout.drawing import ASPECT, COLUMN, ROW, draw
from chronotope.server.layout.insertion import insert
from chronotope.server.layout.ranks import ranks_of, trophic_levels
from chronotope.server.layout.rows import apart

graphs = st.integers(1, 40).flatmap(
    lambda n: st.tuples(
        st.just(n), st.lists(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=120, unique=True)
    )
)


def ends(edges: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    pairs = np.array(edges, np.int64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def too_near(places: np.ndarray) -> int:
    """How many pairs of nodes are less than a name apart."""
    scaled = places / (COLUMN * 0.94, ROW * 0.94)
    return len(cKDTree(scaled).query_pairs(0.999, p=np.inf))


@given(graphs)
@settings(deadline=None, max_examples=30)
def test_no_node_covers_another(graph):
    count, edges = graph
    places = draw(count, *ends(edges))
    assert np.isfinite(places).all()
    assert too_near(places) == 0


@given(graphs, st.randoms())
@settings(deadline=None, max_examples=20)
def test_the_order_of_edges_does_not_matter(graph, random):
    count, edges = graph
    shuffled = edges.copy()
    random.shuffle(shuffled)
    assert np.array_equal(draw(count, *ends(edges)), draw(count, *ends(shuffled)))


@given(graphs)
@settings(deadline=None, max_examples=30)
def test_without_cycles_every_callee_is_right_of_its_caller(graph):
    count, edges = graph
    downwards = [(min(edge), max(edge)) for edge in edges if edge[0] != edge[1]]
    places = draw(count, *ends(downwards))
    assert all(places[target, 0] > places[source, 0] for source, target in downwards)


def test_a_cycle_is_drawn_too_and_what_leads_into_it_is_left_of_it():
    source, target = ends([(0, 1), (1, 2), (2, 1), (2, 3)])
    rank = ranks_of(4, source, target)
    assert rank[0] < rank[1]
    assert rank[2] < rank[3]


def test_levels_of_a_chain_are_one_apart():
    """MacKay et al.: a graph whose edges all climb exactly one level has these levels."""
    levels = trophic_levels(4, *ends([(0, 1), (1, 2), (2, 3)]))
    assert np.allclose(np.diff(levels), 1, atol=0.01)


@given(st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=30), st.floats(1, 100))
def test_nodes_of_a_column_keep_their_order_and_distance(wanted, pitch):
    found = apart(np.array(wanted), np.full(len(wanted), pitch), np.ones(len(wanted)))
    assert (np.diff(found) >= pitch - 1e-6).all()


def test_nodes_far_enough_apart_stay_where_they_want_to_be():
    assert apart(np.array([0.0, 50.0, 200.0]), np.full(3, 40.0), np.ones(3)).tolist() == [0, 50, 200]


def test_many_leaves_of_one_caller_make_a_block_not_a_tower():
    source, target = ends([(0, leaf) for leaf in range(1, 300)])
    wide, high = np.ptp(draw(300, source, target), axis=0)
    assert ASPECT / 2 < wide / high < ASPECT * 2


known_graphs = st.tuples(graphs, st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=1, max_size=60))


@given(known_graphs)
@settings(deadline=None, max_examples=30)
def test_what_is_new_moves_nothing_and_covers_nothing(given_graph):
    (count, edges), more = given_graph
    drawn = draw(count, *ends(edges))
    known = {str(at): (float(x), float(y)) for at, (x, y) in enumerate(drawn)}
    new = sorted({str(end) for edge in more for end in edge} - known.keys())
    found = insert(known, new, [(str(a), str(b)) for a, b in [*edges, *more]])
    assert set(found) == set(new)
    assert too_near(np.array([*known.values(), *found.values()])) == 0


@pytest.mark.parametrize(("edge", "side"), [(("front", "new"), 1), (("new", "front"), -1)])
def test_what_is_new_goes_right_of_its_caller_and_left_of_its_callee(edge, side):
    found = insert({"front": (100.0, 100.0)}, ["new"], [edge])
    assert found["new"] == (100 + side * COLUMN, 100)


def test_what_is_connected_to_nothing_known_goes_below():
    found = insert({"a": (0.0, 0.0), "b": (190.0, 640.0)}, ["x", "y"], [("x", "y")])
    assert found["x"][1] > 640
    assert found["y"] == (found["x"][0] + COLUMN, found["x"][1])


def test_an_edge_that_passes_a_column_has_a_way_through_it():
    """a → b → c and a → c: drawn level, the long edge would go right through b."""
    places = draw(3, *ends([(0, 1), (1, 2), (0, 2)]))
    middle = (places[0, 1] + places[2, 1]) / 2
    assert abs(places[1, 1] - middle) > ROW / 4
