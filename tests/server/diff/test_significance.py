"""The promise of the diff, by simulation: no change is seldom called one, however bursty; a real change is found."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from chronotope.schema.latency import BUCKETS
from chronotope.server.diff.persistence import persistence
from chronotope.server.diff.significance import (
    discoveries,
    dispersion,
    latency_p,
    matters,
    mean_inflation,
    rate_p,
    share_inflation,
    share_p,
    silence_p,
    volume_p,
)

EDGES, SUB_WINDOWS = 20_000, 10
RNG = np.random.default_rng(5)
STATE = RNG.bit_generator.state


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Each test draws the same numbers, whichever others run."""
    RNG.bit_generator.state = STATE


def bursty(mean: float, spread: float, shape: tuple[int, ...] = (EDGES, SUB_WINDOWS)) -> np.ndarray:
    """Events by sub-window whose variance is `spread` times their mean: negative binomial, or Poisson for 1."""
    if spread == 1:
        return RNG.poisson(mean, shape).astype(float)
    return RNG.negative_binomial(mean / (spread - 1), 1 / spread, shape).astype(float)


def rates(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    return rate_p(before.sum(1), after.sum(1), (before, after), 0.5)


@pytest.mark.parametrize("spread", [1, 1.5, 3, 30])
@pytest.mark.parametrize("mean", [0.1, 2, 300])
def test_steady_rates_are_seldom_called_changed(mean: float, spread: float) -> None:
    """20,000 edges of stationary traffic: at most a twentieth (hundredth) of p-values under 0.05 (0.01), nearly."""
    p = rates(bursty(mean, spread), bursty(mean, spread))
    assert np.mean(p <= 0.05) <= 0.055
    assert np.mean(p <= 0.01) <= 0.013
    assert discoveries(p, 0.01).mean() <= 0.0005


def test_bursts_longer_than_a_sub_window_are_seldom_called_changes() -> None:
    def long_bursts() -> np.ndarray:
        load = np.repeat(RNG.gamma(2, 0.5, (EDGES, SUB_WINDOWS // 2)), 2, axis=1)
        return RNG.poisson(50 * load).astype(float)

    p = rates(long_bursts(), long_bursts())
    assert np.mean(p <= 0.01) <= 0.015
    assert discoveries(p, 0.01).mean() <= 0.0005


def test_one_burst_a_window_is_no_change_and_weighted_samples_are_none() -> None:
    """A thousand calls in one sub-window, or spans that each stand for a hundred: fewer events than counts."""
    burst = RNG.poisson(1.0, (EDGES, SUB_WINDOWS)) * 100.0
    other = RNG.poisson(1.0, (EDGES, SUB_WINDOWS)) * 100.0
    assert not discoveries(rates(burst, other), 0.01).any()


def test_many_answers_without_a_change_have_false_alarms_in_at_most_the_promised_share() -> None:
    """A thousand graphs of 40 edges; each may be wrong once in a hundred."""
    p = rates(bursty(20, 1, (40_000, SUB_WINDOWS)), bursty(20, 1, (40_000, SUB_WINDOWS))).reshape(1000, 40)
    assert np.mean([discoveries(own, 0.01).any() for own in p]) <= 0.015


@pytest.mark.parametrize(("factor", "mean", "least"), [(2, 100, 0.999), (1.5, 100, 0.9), (2, 10, 0.7), (1.2, 300, 0.7)])
def test_power_among_ten_thousand_edges(factor: float, mean: float, least: float) -> None:
    """One edge in a hundred changes; `mean` calls a sub-window, ten sub-windows a window."""
    n = 10_000
    before, after = bursty(mean, 1, (n, SUB_WINDOWS)), bursty(mean, 1, (n, SUB_WINDOWS))
    after[:100] = RNG.poisson(mean * factor, (100, SUB_WINDOWS))
    found = discoveries(rates(before, after), 0.01)
    assert found[:100].mean() >= least
    assert found[100:].sum() <= 0.05 * max(found.sum(), 1)


def errors(share: float, calls: float, spread: float, n: int = EDGES) -> tuple[np.ndarray, np.ndarray]:
    trials = RNG.poisson(calls, (n, SUB_WINDOWS)).astype(float)
    chance = share if spread == 0 else RNG.beta(share / spread, (1 - share) / spread, (n, SUB_WINDOWS))
    return RNG.binomial(trials.astype(int), chance).astype(float), trials


def shares(before: tuple[np.ndarray, np.ndarray], after: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    hits, trials = (before[0], after[0]), (before[1], after[1])
    inflation = share_inflation(hits, trials)
    return share_p((hits[0].sum(1), hits[1].sum(1)), (trials[0].sum(1), trials[1].sum(1)), inflation)


@pytest.mark.parametrize(("share", "calls", "spread"), [(0.01, 3, 0), (0.01, 300, 0), (0.3, 30, 0), (0.05, 100, 0.05)])
def test_steady_error_ratios_are_seldom_called_changed(share: float, calls: float, spread: float) -> None:
    """Also when errors come in clusters (`spread`)."""
    p = shares(errors(share, calls, spread), errors(share, calls, spread))
    assert np.nanmean(p <= 0.05) <= 0.055
    assert np.nanmean(p <= 0.01) <= 0.013
    assert discoveries(p, 0.01).mean() <= 0.0005


def test_error_ratio_that_rose_is_found() -> None:
    p = shares(errors(0.01, 100, 0, 1000), errors(0.05, 100, 0, 1000))
    assert discoveries(p, 0.01).mean() >= 0.9


def test_small_counts_are_as_exact_as_scipys() -> None:
    """Never below scipy's exact one-sided tests, doubled: the exact side of each test is the textbook's."""
    k1, c1, k2, c2 = 1.0, 40.0, 9.0, 50.0
    one, none = np.ones(1), [(np.ones(1), np.full(1, 100.0))]
    p = share_p((one * k1, one * k2), (one * c1, one * c2), none)[0]
    table = [[int(k1), int(c1 - k1)], [int(k2), int(c2 - k2)]]
    fisher = 2 * stats.fisher_exact(table, alternative="less").pvalue
    assert p == pytest.approx(fisher, rel=1e-6)
    sub_windows = np.ones((1, 10)), np.full((1, 10), 3.0)
    p = rate_p(one * 10, one * 30, sub_windows, 0.5)[0]
    assert p >= stats.binomtest(10, 40, 0.5).pvalue * (1 - 1e-9)
    assert p <= 2 * stats.binomtest(10, 40, 0.5).pvalue


def histograms(mean: float, calls: int, wobble: float, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lognormal latencies as buckets; `wobble`: how much the sub-windows' own means vary, in buckets."""
    shift = RNG.normal(0, wobble, (n, SUB_WINDOWS, 1))
    found = np.clip(np.round(RNG.normal(mean + shift, 6, (n, SUB_WINDOWS, calls))), 0, BUCKETS - 1).astype(int)
    dense = np.zeros((n, BUCKETS))
    np.add.at(dense, (np.repeat(np.arange(n), SUB_WINDOWS * calls), found.reshape(-1)), 1)
    return dense, (1.1**found / 1000).sum(2), np.full((n, SUB_WINDOWS), float(calls))


def latencies(before: tuple[np.ndarray, ...], after: tuple[np.ndarray, ...]) -> np.ndarray:
    middles = 1.1 ** np.arange(BUCKETS) / 1000
    variance = [
        own[0] @ middles**2 / own[0].sum(1) - (own[0] @ middles / own[0].sum(1)) ** 2 for own in (before, after)
    ]
    inflation = mean_inflation((before[1], after[1]), (before[2], after[2]), (variance[0], variance[1]))
    return latency_p(before[0], after[0], inflation)


@pytest.mark.parametrize("wobble", [0.0, 2.0])
def test_steady_latencies_are_seldom_called_changed(wobble: float) -> None:
    p = latencies(histograms(100, 20, wobble, 4000), histograms(100, 20, wobble, 4000))
    assert np.mean(p <= 0.01) <= 0.015
    assert discoveries(p, 0.01).mean() <= 0.001


def test_slower_latencies_are_found() -> None:
    p = latencies(histograms(100, 20, 0, 500), histograms(103, 20, 0, 500))
    assert discoveries(p, 0.01).mean() >= 0.9


def test_bytes_of_heavy_tails_are_seldom_called_changed_and_more_of_them_are_found() -> None:
    def volumes(scale: float) -> np.ndarray:
        return scale * RNG.lognormal(10, 1.5, (EDGES, SUB_WINDOWS))

    p = volume_p((volumes(1), volumes(1)))
    assert np.mean(p <= 0.01) <= 0.012
    assert not discoveries(p, 0.01).any()
    steady = RNG.normal(1000, 100, (2, 100, SUB_WINDOWS))
    assert discoveries(volume_p((steady[0], 2 * steady[1])), 0.01).all()


def test_silence_of_a_burst_says_less_than_that_of_as_many_calls() -> None:
    steady, burst = np.full((1, 10), 10.0), np.zeros((1, 10))
    burst[0, 4] = 100
    assert silence_p(np.array([100.0]), steady, 0.5)[0] == pytest.approx(0.5**100)
    assert silence_p(np.array([100.0]), burst, 0.5)[0] >= 0.4
    assert silence_p(np.array([100.0]), steady, 1.0)[0] == 1


def test_without_sub_windows_nothing_is_tested() -> None:
    """A window of ten seconds does not tell bursts from changes."""
    one = np.ones((1, 1))
    assert np.isnan(rate_p(one[0], one[0] * 99, (one, one * 99), 0.5)).all()
    assert np.isnan(volume_p((one, one))).all()
    assert dispersion((one, one))[1][0] == 0


def test_trivial_changes_of_large_counts_are_none() -> None:
    assert matters(np.array([100.0, 100.0, 100.0]), np.array([119.0, 121.0, 80.0])).tolist() == [False, True, True]
    assert not matters(np.array([0.0]), np.array([0.0005]), 0.001)[0]
    assert not matters(np.zeros(1), np.zeros(1))[0]


def test_discoveries_are_benjamini_and_hochbergs() -> None:
    p = np.array([0.001, 0.8, 0.012, np.nan, 0.03, 0.045])
    expected = stats.false_discovery_control(p[~np.isnan(p)]) <= 0.05
    assert discoveries(p, 0.05)[~np.isnan(p)].tolist() == expected.tolist()
    assert not discoveries(p, 0.05)[3]
    assert discoveries(np.empty(0), 0.05).tolist() == []


def lasting(load: float, decay: float, shape: tuple[int, int] = (4000, SUB_WINDOWS)) -> np.ndarray:
    """A lognormal load of mean 1 that remembers itself from sub-window to sub-window."""
    state = RNG.normal(size=(shape[0], shape[1] + 20))
    for at in range(1, state.shape[1]):
        state[:, at] = decay * state[:, at - 1] + np.sqrt(1 - decay**2) * state[:, at]
    return np.exp(load * state[:, 20:] - load**2 / 2)


@pytest.mark.parametrize(("decay", "most"), [(0.5, 0.0005), (0.8, 0.005)])
def test_bursts_that_last_for_half_the_window_are_seldom_called_changes(decay: float, most: float) -> None:
    """Without `persistence`, 3.5 % of edges were called changed at a decay of 0.8; what is left is said here."""
    p = rates(
        RNG.poisson(100 * lasting(0.5, decay)).astype(float), RNG.poisson(100 * lasting(0.5, decay)).astype(float)
    )
    assert discoveries(p, 0.01).mean() <= most


def test_latencies_that_remember_themselves_are_seldom_called_changed() -> None:
    def window() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        centre = 100 + np.log(lasting(0.3, 0.8, (2000, SUB_WINDOWS)))[:, :, None] / np.log(1.1)
        found = np.clip(np.round(RNG.normal(centre, 6, (2000, SUB_WINDOWS, 20))), 0, BUCKETS - 1).astype(int)
        dense = np.zeros((2000, BUCKETS))
        np.add.at(dense, (np.repeat(np.arange(2000), SUB_WINDOWS * 20), found.reshape(-1)), 1)
        return dense, (1.1**found / 1000).sum(2), np.full((2000, SUB_WINDOWS), 20.0)

    assert discoveries(latencies(window(), window()), 0.01).mean() <= 0.005


def test_persistence_is_one_for_independent_sub_windows_and_finds_what_bursts_hide() -> None:
    def centred(values: np.ndarray) -> np.ndarray:
        return values - values.mean(1, keepdims=True)

    assert persistence(centred(bursty(10, 1)), centred(bursty(10, 3))) == 1
    assert persistence(np.zeros((5, 10))) == persistence(np.ones((4, 0))) == 1
    for decay in (0.3, 0.6, 0.8):
        load = lasting(0.4, decay, (20_000, SUB_WINDOWS))
        hidden = load.sum(1).var() / SUB_WINDOWS / load.var(1, ddof=1).mean()
        assert persistence(centred(load)) == pytest.approx(hidden, rel=0.25)
