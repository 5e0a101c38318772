"""Real HAProxy and nginx: pairs behind a listener with one target exactly, those behind a shared one by estimate."""

from __future__ import annotations

import pytest

from tests.lab.lab import PROXIES, Run, run
from tests.needs import need_bpf

pytestmark = pytest.mark.slow

SECONDS = 60


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Run:
    need_bpf("haproxy", "nginx")
    return run(tmp_path_factory.mktemp("lab"), 3, SECONDS)


def own(lab: Run) -> dict[tuple[str, str], tuple[float, bool]]:
    """(caller, target) → confidence and whether it was inferred, of the lab's own hosts; others share the kernel."""
    hosts = {*lab.plan.callers, *lab.plan.targets}
    return {
        (edge["source"], edge["target"]): (edge["confidence"], edge["inferred"])
        for edge in lab.resolved["edges"]
        if edge["via"] and {edge["source"], edge["target"]} <= hosts
    }


def test_what_was_called_is_what_was_planned(lab: Run) -> None:
    assert set(lab.truth) == {(caller, target) for caller, target, _ in lab.plan.all}


def test_pairs_behind_a_listener_of_one_target_are_exact(lab: Run) -> None:
    """Certain pairs are the declared ones, each through its proxy, and nothing else is called certain."""
    found = own(lab)
    certain = {(caller, target) for caller, target, _ in lab.plan.certain}
    assert {pair for pair, (sure, inferred) in found.items() if not inferred} == certain
    assert all(found[pair] == (1.0, False) for pair in certain)
    assert {key for key in lab.plan.certain if key in lab.found} == lab.plan.certain


def test_pairs_behind_a_shared_listener_are_estimated(lab: Run) -> None:
    """F1 at least 0.9 over all pairs, and of those that are given 0.9 or more, at least 90 % are real."""
    found, true = set(own(lab)), set(lab.truth)
    assert 2 * len(found & true) / (len(found) + len(true)) >= 0.9, (found - true, true - found)
    sure = {pair for pair, (confidence, _) in own(lab).items() if confidence >= 0.9}
    assert len(sure & true) >= 0.9 * len(sure), sure - true


def test_hops_stay_as_they_were_seen(lab: Run) -> None:
    hops = {(edge["source"], edge["target"]) for edge in lab.hops["edges"]}
    expected = {(caller, proxy) for caller, _, proxy in lab.plan.all} | {
        (proxy, target) for _, target, proxy in lab.plan.all
    }
    assert expected <= hops
    assert not {(caller, target) for caller, target, _ in lab.plan.all} & hops
    assert all(edge["via"] == [] for edge in lab.hops["edges"])


def test_connections_and_bytes_of_a_caller_are_neither_lost_nor_made_up(lab: Run) -> None:
    for caller in lab.plan.callers:
        sums = []
        for edges in (lab.resolved["edges"], lab.hops["edges"]):
            flows = [edge["evidence"]["network"] for edge in edges if edge["source"] == caller]
            sums.append([sum(flow[name] for flow in flows) for name in ("connections", "bytes_sent", "bytes_received")])
        assert sums[0] == sums[1], caller
    assert {edge["source"] for edge in lab.hops["edges"]} >= set(PROXIES)
