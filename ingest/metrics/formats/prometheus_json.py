"""Answers of Prometheus' HTTP API (instant and range queries, JSON) to samples.

Invariant: each point gives a sample or is counted in the table's `skipped` by its reason. A body that is no answer, or
an answer that says `error`, is `InvalidPayload`, and nothing of it is used.

Source: https://prometheus.io/docs/prometheus/latest/querying/api/
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np

from chronotope.ingest.metrics.counters.columns import (
    REFUSED,
    NativeHistograms,
    Samples,
    SeriesTable,
    empty_samples,
    sorted_labels,
)
from chronotope.ingest.metrics.formats.point_scan import (
    BAD_POINTS,
    LATEST_S,
    MALFORMED,
    ROWS,
    SHORTEST_POINT,
    SLOW_VALUES,
    scan_points,
)
from chronotope.schema.errors import InvalidPayload

_EMPTY, _ABSENT = msgspec.Raw(b"[]"), msgspec.Raw(b"")


class _Histogram(msgspec.Struct):
    count: str
    sum: str
    buckets: list[tuple[int, str, str, str]] = []


class _Series(msgspec.Struct):
    metric: dict[str, str] = {}
    values: msgspec.Raw = _EMPTY
    value: msgspec.Raw = _ABSENT
    histograms: list[tuple[float, _Histogram]] = []
    histogram: tuple[float, _Histogram] | None = None


class _Data(msgspec.Struct):
    result: msgspec.Raw
    kind: str = msgspec.field(name="resultType", default="")


class _Answer(msgspec.Struct):
    status: str
    data: _Data | None = None
    error: str = ""
    error_type: str = msgspec.field(name="errorType", default="")
    warnings: list[str] = []


_ANSWER = msgspec.json.Decoder(_Answer)
_SERIES = msgspec.json.Decoder(list[_Series])


def parse_query_answer(body: bytes, table: SeriesTable, *, more_labels: Mapping[str, str] | None = None) -> Samples:
    """Return the samples of a query's answer, series after series.

    Args:
        body: JSON with `resultType` `matrix` or `vector`.
        table: where the series are interned; points of series that it refuses are counted there.
        more_labels: labels that all series get, such as the name of this Prometheus.

    Raises:
        InvalidPayload: not JSON of that form, an error answer (its message is named), or a scalar.
    """
    try:
        answer = _ANSWER.decode(body)
        if answer.status != "success" or answer.data is None:
            raise InvalidPayload(f"the query failed: {answer.error_type or 'error'}: {answer.error or answer.status}")
        if answer.data.kind not in ("matrix", "vector"):
            raise InvalidPayload(f"the answer is a {answer.data.kind!r}; a matrix or a vector is needed")
        results = _SERIES.decode(answer.data.result)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InvalidPayload(f"not an answer of Prometheus' query API: {error}") from error
    return _samples(results, table, more_labels)


def _samples(results: list[_Series], table: SeriesTable, more_labels: Mapping[str, str] | None) -> Samples:
    if not results:
        return empty_samples()
    codes = np.array(
        [table.code(one.metric.get("__name__", ""), sorted_labels(one.metric, more_labels)) for one in results],
        np.int32,
    )
    counts, times, values = _points([_array_of(one) for one in results], table)
    series = np.repeat(codes, np.maximum(counts, 0))
    native = _native(results, codes, table)
    if (codes == REFUSED).any():
        return Samples(series, times, values, native).take(series != REFUSED)
    return Samples(series, times, values, native)


def _array_of(series: _Series) -> bytes:
    """Return the JSON of a series' points."""
    value = bytes(series.value)
    return b"[" + value + b"]" if value else bytes(series.values)


def _points(arrays: list[bytes], table: SeriesTable) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return how many points each array has, and the times and values of all."""
    sizes = np.array([len(array) for array in arrays], np.int64)
    joined = b"".join(arrays)
    room = len(joined) // SHORTEST_POINT + 1
    times, values, slow = np.empty(room, np.int64), np.empty(room), np.empty((room, 3), np.int64)
    counts, state = np.empty(len(arrays), np.int64), np.zeros(3, np.int64)
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    scan_points(np.frombuffer(joined, np.uint8), offsets, times, values, slow, counts, state)
    for row, begin, end in slow[: state[SLOW_VALUES]].tolist():
        values[row] = float(joined[begin:end])
    if state[BAD_POINTS]:
        table.skipped["bad_point"] += int(state[BAD_POINTS])
    if malformed := int((counts == MALFORMED).sum()):
        table.skipped["bad_series"] += malformed
    return counts, times[: state[ROWS]].copy(), values[: state[ROWS]].copy()


def _native(results: list[_Series], codes: np.ndarray, table: SeriesTable) -> NativeHistograms | None:
    """Return the native histograms of all series; None when there are none."""
    found: list[tuple[int, float, _Histogram]] = []
    for code, one in zip(codes.tolist(), results, strict=True):
        points = one.histograms if one.histogram is None else [one.histogram]
        found += [
            (code, second, histogram) for second, histogram in points if code != REFUSED and 0 <= second <= LATEST_S
        ]
    if not found:
        return None
    try:
        buckets = np.array(
            [[float(number) for number in bucket[1:]] for *_, histogram in found for bucket in histogram.buckets]
        ).reshape(-1, 3)
        count = np.array([float(histogram.count) for *_, histogram in found])
        total = np.array([float(histogram.sum) for *_, histogram in found])
    except ValueError:
        table.skipped["bad_point"] += len(found)
        return None
    return NativeHistograms(
        series=np.array([code for code, *_ in found], np.int32),
        time_ms=np.array([round(second * 1000) for _, second, _ in found], np.int64),
        count=count,
        sum=total,
        offsets=np.concatenate([[0], np.cumsum([len(histogram.buckets) for *_, histogram in found])]),
        lower=buckets[:, 0],
        upper=buckets[:, 1],
        bucket_count=buckets[:, 2],
    )
