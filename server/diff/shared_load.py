"""Load that all edges share: how much of a rate's change is common to all. Pure.

Invariant: nothing is done where edges do not vary together beyond chance; then rates are tested as they are.

Requests come from outside, so the load of a system varies for all of its edges at once. Ten sub-windows of one edge can
hardly distinguish such a variation from a change, and thousands of edges that vary together tell no more than one. But
together they show the shared load itself: how far all of them are above their mean in each sub-window (a size factor as
of Anders and Huber 2010, here a ratio of sums over the edges whose change between the windows is in the middle half,
weighted by the root of their rate). The events of an edge are then expected in proportion to it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from chronotope.server.diff.significance import matters, rate_p

_EDGES = 20  # so many edges at least have a load in common
_MOST = 4000  # more add nothing
_FEWEST = 1.0  # events a sub-window
_BEYOND = 4.0  # times the variance of chance
_STEP = 8.0  # standard deviations of sub-windows within a window: more is a change of all edges
_LEAST = 0.02  # of the mean: a sub-window with less shows no shares


@dataclass(frozen=True, slots=True)
class Load:
    """What all edges did in each sub-window, relative to their mean: float64[K1], float64[K2]."""

    before: np.ndarray
    after: np.ndarray

    @property
    def share(self) -> float:
        """The second window's share of the expected events."""
        return float(self.after.sum() / (self.before.sum() + self.after.sum()))

    @property
    def is_stepped(self) -> bool:
        """Whether the windows differ by more than the load varies within them."""
        logs = np.log(self.before), np.log(self.after)
        within = np.sqrt(np.mean([own.var(ddof=1) for own in logs]))
        return bool(abs(logs[1].mean() - logs[0].mean()) > _STEP * within)


def shared_load(before: np.ndarray, after: np.ndarray, parts: tuple[np.ndarray, np.ndarray]) -> Load | None:
    """Return the load that N edges share; None where they do not vary together within a window.

    Args:
        before: events of each edge in the first window, [N].
        after: likewise in the second.
        parts: both windows cut into sub-windows, [N, K1] and [N, K2].
    """
    counts = [own.shape[1] for own in parts]
    mean = (before + after) / max(sum(counts), 1)
    own = np.flatnonzero((mean >= _FEWEST) & (before > 0) & (after > 0))
    if len(own) < _EDGES or min(counts) < 3:
        return None
    own = own[:: -(-len(own) // (4 * _MOST))]
    step = np.log(after[own] / before[own])
    low, high = np.quantile(step, (0.25, 0.75))
    own = own[(step >= low) & (step <= high)]
    own = own[np.argsort(-mean[own], kind="stable")[:_MOST]]
    weight = np.sqrt(mean[own]) / np.sqrt(mean[own]).sum()
    load, chance = [], []
    for part in parts:
        ratio = part[own] / mean[own, None]
        load.append(weight @ ratio)
        chance.append(weight**2 @ (ratio - load[-1]) ** 2)
    within = np.mean([part.var(ddof=1) for part in load])
    if min(part.min() for part in load) < _LEAST or within < _BEYOND * np.mean(np.concatenate(chance)):
        return None
    return Load(*load)


def shared_rate_p(
    before: np.ndarray,
    after: np.ndarray,
    parts: tuple[np.ndarray, np.ndarray],
    share: float,
    exact_below: float = 1.0,
) -> np.ndarray:
    """Return two-sided p-values that the rates of N edges are equal, as `rate_p` does, given the load that they share.

    Where edges vary together, one has changed if its part of the load did, by enough to matter. Where the load itself
    differs by more than it varies, one has also changed if its rate did.
    """
    load = shared_load(before, after, parts)
    if load is None:
        return rate_p(before, after, parts, share, exact_below)
    p = rate_p(before, after, (parts[0] / load.before, parts[1] / load.after), load.share, exact_below)
    enough = matters(before / load.before.sum(), after / load.after.sum())
    p = np.where(enough | np.isnan(p), p, 1.0)
    if not load.is_stepped:
        return p
    return np.asarray(np.minimum(2 * np.fmin(p, rate_p(before, after, parts, share, exact_below)), 1.0))
