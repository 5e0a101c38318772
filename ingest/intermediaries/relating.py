"""The second step of the estimate: the other pairs of a caller and of a target say something about a pair. Pure.

A pair that looks possible by itself is less probable if its caller's traffic is found at other targets and its target's
traffic comes from other callers. It is more probable if both have nobody else. A second logistic model over the first
one's answers learns how much that counts, from the same simulated traffic.
"""

from __future__ import annotations

import numpy as np

RELATIONS = (
    "alone", "others of caller", "others of target", "best other of caller", "best other of target", "part of caller",
    "part of target", "caller over target", "all pairs",
)  # fmt: skip
_IMPOSSIBLE = -6.0  # logit
_LEAST = 1e-4  # part of all bytes


def relations(logit: np.ndarray, there: np.ndarray, inbound: np.ndarray, outbound: np.ndarray) -> np.ndarray:
    """Return RELATIONS of each pair, float64[A, B, R].

    Args:
        logit: float64[A, B], what each pair looks like by itself; there: bool[A, B], pairs that are possible.
        inbound: float64[A], bytes of each caller; outbound: float64[B], of each target.
    """
    alone = np.where(there, logit, _IMPOSSIBLE)
    probable = 1 / (1 + np.exp(-alone))
    parts = [np.log(side / max(side.sum(), 1e-9) + _LEAST) for side in (inbound, outbound)]
    of_caller, of_target = (np.broadcast_to(part, alone.shape) for part in (parts[0][:, None], parts[1][None]))
    return np.stack(
        [
            alone,
            probable.sum(axis=1, keepdims=True) - probable,
            probable.sum(axis=0, keepdims=True) - probable,
            _best_other(alone),
            _best_other(alone.T).T,
            of_caller,
            of_target,
            of_caller - of_target,
            np.full(alone.shape, probable.mean()),
        ],
        axis=-1,
    )


def _best_other(values: np.ndarray) -> np.ndarray:
    """Return for each value the greatest of the others in its row."""
    if values.shape[1] < 2:
        return np.full(values.shape, _IMPOSSIBLE)
    second, first = np.sort(values, axis=1)[:, -2:].T[:, :, None]
    return np.asarray(np.where((values == first) & (np.cumsum(values == first, axis=1) == 1), second, first))
