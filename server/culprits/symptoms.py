"""Symptoms: what can get worse in one layer, as sums over sub-windows. Pure.

A symptom is a ratio, numerator ÷ denominator, of a service or of a call between two:

| kind | of | ratio |
| --- | --- | --- |
| `own_time` | service | time in the service without its callees' (its self time), a request |
| `between_time` | call | time between caller and callee (network, queues, pools), a call; round trips of the network |
| `own_errors` | service | failed requests that no failed call of the service's own explains, a request |
| `calls` | call | calls that one request of the caller makes |

Invariant: time and errors of a callee are not its caller's symptoms: own time leaves them out. It is measured on spans
where they came here as spans. Else it is the time of inbound calls less that of outbound calls; parallel calls can make
that too small, never too large.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

Array = np.ndarray
KINDS = ("own_time", "between_time", "own_errors", "calls")
OWN_TIME, BETWEEN_TIME, OWN_ERRORS, CALLS = range(4)
TIMES = (OWN_TIME, BETWEEN_TIME)


_NONE = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class WindowSums:
    """One layer in one window cut into K sub-windows: sums of E edges and S services, float64[E or S, K].

    `latency`, `answered`: microseconds and calls as callers measured them, else as callees did. `served`, `served_n`:
    as callees did. `own`, `requests`: self time from spans, and its requests. `between`, `between_n`: likewise between.
    """

    calls: Array
    errors: Array
    latency: Array
    answered: Array
    served: Array
    served_n: Array
    between: Array
    between_n: Array
    own: Array
    requests: Array


@dataclass(frozen=True, slots=True)
class LayerSums:
    """One layer in both windows, over the same edges: codes of services, int64[E]."""

    layer: str
    services: int
    source: Array
    target: Array
    before: WindowSums
    after: WindowSums


@dataclass(frozen=True, slots=True)
class Symptoms:
    """Q symptoms. Of a service, source and target are the same.

    Numerator and denominator are float64[Q, K] in both windows.
    """

    layer: Array  # int64[Q], number of the layer
    kind: Array
    source: Array
    target: Array
    before: tuple[Array, Array]
    after: tuple[Array, Array]

    def __len__(self) -> int:
        return len(self.kind)


def symptoms_of(layers: list[LayerSums]) -> Symptoms:
    """Return all symptoms that layers can show, if they have a denominator in both windows."""
    parts = [part for number, layer in enumerate(layers) for part in _layer(number, layer)]
    if not parts:
        parts = [(_NONE,) * 4 + (np.zeros((0, 1)),) * 4]
    columns = [np.concatenate(column) for column in zip(*(part[:4] for part in parts), strict=True)]
    sums = [np.concatenate(column) for column in zip(*(part[4:] for part in parts), strict=True)]
    before_n, after_n = sums[1], sums[3]
    kept = (before_n > 0).any(1) & (after_n > 0).any(1)
    layer, kind, source, target = (column[kept] for column in columns)
    before, after = (sums[0][kept], before_n[kept]), (sums[2][kept], after_n[kept])
    return Symptoms(layer, kind, source, target, before, after)


def _layer(number: int, layer: LayerSums) -> Iterator[tuple[Array, ...]]:
    service = np.arange(layer.services)
    inner = layer.source != layer.target
    exact = np.asarray((layer.before.requests > 0).any(1) & (layer.after.requests > 0).any(1))
    parts = (
        (OWN_TIME, service, service, _own_time, exact),
        (BETWEEN_TIME, layer.source, layer.target, _between_time, exact),
        (OWN_ERRORS, service, service, _own_errors, exact),
        (CALLS, layer.source[inner], layer.target[inner], _calls, exact),
    )
    for kind, source, target, ratio, known in parts:
        before, after = ratio(layer, layer.before, known), ratio(layer, layer.after, known)
        codes = np.full(len(source), number), np.full(len(source), kind)
        yield (*codes, source, target, *before, *after)


def _own_time(layer: LayerSums, sums: WindowSums, exact: Array) -> tuple[Array, Array]:
    served = np.where(sums.served_n > 0, sums.served, sums.latency)
    answered = np.where(sums.served_n > 0, sums.served_n, sums.answered)
    came, requests = _sum(served, layer.target, layer.services), _sum(answered, layer.target, layer.services)
    waited = _sum(np.where(answered > 0, sums.latency, 0), layer.source, layer.services)
    known = exact[:, None]
    return np.where(known, sums.own, np.maximum(came - waited, 0)), np.where(known, sums.requests, requests)


def _between_time(layer: LayerSums, sums: WindowSums, exact: Array) -> tuple[Array, Array]:
    both = (sums.served_n > 0) & (sums.answered > 0)
    # Two means of the same calls, which each end may have counted a little differently.
    served = np.divide(
        sums.served * sums.answered,
        sums.served_n,
        out=np.zeros_like(sums.served),
        where=both,
    )
    two_ended = np.where(both, np.maximum(sums.latency - served, 0), 0)
    measured = sums.between_n > 0
    return np.where(measured, sums.between, two_ended), np.where(
        measured, sums.between_n, np.where(both, sums.answered, 0)
    )


def _own_errors(layer: LayerSums, sums: WindowSums, exact: Array) -> tuple[Array, Array]:
    requests = _sum(sums.calls, layer.target, layer.services)
    failed = _sum(sums.errors, layer.target, layer.services)
    explained = _sum(sums.errors, layer.source, layer.services)
    return np.clip(failed - explained, 0, requests), requests


def _calls(layer: LayerSums, sums: WindowSums, exact: Array) -> tuple[Array, Array]:
    inner = layer.source != layer.target
    requests = np.where(exact[:, None], sums.requests, _sum(sums.calls, layer.target, layer.services))
    made = _sum(sums.calls, layer.source, layer.services)
    entry = ~np.isin(np.arange(layer.services), layer.target[inner]) & ~exact  # nobody calls it
    requests = np.where(entry[:, None], made, requests)
    return sums.calls[inner], requests[layer.source[inner]]


def _sum(values: Array, code: Array, count: int) -> Array:
    """Add up the rows of each code, float64[count, K]."""
    total = np.zeros((count, values.shape[1]))
    np.add.at(total, code, values)
    return total
