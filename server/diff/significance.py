"""Whether two windows of one edge differ by more than chance. Pure, over arrays of many edges.

Invariant: without a change, in steady or bursty traffic, a test's p-value is at most α with probability at most α
(nearly: how much variance bursts over several sub-windows hide is estimated over all edges together, see
`persistence`). A change that `discoveries` accepts is improbable (false discovery rate ≤ q over all tests of an answer)
and large enough to matter (`MIN_FACTOR`).

Each test is the more cautious of two: an exact one that holds for independent events, and one whose variance is
measured between sub-windows of both windows, so that bursts, retries and weighted samples raise no alarm.

- Rates: conditional binomial (Przyborowski and Wilenski 1940); quasi-likelihood with the negative binomial's variance,
  dispersion times mean (McCullagh and Nelder 1989, chapter 9; Lund et al. 2012).
- Shares: Fisher's exact test where one kind of outcome is rare, else two proportions; the variance between sub-windows
  is that of a ratio of sums (Cochran 1977, chapter 6).
- Latency: Mann and Whitney's U over logarithmic buckets, with ties.
- Many tests at once: Benjamini and Hochberg 1995.
"""

from __future__ import annotations

import numpy as np
from scipy import special

from chronotope.server.diff.persistence import persistence

# The least change that is one, as a factor either way; shares must also differ by a thousandth.
MIN_FACTOR = 1.2
MIN_SHARE = 0.001
DEFAULT_SIGNIFICANCE = 0.01

Array = np.ndarray
# Dispersion that independent events exceed one time in ten is taken as burstiness, and its uncertainty counts.
_STEADY = 0.1
_FEW = 100  # outcomes that are still counted exactly


def rate_p(before: Array, after: Array, parts: tuple[Array, Array], share: float, exact_below: float = 1.0) -> Array:
    """Return two-sided p-values that the rates of N edges are equal; NaN where that cannot be tested.

    Args:
        before: events of each edge in the first window, [N].
        after: likewise in the second.
        parts: both windows cut into sub-windows, [N, K1] and [N, K2].
        share: the second window's share of all events when nothing changed, 0 to 1.
        exact_below: a p-value that is larger without the exact test is not made exact: it can only grow.
    """
    total = before + after
    with np.errstate(divide="ignore", invalid="ignore"):
        score = np.abs(after - share * total) / np.sqrt(total * share * (1 - share))
    (spread, freedom), twice = dispersion(parts), dispersion(paired(parts))
    p = _inflated_p(score, [(spread * persistence(*map(_centred, parts)), freedom), twice])
    rows = np.flatnonzero(p <= exact_below)
    lower = _at_most(after[rows], total[rows], share)
    upper = _at_most(before[rows], total[rows], 1 - share)
    p[rows] = np.maximum(p[rows], np.minimum(2 * np.minimum(lower, upper), 1))
    return np.where(total > 0, p, np.nan)


def volume_p(parts: tuple[Array, Array]) -> Array:
    """Return p-values that the means of N edges' sub-windows are equal (Welch 1947): for bytes, which are no events."""
    worst = np.zeros(len(parts[0]))
    for first, second in (parts, paired(parts)):
        k1, k2 = first.shape[1], second.shape[1]
        if min(k1, k2) < 2:
            return np.full(len(first), np.nan)
        v1, v2 = first.var(1, ddof=1) / k1, second.var(1, ddof=1) / k2
        with np.errstate(divide="ignore", invalid="ignore"):
            score = np.abs(second.mean(1) - first.mean(1)) / np.sqrt(v1 + v2)
            freedom = (v1 + v2) ** 2 / (v1**2 / (k1 - 1) + v2**2 / (k2 - 1))
        constant = v1 + v2 <= 0
        p = 2 * special.stdtr(np.where(constant, 1.0, freedom), -np.where(constant, 0.0, score))
        worst = np.maximum(worst, np.where(constant, np.where(first.mean(1) == second.mean(1), 1.0, 0.0), p))
    return worst


def share_p(
    hits: tuple[Array, Array],
    trials: tuple[Array, Array],
    inflation: list[tuple[Array, Array]],
    exact_below: float = 1.0,
) -> Array:
    """Return two-sided p-values that two shares, such as error ratios, are equal; NaN where one has no trials.

    Args:
        hits: of N edges in both windows.
        trials: likewise.
        inflation: (variance measured ÷ variance if independent, degrees of freedom), as `share_inflation` gives it.
        exact_below: a p-value that is larger without the exact test is not made exact: it can only grow.
    """
    (c1, c2), total = trials, trials[0] + trials[1]
    k1, k2 = np.clip(hits[0], 0, c1), np.clip(hits[1], 0, c2)
    with np.errstate(divide="ignore", invalid="ignore"):
        pooled = (k1 + k2) / total
        score = np.abs(k1 / c1 - k2 / c2) / np.sqrt(pooled * (1 - pooled) * (1 / c1 + 1 / c2))
    score = np.where((k1 + k2 == 0) | (k1 + k2 == total), 0.0, score)
    p = np.maximum(2 * special.ndtr(-score), _inflated_p(score, inflation))
    rare = np.where(k1 + k2 <= total / 2, k1, c1 - k1), np.where(k1 + k2 <= total / 2, k2, c2 - k2)
    few = np.flatnonzero((rare[0] + rare[1] <= _FEW) & (c1 > 0) & (c2 > 0) & (p <= exact_below))
    p[few] = np.maximum(p[few], _fisher(rare[0][few], rare[1][few], c1[few], c2[few]))
    return np.where((c1 > 0) & (c2 > 0), p, np.nan)


def share_inflation(hits: tuple[Array, Array], trials: tuple[Array, Array]) -> list[tuple[Array, Array]]:
    """Return how much more shares vary between sub-windows than independent trials would, at two scales.

    Args:
        hits: of N edges by sub-window, [N, K1] and [N, K2].
        trials: likewise.
    """
    found: list[tuple[Array, Array]] = []
    for k, c in ((hits, trials), (paired(hits), paired(trials))):
        share = np.clip(divided(k[0].sum(1) + k[1].sum(1), c[0].sum(1) + c[1].sum(1)), 0, 1)
        spread = share * (1 - share)
        found.append(_ratio_inflation(k, c, (spread, spread), lasting=not found))
    return found


def mean_inflation(
    sums: tuple[Array, Array], counts: tuple[Array, Array], variance: tuple[Array, Array]
) -> list[tuple[Array, Array]]:
    """Return how much more means vary between sub-windows than independent values would, at two scales.

    Args:
        sums: of N edges by sub-window, [N, K1] and [N, K2].
        counts: likewise.
        variance: of one value, in both windows, [N].
    """
    pairs = ((sums, counts), (paired(sums), paired(counts)))
    return [_ratio_inflation(*pair, variance, lasting=pair is pairs[0]) for pair in pairs]


def latency_p(before: Array, after: Array, inflation: list[tuple[Array, Array]]) -> Array:
    """Return p-values that neither of two latency histograms, [N, B], tends to be slower; NaN with under 5 calls."""
    n1, n2, ties = before.sum(1), after.sum(1), before + after
    below = np.cumsum(after, 1) - after / 2
    wins = np.einsum("nb,nb->n", before, below)
    total = n1 + n2
    with np.errstate(divide="ignore", invalid="ignore"):
        tied = (ties**3 - ties).sum(1) / (total * (total - 1))
        score = np.abs(wins - n1 * n2 / 2) / np.sqrt(n1 * n2 / 12 * (total + 1 - tied))
    score = np.where(np.isfinite(score), score, 0.0)
    p = np.maximum(2 * special.ndtr(-score), _inflated_p(score, inflation))
    return np.where(np.minimum(n1, n2) >= 5, p, np.nan)


def silence_p(events: Array, parts: Array, share: Array | float) -> Array:
    """Return how probable it is that one window has no event, when the other had some, [N].

    Args:
        events: of N edges in the window that had them.
        parts: sub-windows of that window, [N, K]; a burst counts about as one event.
        share: the window's share of all events when nothing changed.
    """
    none = np.zeros((len(parts), 0))
    spread = np.maximum.reduce([np.ones(len(parts)), *(dispersion(own)[0] for own in ((parts, none), _pair(parts)))])
    return np.asarray(np.power(np.clip(share, 0.0, 1.0), np.maximum(events, 0) / spread))


def dispersion(parts: tuple[Array, Array]) -> tuple[Array, Array]:
    """Return variance ÷ mean within windows, 1 for independent events, and its degrees of freedom, [N] each."""
    squares, means, freedom = (
        np.zeros(len(parts[0])),
        np.zeros(len(parts[0])),
        np.zeros(len(parts[0])),
    )
    for own in parts:
        if own.shape[1] > 1:
            mean = own.mean(1)
            squares += np.einsum("nk,nk->n", own, own) - own.shape[1] * mean**2
            means += mean * (own.shape[1] - 1)
            freedom += np.where(mean > 0, own.shape[1] - 1, 0)
    return divided(np.maximum(squares, 0), means), freedom


def paired(parts: tuple[Array, Array]) -> tuple[Array, Array]:
    """Return sub-windows twice as long: they show bursts that are longer than a sub-window."""
    return _pair(parts[0])[0], _pair(parts[1])[0]


def adjusted(p: Array) -> Array:
    """Return p-values over all tests: those up to q hold a part of at most q of false ones; NaN is no test."""
    found = np.full(len(p), np.nan)
    tested = np.flatnonzero(~np.isnan(p))
    if len(tested):
        order = tested[np.argsort(p[tested])]
        scaled = p[order] * len(tested) / np.arange(1, len(tested) + 1)
        found[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1)
    return found


def discoveries(p: Array, significance: float) -> Array:
    """Return which of M tests stand, bool[M], with a false discovery rate of at most `significance`; NaN is no test."""
    return np.asarray(adjusted(p) <= significance)


def matters(before: Array, after: Array, least: float = 0.0) -> Array:
    """Return which changes are large enough: by `MIN_FACTOR` either way, and by more than `least`; bool[N]."""
    low, high = np.minimum(before, after), np.maximum(before, after)
    return np.asarray((high >= low * MIN_FACTOR) & (high - low >= least) & (high > low))


def _centred(parts: Array) -> Array:
    return np.asarray(parts - parts.mean(1, keepdims=True)) if parts.shape[1] else parts


def _pair(parts: Array) -> tuple[Array, Array]:
    even = parts.shape[1] // 2 * 2
    return parts[:, 0:even:2] + parts[:, 1:even:2], np.zeros((len(parts), 0))


def _ratio_inflation(
    sums: tuple[Array, Array], counts: tuple[Array, Array], variance: tuple[Array, Array], *, lasting: bool
) -> tuple[Array, Array]:
    """Measured variance of a ratio ÷ that of independent trials; `lasting`: with what dependent sub-windows hide."""
    residuals = []
    measured, independent, freedom = np.zeros(len(sums[0])), np.zeros(len(sums[0])), np.zeros(len(sums[0]))
    for total, count, own in zip(sums, counts, variance, strict=True):
        parts, n = total.shape[1], count.sum(1)
        if parts < 2:
            continue
        rest = total - divided(total.sum(1), n)[:, None] * count
        residuals.append(_centred(rest))
        measured += divided(np.einsum("nk,nk->n", rest, rest) * parts / (parts - 1), n**2)
        independent += divided(own, n)
        freedom += np.where(n > 0, np.maximum((count > 0).sum(1) - 1, 0), 0)
    factor = persistence(*residuals) if lasting else 1.0
    return np.where(independent > 0, factor * divided(measured, independent), 1.0), freedom


def _inflated_p(score: Array, inflation: list[tuple[Array, Array]]) -> Array:
    """The largest p-value of a normal score whose variance is inflated; NaN where no sub-windows show how much."""
    worst = np.zeros(len(score))
    for factor, freedom in inflation:
        known = freedom >= 1
        scaled = np.where(np.isfinite(score), score, 0.0) / np.sqrt(np.maximum(factor, 1.0))
        dof = np.where(known, freedom, 1.0)
        steady = special.chdtrc(dof, np.maximum(factor, 0) * dof) > _STEADY
        p = 2 * special.ndtr(-scaled)
        unsteady = np.flatnonzero(known & ~steady)
        p[unsteady] = 2 * special.stdtr(dof[unsteady], -scaled[unsteady])
        worst = np.maximum(worst, np.where(known, p, np.nan))
    return worst


def _at_most(count: Array, total: Array, share: float) -> Array:
    """P(X ≤ count) of a binomial, by the incomplete beta function: exact for any size."""
    below = np.maximum(total - count, 0)
    inside = special.betainc(np.maximum(below, 1), count + 1.0, 1 - share)
    return np.asarray(np.where(below > 0, inside, 1.0))


def _fisher(k1: Array, k2: Array, c1: Array, c2: Array) -> Array:
    """Fisher's exact test, both tails; k1 + k2 small."""
    if not len(k1):
        return np.ones(0)
    hits = k1 + k2
    at = np.arange(int(hits.max()) + 1)[None, :]
    possible = (at <= np.minimum(hits, c1)[:, None]) & (at >= np.maximum(hits - c2, 0)[:, None])

    def ways(n: Array, k: Array) -> Array:
        k = np.clip(k, 0, n)
        return np.asarray(special.gammaln(n + 1) - special.gammaln(k + 1) - special.gammaln(n - k + 1))

    chance = ways(c1[:, None], at) + ways(c2[:, None], hits[:, None] - at) - ways(c1 + c2, hits)[:, None]
    chance = np.where(possible, np.exp(np.minimum(chance, 0)), 0.0)
    lower = (chance * (at <= k1[:, None])).sum(1)
    upper = (chance * (at >= k1[:, None])).sum(1)
    return np.asarray(np.minimum(2 * np.minimum(lower, upper), 1))


def divided(part: Array, whole: Array) -> Array:
    """Return `part / whole`, 0 where `whole` is not positive."""
    return np.asarray(np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0))
