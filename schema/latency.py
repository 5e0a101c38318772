"""Latency in fixed logarithmic buckets.

Bucket b (0 to 255) holds latencies in (1 µs · 1.1^(b-1), 1 µs · 1.1^b]; bucket 0 all up to 1 µs, bucket 255 all above
nine hours. A quantile is the geometric middle of its bucket: the relative error is at most √1.1 − 1 = 4.9 %.
"""

from __future__ import annotations

import math

import numpy as np

GROWTH = 1.1
BUCKETS = 256
_LOG_GROWTH = math.log(GROWTH)


def bucket_of(latency_ns: np.ndarray) -> np.ndarray:
    """Return the bucket, uint8[N], of latencies in nanoseconds, int64[N]."""
    us = np.maximum(latency_ns, 1000) / 1000.0
    # The small shift keeps an exact bound such as 1.1 µs in its own bucket in spite of rounding.
    index = np.ceil(np.log(us) / _LOG_GROWTH - 1e-9)
    buckets: np.ndarray = np.clip(index, 0, BUCKETS - 1).astype(np.uint8)
    return buckets


def middle_ms(bucket: np.ndarray) -> np.ndarray:
    """Return the geometric middle of buckets, float64[N], in milliseconds."""
    return np.power(GROWTH, bucket.astype(np.float64) - 0.5) / 1000.0


def quantiles_ms(
    offsets: np.ndarray, buckets: np.ndarray, counts: np.ndarray, quantiles: tuple[float, ...]
) -> np.ndarray:
    """Return quantiles of many histograms at once.

    Args:
        offsets: int[E+1]; histogram e is `buckets[offsets[e]:offsets[e+1]]`.
        buckets: uint8[K], rising within each histogram.
        counts: int64[K]; what is not positive counts nothing.
        quantiles: Q numbers in (0, 1].

    Returns:
        float64[E, Q] in milliseconds; NaN where a histogram is empty.
    """
    histograms = len(offsets) - 1
    answer = np.full((histograms, len(quantiles)), np.nan)
    if not len(buckets):
        return answer
    running = np.concatenate([[0], np.cumsum(np.maximum(counts, 0))])
    before, total = running[offsets[:-1]], running[offsets[1:]] - running[offsets[:-1]]
    filled = total > 0
    for column, quantile in enumerate(quantiles):
        rank = before + np.maximum(np.ceil(quantile * total), 1)
        at = np.searchsorted(running, rank, side="left") - 1
        answer[filled, column] = middle_ms(buckets[at[filled]])
    return answer
