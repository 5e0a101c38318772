"""Increases, which cover the time between two samples, to the 10-second buckets of observations.

Invariant: the shares of an increase add up to it; those of a whole number are whole numbers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from chronotope.ingest.metrics.counters.columns import Increases
from chronotope.ingest.records.spreading import Spread, spread

_LARGEST = float(1 << 53)


@dataclass(frozen=True, slots=True)
class SpreadIncreases:
    """K shares of increases, in the order of the increases, each increase's in order of time; none is zero."""

    series: np.ndarray  # int32[K]
    bucket_s: np.ndarray  # int64[K]: the bucket's start, Unix seconds, a multiple of 10
    first_ms: np.ndarray  # int64[K]: where in the bucket the share begins, Unix milliseconds
    last_ms: np.ndarray  # int64[K]: its last instant
    amount: np.ndarray  # float64[K]
    increase: np.ndarray  # int64[K]: the row of the increase


def spread_to_buckets(increases: Increases) -> SpreadIncreases:
    """Spread increases evenly over their time, by the largest whole numbers where they are whole numbers.

    Args:
        increases: M increases, of at most a day each.
    """
    spreading = spread(increases.begin_ms, increases.end_ms - increases.begin_ms)
    amount = share_amounts(spreading, increases.increase)
    kept = amount > 0
    record = spreading.record[kept]
    return SpreadIncreases(
        series=increases.series[record],
        bucket_s=spreading.bucket[kept],
        first_ms=spreading.first_at[kept],
        last_ms=spreading.last_at[kept],
        amount=amount[kept],
        increase=record,
    )


def share_amounts(spreading: Spread, totals: np.ndarray) -> np.ndarray:
    """Return what falls to each bucket of totals float64[M]: whole numbers, where the total is one."""
    whole = (totals == np.floor(totals)) & (totals <= _LARGEST)
    exact = spreading.share(np.where(whole, totals, 0.0).astype(np.int64))
    length = spreading.length_ms[spreading.record]
    parts = totals[spreading.record] * ((spreading.end - spreading.begin) / length)
    amounts: np.ndarray = np.where(whole[spreading.record], exact, parts)
    return amounts
