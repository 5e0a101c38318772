"""Which symptoms changed, by how much at least, and at what cost. Pure, over arrays of many symptoms.

Times are compared by the logarithm of their means in each sub-window: they vary by factors, and a single outlier weighs
no more than one sub-window. Errors and calls are ratios of sums, whose variance is measured between sub-windows
(Cochran 1977, chapter 6). Both windows are compared by Welch's t (1947). Times are compared by the baseline's spread
alone, where it has enough sub-windows (Glass 1976): a fault that begins within the window makes that window uneven, not
less certain. The certainty of a p-value is the bound of Sellke, Bayarri and Berger (2001): at most 1 − (−e·p·ln p), and
0 from p = 1/e.

Invariant: an effect is a lower bound by one standard error, 0 to 1: the part of the present value that the baseline
does not explain. Without a change for the worse of at least MIN_FACTOR it is 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from chronotope.server.culprits.symptoms import CALLS, TIMES, Symptoms
from chronotope.server.diff.significance import MIN_FACTOR, adjusted, divided

Array = np.ndarray
_TELLING = 5  # sub-windows of a baseline whose spread is known well enough
_RESOLUTION = 0.05  # of times, as a factor: what is measured by buckets may look steadier than it is


@dataclass(frozen=True, slots=True)
class Effects:
    """For Q symptoms: the values before and after, and whether and how much that is a change.

    Attributes:
        before: the ratio in the baseline, float64[Q].
        after: now.
        p: p-value of no change; NaN where it cannot be tested.
        adjusted: p over all symptoms (Benjamini and Hochberg 1995).
        effect: 0 to 1.
        cost: what the change amounts to at least: microseconds, failed requests, calls more or less.
    """

    before: Array
    after: Array
    p: Array
    adjusted: Array
    effect: Array
    cost: Array


def effects_of(symptoms: Symptoms) -> Effects:
    """Return what changed for the worse; calls are worse when they become fewer and when they become more."""
    before, after = _ratios(symptoms)
    times = np.isin(symptoms.kind, TIMES)
    either = symptoms.kind == CALLS
    logs = _log_means(*symptoms.before), _log_means(*symptoms.after)
    first, second = (
        [np.where(times, log, plain) for log, plain in zip(*pair, strict=True)]
        for pair in zip(logs, (before, after), strict=True)
    )
    size = np.where(either, np.abs(second[0] - first[0]), second[0] - first[0])
    p, error = _welch(size, first[1:], second[1:])
    steady = times & (first[2] >= _TELLING)
    p, error = (
        np.where(steady, own, welch) for own, welch in zip(_glass(size, first[1:], second[2]), (p, error), strict=True)
    )
    p = np.where(either, np.minimum(2 * p, 1), p)
    least = np.maximum(size - error, 0)
    high, low = np.maximum(before[0], after[0]), np.minimum(before[0], after[0])
    with np.errstate(divide="ignore", invalid="ignore"):
        effect = np.where(times, -np.expm1(-least), np.divide(least, high, out=np.zeros(len(p)), where=high > 0))
    worse = np.where(times, size >= np.log(MIN_FACTOR), (size > 0) & (high >= low * MIN_FACTOR))
    effect = np.where(worse & ~np.isnan(p), np.clip(effect, 0, 1), 0)
    total = np.where(times, symptoms.after[0].sum(1), high * symptoms.after[1].sum(1))
    return Effects(before[0], after[0], p, adjusted(p), effect, effect * total)


def confidence(p: Array) -> Array:
    """Return how certain a change is, 0 to 1; 0 where there is no p-value."""
    known = np.clip(np.where(np.isnan(p), 1.0, p), 1e-300, 1.0)
    return np.asarray(np.where(known < np.exp(-1), 1 + np.e * known * np.log(known), 0.0))


def _welch(size: Array, first: list[Array], second: list[Array]) -> tuple[Array, Array]:
    """One-sided p-values of a difference, its standard error; `first`, `second`: variance of the mean, count."""
    (v1, n1), (v2, n2) = first, second
    # A window of one sub-window has no spread of its own: the other's is used.
    v1, v2 = np.where(n1 < 2, v2 * n2, v1), np.where(n2 < 2, v1 * n1, v2)
    variance = v1 + v2
    with np.errstate(divide="ignore", invalid="ignore"):
        dof = variance**2 / (v1**2 / np.maximum(n1 - 1, 1) + v2**2 / np.maximum(n2 - 1, 1))
        dof = np.where(np.isfinite(dof), np.maximum(dof, 1), np.maximum(n1 + n2 - 2, 1))
        score = np.where(variance > 0, size / np.sqrt(variance), 0.0)
    testable = (n2 >= 2) & (n1 >= 1)
    return np.where(testable, special.stdtr(dof, -score), np.nan), np.sqrt(variance)


def _glass(size: Array, first: list[Array], n2: Array) -> tuple[Array, Array]:
    """As `_welch`, with the spread of the first window alone."""
    v1, n1 = first
    error = np.sqrt(v1 * n1 * (divided(np.ones(len(n1)), n1) + divided(np.ones(len(n2)), n2)))
    with np.errstate(divide="ignore", invalid="ignore"):
        score = np.where(error > 0, size / error, 0.0)
    return np.where(n2 >= 2, special.stdtr(np.maximum(n1 - 1, 1), -score), np.nan), error


def _ratios(symptoms: Symptoms) -> tuple[tuple[Array, Array, Array], tuple[Array, Array, Array]]:
    """Both windows' ratios of sums, variances and numbers of sub-windows; counts vary at least as Poisson's do."""
    before, after = _ratio(*symptoms.before), _ratio(*symptoms.after)
    totals = symptoms.before[1].sum(1), symptoms.after[1].sum(1)
    pooled = divided(symptoms.before[0].sum(1) + symptoms.after[0].sum(1), totals[0] + totals[1])
    floors = (divided(pooled, total) for total in totals)
    first, second = (
        (own[0], np.maximum(own[1], floor), own[2]) for own, floor in zip((before, after), floors, strict=True)
    )
    return first, second


def _ratio(sums: Array, counts: Array) -> tuple[Array, Array, Array]:
    """Ratio of sums, its variance, and how many sub-windows have a count."""
    total, used = counts.sum(1), (counts > 0).sum(1)
    ratio = divided(sums.sum(1), total)
    rest = sums - ratio[:, None] * counts
    factor = divided(used, used - 1.0)
    return ratio, divided(factor * np.einsum("qk,qk->q", rest, rest), total**2), used


def _log_means(sums: Array, counts: Array) -> tuple[Array, Array, Array]:
    """Mean of the logarithms of sub-windows' means, its variance, and how many sub-windows have a count."""
    seen = counts > 0
    used = seen.sum(1)
    logs = np.where(seen, np.log(np.maximum(np.divide(sums, counts, out=np.ones_like(sums), where=seen), 1.0)), 0.0)
    mean = divided(logs.sum(1), used)
    rest = np.where(seen, logs - mean[:, None], 0.0)
    spread = np.maximum(divided(np.einsum("qk,qk->q", rest, rest), used - 1.0), _RESOLUTION**2)
    return mean, divided(spread, used), used
