"""Hops to edges: what is certain, what stays, and that nothing is lost or made up."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from chronotope.ingest.flows.rows import MEASURES
from chronotope.ingest.intermediaries.hops import CONNECTIONS, Hops, Route, observed_hops, split
from chronotope.ingest.intermediaries.hops_to_edges import Knowledge, in_order, resolve

T = 40
Volume = dict[tuple[str, str], np.ndarray]


def hops_of(
    volumes: Volume, protocols: dict[tuple[str, str], str] | None = None, ports: dict[str, int] | None = None
) -> Hops:
    """Hops with so many connections a bucket, each of 100 bytes sent and 1000 received."""
    routes = [
        Route(source, target, (protocols or {}).get((source, target), "tcp"), (), (ports or {}).get(source, 0))
        for source, target in volumes
    ]
    measures = np.zeros((len(routes), len(MEASURES), T), np.int64)
    for at, counts in enumerate(volumes.values()):
        measures[at, CONNECTIONS] = counts
        measures[at, 2], measures[at, 3] = 100 * counts, 1000 * counts
    return observed_hops(routes, measures)


def edges(resolved: Hops) -> dict[str, tuple[int, float, bool]]:
    """`source>target via …` → connections, confidence, inferred; of hops that carry something."""
    return {
        f"{route.source}>{route.target}" + (f" via {','.join(route.via)}" if route.via else ""): (
            int(resolved.measures[at, CONNECTIONS].sum()),
            round(float(resolved.confidence[at]), 3),
            bool(resolved.inferred[at]),
        )
        for at, route in enumerate(resolved.routes)
        if resolved.measures[at].any()
    }


def wavy(seed: int, mean: float = 20) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.poisson(mean * np.exp(rng.normal(0, 0.7, T)))


def test_one_target_makes_every_caller_certain() -> None:
    a, b = wavy(1), wavy(2)
    found = edges(resolve(hops_of({("a", "lb"): a, ("b", "lb"): b, ("lb", "t"): a + b}), ["lb"], Knowledge()))
    assert found == {"a>t via lb": (a.sum(), 1.0, False), "b>t via lb": (b.sum(), 1.0, False)}


def test_one_caller_makes_every_target_certain_with_its_share() -> None:
    first, second = wavy(1), wavy(2)
    found = edges(
        resolve(hops_of({("a", "lb"): first + second, ("lb", "t"): first, ("lb", "u"): second}), ["lb"], Knowledge())
    )
    assert set(found) == {"a>t via lb", "a>u via lb"}
    assert all(sure == 1.0 and not inferred for _, sure, inferred in found.values())
    assert abs(found["a>t via lb"][0] - first.sum()) < 0.2 * first.sum()
    assert found["a>t via lb"][0] + found["a>u via lb"][0] == (first + second).sum()


def test_pairs_behind_one_balancer_are_estimated_and_never_the_cross_product() -> None:
    at, bu, cu = wavy(1), wavy(2), wavy(3)
    volumes = {("a", "lb"): at, ("b", "lb"): bu, ("c", "lb"): cu, ("lb", "t"): at, ("lb", "u"): bu + cu}
    found = edges(resolve(hops_of(volumes), ["lb"], Knowledge()))
    assert set(found) == {"a>t via lb", "b>u via lb", "c>u via lb"}
    assert all(inferred and sure > 0.9 for _, sure, inferred in found.values())


def test_callers_that_cannot_be_told_apart_keep_their_hops() -> None:
    load = wavy(1)
    volumes = {("a", "lb"): load, ("b", "lb"): load, ("lb", "t"): load, ("lb", "u"): load}
    hops = hops_of(volumes)
    assert edges(resolve(hops, ["lb"], Knowledge())) == edges(hops)


def test_too_little_evidence_keeps_the_hops() -> None:
    few = np.where(np.arange(T) < 4, 3, 0)
    volumes = {("a", "lb"): few, ("b", "lb"): 2 * few, ("lb", "t"): few, ("lb", "u"): 2 * few}
    assert edges(resolve(hops_of(volumes), ["lb"], Knowledge())) == edges(hops_of(volumes))


def test_declared_targets_of_a_listener_make_its_callers_certain() -> None:
    a, b = wavy(1), wavy(2)
    volumes = {("a", "lb"): a, ("b", "lb"): b, ("lb", "t"): a, ("lb", "u"): b}
    knowledge = Knowledge({("lb", 8001): frozenset({"t"}), ("lb", 8002): frozenset({"u"})})
    found = edges(resolve(hops_of(volumes, ports={"a": 8001, "b": 8002}), ["lb"], knowledge))
    assert found == {"a>t via lb": (a.sum(), 1.0, False), "b>u via lb": (b.sum(), 1.0, False)}


def test_traces_that_pass_the_proxy_name_the_pairs() -> None:
    load = wavy(1)
    volumes = {("a", "lb"): load, ("b", "lb"): load, ("lb", "t"): load, ("lb", "u"): load}
    knowledge = Knowledge(calls={("a", "t"): {"lb": 5.0}, ("b", "u"): {"": 2.0}})
    found = edges(resolve(hops_of(volumes), ["lb"], knowledge))
    assert found == {"a>t via lb": (load.sum(), 1.0, False), "b>u via lb": (load.sum(), 1.0, False)}


def test_a_target_that_sends_no_spans_may_be_called_beside_those_that_traces_name() -> None:
    """The caller's traces name one target; its bytes go up and down with those of another one too."""
    traced, silent, other = wavy(1), wavy(2), wavy(3)
    volumes = {("a", "lb"): traced + silent, ("b", "lb"): other, ("lb", "t"): traced + other, ("lb", "s"): silent}
    knowledge = Knowledge(calls={("a", "t"): {"lb": 5.0}, ("b", "t"): {"lb": 5.0}})
    found = edges(resolve(hops_of(volumes), ["lb"], knowledge))
    assert found["a>t via lb"][1:] == (1.0, False)
    assert found["a>s via lb"][2]
    assert abs(found["a>s via lb"][0] - silent.sum()) < 0.2 * silent.sum()


def test_calls_that_name_no_proxy_say_nothing_of_a_pair_that_is_connected_directly() -> None:
    load = wavy(1)
    volumes = {("a", "lb"): load, ("b", "lb"): load, ("lb", "t"): load, ("lb", "u"): load, ("a", "t"): load}
    found = edges(resolve(hops_of(volumes), ["lb"], Knowledge(calls={("a", "t"): {"": 5.0}})))
    assert "a>t via lb" not in found
    assert found["a>t"][0] == load.sum()


def test_a_chain_lists_its_intermediaries_in_order() -> None:
    a, b = wavy(1), wavy(2)
    volumes = {("a", "edge"): a, ("b", "edge"): b, ("edge", "mesh"): a + b, ("mesh", "t"): a + b}
    found = edges(resolve(hops_of(volumes), ["mesh", "edge"], Knowledge()))
    assert found == {"a>t via edge,mesh": (a.sum(), 1.0, False), "b>t via edge,mesh": (b.sum(), 1.0, False)}


def test_health_checks_are_the_proxys_own_and_stay_hops() -> None:
    load = np.where(np.arange(T) >= 5, wavy(1), 0)
    checks = np.full(T, 5)
    hops = hops_of({("a", "lb"): load, ("lb", "t"): load, ("lb", "spare"): checks})
    assert edges(resolve(hops, ["lb"], Knowledge())) == {
        "a>t via lb": (load.sum(), 1.0, False),
        "lb>spare": (checks.sum(), 1.0, False),
    }


def test_traffic_that_nobody_asked_for_stays_a_hop() -> None:
    """The proxy calls its only target before anybody calls it."""
    load = np.where(np.arange(T) >= 20, 7, 0)
    own = np.where(np.arange(T) < 10, 3, 0)
    found = edges(resolve(hops_of({("a", "lb"): load, ("lb", "t"): load + own}), ["lb"], Knowledge()))
    assert found == {"a>t via lb": (load.sum(), 1.0, False), "lb>t": (own.sum(), 1.0, False)}


def test_the_protocol_is_what_the_target_speaks_else_what_the_caller_does() -> None:
    load = wavy(1)
    cases = {("tcp", "redis"): "redis", ("https", "tcp"): "https", ("https", "http"): "http", ("tcp", "tcp"): "tcp"}
    for (first, second), expected in cases.items():
        hops = hops_of({("a", "lb"): load, ("lb", "t"): load}, {("a", "lb"): first, ("lb", "t"): second})
        resolved = resolve(hops, ["lb"], Knowledge())
        assert resolved.routes[-1] == Route("a", "t", expected, ("lb",))


def test_a_circle_of_intermediaries_ends() -> None:
    routes = [Route("p", "q"), Route("q", "p"), Route("a", "p")]
    assert sorted(in_order(routes, ["q", "p"])) == ["p", "q"]


@given(st.integers(0, 10_000), st.integers(1, 5), st.integers(1, 5), st.integers(0, 2))
@settings(max_examples=40, deadline=None)
def test_what_is_resolved_was_taken_from_the_hops(seed: int, callers: int, targets: int, proxies: int) -> None:
    """Over each caller, and each bucket and measure, nothing is made up, nothing is lost, nothing is negative."""
    rng = np.random.default_rng(seed)
    names = [f"p{at}" for at in range(proxies + 1)]
    volumes: Volume = {}
    for name in names:
        volumes |= {(f"a{at}", name): rng.poisson(rng.integers(0, 9), T) for at in range(callers)}
        volumes |= {(name, f"t{at}"): rng.poisson(rng.integers(0, 9), T) for at in range(targets)}
    volumes |= {(one, other): rng.poisson(3, T) for one, other in itertools.pairwise(names)}
    hops = hops_of(volumes)
    before = hops.measures.copy()
    resolved = resolve(hops, names, Knowledge())
    assert (hops.measures == before).all()
    assert (resolved.measures >= 0).all()
    for caller in {route.source for route in hops.routes} - set(names):
        own = [at for at, route in enumerate(resolved.routes) if route.source == caller]
        first = [at for at, route in enumerate(hops.routes) if route.source == caller]
        assert (resolved.measures[own].sum(axis=0) == hops.measures[first].sum(axis=0)).all()


@given(
    st.lists(st.integers(0, 10**12), min_size=1, max_size=5),
    st.lists(st.floats(0, 1), min_size=1, max_size=6),
)
def test_parts_of_a_whole_add_up_to_it(values: list[int], weights: list[float]) -> None:
    whole = np.array(values, np.int64)[None]
    total = sum(weights)
    shares = np.repeat(
        np.array(weights)[:, None] / total if total > 1e-9 else np.zeros((len(weights), 1)), len(values), 1
    )
    parts = split(whole, shares)
    assert (parts >= 0).all()
    assert (parts.sum(axis=0) == (whole if total > 1e-9 else 0)).all()
