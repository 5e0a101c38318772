"""Whatever the increases are, all that was counted is in the observations, once; errors are never more than calls."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from chronotope.ingest.metrics.counters.columns import Increases
from chronotope.ingest.metrics.mapping.pipeline import MetricsPipeline
from chronotope.schema.config.config import Config

T0 = 1_700_000_000_000
CODES = ("200", "500", "503")
rise = st.tuples(
    st.integers(0, 3), st.integers(0, 2), st.integers(0, 600_000), st.integers(1, 900_000), st.integers(1, 10**9)
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(rise, max_size=30), max_size=4), st.booleans())
def test_observations_add_up_to_the_increases(batches: list[list[tuple[int, ...]]], fractions: bool) -> None:
    pipeline = MetricsPipeline(Config())
    calls: dict[str, float] = {}
    errors: dict[str, float] = {}
    found: dict[str, list[int]] = {}
    for batch in batches:
        series, begin, end, amount = [], [], [], []
        for target, code, start, length, count in batch:
            labels = (
                ("destination_workload", f"w{target}"),
                ("reporter", "source"),
                ("response_code", CODES[code]),
                ("source_workload", "caller"),
            )
            value = count / 8 if fractions else float(count)
            series.append(pipeline.table.code("istio_requests_total", labels))
            begin.append(T0 + start)
            end.append(T0 + start + length)
            amount.append(value)
            calls[f"w{target}"] = calls.get(f"w{target}", 0) + value
            errors[f"w{target}"] = errors.get(f"w{target}", 0) + value * (code > 0)
        increases = Increases(
            np.array(series, np.int32), np.array(begin, np.int64), np.array(end, np.int64), np.array(amount, np.float64)
        )
        for table in pipeline.observer.observe(increases):
            for row in table.to_pylist():
                assert 0 <= row["errors"] <= row["calls"] + fractions
                assert row["time"] % 10 == 0
                sums = found.setdefault(row["target"], [0, 0])
                sums[0] += row["calls"]
                sums[1] += row["errors"]
    for target in calls:
        got = found.get(target, [0, 0])
        assert abs(got[0] - calls[target]) <= (0.5 if fractions else 0)
        assert abs(got[1] - errors[target]) <= (0.5 if fractions else 0)


def test_what_rounding_leaves_of_small_fractions_is_not_lost() -> None:
    pipeline = MetricsPipeline(Config())
    code = pipeline.table.code("istio_requests_total", (("destination_workload", "b"), ("source_workload", "a")))
    calls = 0
    for number in range(100):
        time = np.array([T0 + number * 10_000])
        rises = Increases(np.array([code], np.int32), time, time + 10_000, np.array([0.3]))
        calls += sum(sum(table["calls"].to_pylist()) for table in pipeline.observer.observe(rises))
    assert calls == 30
