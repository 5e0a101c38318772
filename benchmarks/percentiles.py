"""p50 and p99 of a benchmark's rounds, which pytest-benchmark keeps but does not show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def add_percentiles(benchmark: Any, seconds: Sequence[float] | None = None) -> None:
    """Put `p50_ms` and `p99_ms` of the rounds, or of other durations, beside the benchmark's figures."""
    taken = benchmark.stats.stats.data if seconds is None else seconds
    for quantile in (50, 99):
        benchmark.extra_info[f"p{quantile}_ms"] = round(float(np.percentile(taken, quantile)) * 1000, 1)
