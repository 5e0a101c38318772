"""Load that all edges share is nobody's change, and hides none."""

from __future__ import annotations

import numpy as np
import pytest

from chronotope.server.diff.shared_load import shared_load, shared_rate_p
from chronotope.server.diff.significance import discoveries, matters, rate_p

SUB_WINDOWS = 10
Windows = tuple[np.ndarray, np.ndarray]


def swing(random: np.random.Generator, size: float, memory: float = 0.8) -> np.ndarray:
    """A load of mean 1 that remembers itself, [SUB_WINDOWS]."""
    noise = random.normal(size=SUB_WINDOWS + 20)
    for at in range(1, len(noise)):
        noise[at] = memory * noise[at - 1] + np.sqrt(1 - memory**2) * noise[at]
    return np.exp(size * noise[20:] - size**2 / 2)


def windows(seed: int, mean: np.ndarray, factor: np.ndarray | float, size: float) -> Windows:
    """Calls by sub-window, [N, SUB_WINDOWS], of edges that share a load; in the second window some are multiplied."""
    random = np.random.default_rng(seed)
    rates = mean[:, None], mean[:, None] * np.broadcast_to(np.asarray(factor, float).reshape(-1, 1), (len(mean), 1))
    before, after = (random.poisson(rate * swing(random, size)).astype(float) for rate in rates)
    return before, after


def changed(sub_windows: Windows) -> np.ndarray:
    before, after = (own.sum(1) for own in sub_windows)
    p = shared_rate_p(before, after, sub_windows, 0.5, 0.01)
    return discoveries(p, 0.01) & matters(before, after)


@pytest.mark.parametrize("edges", [20, 60, 500])
def test_a_load_that_swings_for_minutes_is_no_change(edges: int) -> None:
    """A stationary system, a hundred times over: on average about one edge in a hundred may be called changed."""
    mean = np.geomspace(3, 3000, edges)
    assert np.mean([changed(windows(seed, mean, 1.0, 0.5)).mean() for seed in range(100)]) < 0.015


@pytest.mark.parametrize("edges", [30, 500])
def test_what_changes_in_it_is_found(edges: int) -> None:
    factor = np.where(np.arange(edges) % 10 == 0, 3.0, 1.0)
    found = [changed(windows(seed, np.full(edges, 100.0), factor, 0.5)) for seed in range(50)]
    assert np.mean([own[factor > 1].mean() for own in found]) > 0.85
    assert np.mean([own[factor == 1].mean() for own in found]) < 0.015


@pytest.mark.parametrize("size", [0.0, 0.03])
def test_a_load_that_doubles_for_all_is_a_change_of_all(size: float) -> None:
    assert changed(windows(1, np.full(300, 200.0), 2.0, size)).mean() > 0.95


def test_edges_that_swing_each_for_themselves_are_tested_as_they_are() -> None:
    random = np.random.default_rng(3)
    rates = [100 * np.array([swing(random, 0.5) for _ in range(400)]) for _ in range(2)]
    sub_windows = tuple(random.poisson(own).astype(float) for own in rates)
    before, after = (own.sum(1) for own in sub_windows)
    assert shared_load(before, after, (sub_windows[0], sub_windows[1])) is None
    same = shared_rate_p(before, after, (sub_windows[0], sub_windows[1]), 0.5)
    assert np.array_equal(same, rate_p(before, after, (sub_windows[0], sub_windows[1]), 0.5), equal_nan=True)


def test_few_edges_or_sub_windows_share_nothing() -> None:
    sub_windows = windows(5, np.full(19, 1000.0), 1.0, 0.5)
    assert shared_load(sub_windows[0].sum(1), sub_windows[1].sum(1), sub_windows) is None
    none = np.zeros((50, 0))
    assert shared_load(np.ones(50), np.ones(50), (none, none)) is None


def test_windows_of_other_lengths_keep_their_share() -> None:
    """The second window is three times as long: its sub-windows are, and nothing has changed."""
    first, second = windows(7, np.full(200, 50.0), 3.0, 0.4)
    before, after = first.sum(1), second.sum(1)
    p = shared_rate_p(before, after, (first, second), 0.75, 0.01)
    assert not discoveries(p, 0.01).any()
