"""From sums to the measures of an answer: rates, ratios, means, quantiles. Pure; columns in, records out.

Invariant: what cannot be computed is None.
"""

from __future__ import annotations

from itertools import repeat
from typing import Any

import numpy as np
from msgspec import UNSET

from chronotope.schema.latency import quantiles_ms
from chronotope.server.evidence.codes import code_records
from chronotope.server.evidence.columns import LayerColumns, Measures
from chronotope.server.evidence.statement import LATENCY_ENDS
from chronotope.server.graph.answer import Calls, Flows, Latency, RoundTrip

QUANTILES = (0.5, 0.95, 0.99)
_EXTRAS = ("connections", "bytes_sent", "bytes_received")


def call_records(layer: LayerColumns, seconds: int, *, full: bool, ends: bool) -> list[Any]:
    """Return `Calls` for each edge, or UNSET where the layer has not seen it.

    Args:
        layer: E edges of layer trace or ipc.
        seconds: length of the window.
        full: with quantiles; codes are there where they were read.
        ends: say which end measured the latency.
    """
    index = np.flatnonzero(layer.alive)
    own = {name: values[index] for name, values in layer.measures.items()}
    records = map(
        Calls,
        own["calls"].tolist(),
        own["errors"].tolist(),
        np.round(own["calls"] / seconds, 6).tolist(),
        ratio(own["errors"], own["calls"]),
        _latencies(layer, own, index, full=full),
        _latency_ends(own) if ends else repeat(UNSET),
        *(_where_any(own[name]) for name in _EXTRAS),
        code_records(layer.codes, index),
    )
    return _placed(list(records), index, len(layer.alive))


def flow_records(layer: LayerColumns) -> list[Any]:
    """Return `Flows`, or UNSET where the network saw nothing, for each of E edges."""
    index = np.flatnonzero(layer.alive)
    own = {name: values[index] for name, values in layer.measures.items()}
    records = map(
        Flows,
        own["connections"].tolist(),
        own["failed_connections"].tolist(),
        own["bytes_sent"].tolist(),
        own["bytes_received"].tolist(),
        own["retransmits"].tolist(),
        map(RoundTrip, ratio(own["rtt_us_sum"], own["rtt_count"], 1000.0)),
    )
    return _placed(list(records), index, len(layer.alive))


def ratio(part: np.ndarray, whole: np.ndarray, unit: float = 1.0) -> list[float | None]:
    """Return `part / whole / unit`, None where `whole` is not positive."""
    known = whole > 0
    values = np.round(np.divide(part, whole, out=np.zeros(len(whole)), where=known) / unit, 6)
    return or_none(values, known)


def or_none(values: np.ndarray, known: np.ndarray) -> list[float | None]:
    """Return numbers, None where they are not known."""
    if known.all():
        plain: list[float | None] = values.tolist()
        return plain
    boxed = values.astype(object)
    boxed[~known] = None
    answer: list[float | None] = boxed.tolist()
    return answer


def layer_quantiles(layer: LayerColumns) -> np.ndarray:
    """Return the quantiles of each edge in milliseconds, float64[E, 3]; NaN where none are known."""
    found = np.full((len(layer.alive), len(QUANTILES)), np.nan)
    histograms = layer.histograms
    if histograms is not None and len(histograms.edge):
        found[histograms.edge] = quantiles_ms(histograms.offsets, histograms.buckets, histograms.counts, QUANTILES)
    return np.round(found, 6)


def _latencies(layer: LayerColumns, own: Measures, index: np.ndarray, *, full: bool) -> Any:
    means = ratio(own["latency_us_sum"], own["latency_count"], 1000.0)
    if not full:
        return map(Latency, means)
    quantiles = layer_quantiles(layer)[index]
    known = ~np.isnan(quantiles)
    return map(Latency, means, *(or_none(quantiles[:, q], known[:, q]) for q in range(len(QUANTILES))))


def _latency_ends(own: Measures) -> list[Any]:
    names = np.array([None, "source", "target", "mixed"], object)
    source, target = (own[name] > 0 for name in LATENCY_ENDS)
    ends: list[Any] = names[source + 2 * target].tolist()
    return ends


def _where_any(values: np.ndarray) -> Any:
    """A measure that most edges of a layer do not have; UNSET where it is 0."""
    return [value or UNSET for value in values.tolist()] if values.any() else repeat(UNSET)


def _placed(records: list[Any], index: np.ndarray, edges: int) -> list[Any]:
    if len(index) == edges:
        return records
    placed: list[Any] = [UNSET] * edges
    for at, record in zip(index.tolist(), records, strict=True):
        placed[at] = record
    return placed
