"""Distinct values of columns of dense codes."""

from __future__ import annotations

import numpy as np


def distinct_codes(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct values, rising, and the index of each row's among them.

    Like `np.unique` with `return_inverse`, for int64[N] from 0 on. Where the highest value isn't far above N the
    values are marked and counted, which is several times faster than sorting them.
    """
    highest = int(values.max(initial=0)) + 1
    if highest > 4 * len(values) + 65536:
        distinct, inverse = np.unique(values, return_inverse=True)
        return distinct, inverse
    seen = np.zeros(highest, np.bool_)
    seen[values] = True
    return np.flatnonzero(seen), (np.cumsum(seen) - 1)[values]
