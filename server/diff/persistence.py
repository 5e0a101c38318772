"""How long bursts last: how much variance of a sum its sub-windows hide when they depend on each other. Pure.

Invariant: the factor is 1 for independent sub-windows, and larger the longer bursts last. It is estimated once for all
edges of a test, from thousands of short rows, since ten sub-windows of one edge cannot tell. Method of moments: counts
are noise of share 1 - s and a load of share s that decays by φ from one sub-window to the next (an AR(1) process with
noise).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

_DECAYS = np.linspace(0.1, 0.95, 18)
_SHARES = np.linspace(0.2, 1.0, 5)
_SIMULATED = 1500  # rows of a point of the grid, which is made once for each number of sub-windows


def persistence(*residuals: np.ndarray) -> float:
    """Return by what factor the variance of a sum of sub-windows exceeds that of independent ones with their spread.

    Args:
        residuals: deviations of N edges' sub-windows from the mean of their window, [N, K], one array a window.
    """
    moments = [own for own in (_moments(rows) for rows in residuals) if own is not None]
    if not moments:
        return 1.0
    count = moments[0][2]
    alike = [own for own in moments if own[2] == count]
    rows = sum(own[0] for own in alike)
    lags = np.sum([own[0] * own[1] for own in alike], axis=0) / rows
    independent = -1 / (count - 1)
    if lags[0] - independent < 3 / np.sqrt(rows * count):  # what chance alone may give
        return 1.0
    expected, factor = _grid(count)
    return float(max(factor[np.argmin(((expected - lags) ** 2).sum(1))], 1.0))


def _moments(rows: np.ndarray) -> tuple[int, np.ndarray, int] | None:
    """How many rows vary, their mean autocorrelation at lags 1 and 2, and the number of sub-windows."""
    count = rows.shape[1]
    varies = (rows != 0).any(1)
    if count < 6 or not varies.any():
        return None
    return int(varies.sum()), _lags(rows[varies]), count


def _lags(rows: np.ndarray) -> np.ndarray:
    """The mean over rows of each row's own autocorrelation: a busy edge counts as much as a quiet one."""
    count, spread = rows.shape[1], np.einsum("nk,nk->n", rows, rows)
    shifted = [np.einsum("nk,nk->n", rows[:, lag:], rows[:, :-lag]) / (count - lag) for lag in (1, 2)]
    return np.array([np.mean(own / (spread / count)) for own in shifted])


@lru_cache(maxsize=64)
def _grid(count: int) -> tuple[np.ndarray, np.ndarray]:
    """For each decay and share: the autocorrelations that residuals show, [G, 2], and the factor, [G].

    The mean of a ratio is not the ratio of means, so residuals are simulated, always with the same numbers.
    """
    noise = np.random.default_rng(0).normal(size=(_SIMULATED, count))
    apart = np.abs(np.subtract.outer(np.arange(count), np.arange(count)))
    expected, factors = [], []
    for decay in _DECAYS:
        for share in _SHARES:
            covariance = share * decay**apart + (1 - share) * (apart == 0)
            rows = noise @ np.linalg.cholesky(covariance).T
            expected.append(_lags(rows - rows.mean(1, keepdims=True)))
            shown = (count - covariance.sum() / count) / (count - 1)  # variance within a window, on average
            factors.append(covariance.sum() / count / shown)
    return np.array(expected), np.array(factors)
