"""Match long-lived connections that carry the same bytes at the same time, one in and one out. Pure.

If a proxy keeps one connection to a target for each connection of a caller, both carry the same calls, and over several
steps their bytes rise and fall together. That two unrelated connections do so by chance is improbable, and the
probability is known: the correlation of sent and of received bytes, plain and as logarithms (so that neither one spike
nor one silence decides), tested against all connections that it could have been.

Invariant: a connection out is matched with at most one connection in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

STEP_MS = 5_000
FEWEST_STEPS = 5  # with bytes, of a connection that is compared
MOST_CONNECTIONS = 2_000
_BY_CHANCE = 1e-3  # for each connection out
_APART = 2.0  # z by which the best must be better than the next
_ALIKE = 0.6, 1.7  # bytes in over bytes out
_BYTES = ("bytes_sent", "bytes_received")


@dataclass(frozen=True, slots=True)
class Matched:
    """K pairs of matched connections; `rows_in` bool[R] and `rows_out` bool[Q] say which records are theirs.

    Attributes:
        unit_in: int64[K], the series of each connection in; unit_out likewise.
        volume: float64[K], bytes of the connection out.
    """

    unit_in: np.ndarray
    unit_out: np.ndarray
    volume: np.ndarray
    rows_in: np.ndarray
    rows_out: np.ndarray


def match(rows_in: np.ndarray, unit_in: np.ndarray, rows_out: np.ndarray, unit_out: np.ndarray) -> Matched:
    """Match connections of one intermediary.

    Args:
        rows_in: FLOW[R], records to it; unit_in: int64[R], the series that each belongs to.
        rows_out: FLOW[Q], records from it; unit_out: likewise.
    """
    (of_in, x, units_in), (of_out, y, units_out) = _series(rows_in, unit_in), _series(rows_out, unit_out)
    kept_in, kept_out = np.zeros(len(rows_in), np.bool_), np.zeros(len(rows_out), np.bool_)
    pairs = []
    if min(len(units_in), len(units_out)) > 0 and max(len(units_in), len(units_out)) <= MOST_CONNECTIONS:
        begin = min(min(x), min(y))
        steps = max(max(x), max(y)) - begin + 1
        dense_in, dense_out = (
            _dense(series, len(units), begin, steps) for series, units in ((x, units_in), (y, units_out))
        )
        pairs = [(best, at) for at in range(len(units_out)) if (best := _best(dense_in, dense_out[:, at])) >= 0]
    ins, outs = (np.array([pair[end] for pair in pairs], np.int64) for end in (0, 1))
    kept_in[np.isin(of_in, ins)] = True
    kept_out[np.isin(of_out, outs)] = True
    volume = np.zeros(len(units_out))
    for name in _BYTES:
        np.add.at(volume, of_out[of_out >= 0], rows_out[name][of_out >= 0])
    return Matched(units_in[ins], units_out[outs], volume[outs], kept_in, kept_out)


Steps = dict[int, tuple[np.ndarray, np.ndarray]]  # step → connections, bytes sent and received float64[2, ·]


def _series(rows: np.ndarray, unit: np.ndarray) -> tuple[np.ndarray, Steps, np.ndarray]:
    """Return the connection of each record (-1: of none that lives long), bytes by step, and their units."""
    of_row = np.full(len(rows), -1, np.int64)
    known = np.flatnonzero(rows["client_port"] > 0)
    if not len(known):
        return of_row, {}, np.empty(0, np.int64)
    ends = [rows[name][known].astype(np.int64) for name in ("client", "server", "client_port", "server_port")]
    _, connection = np.unique(np.stack([unit[known], *ends]), axis=1, return_inverse=True)
    connection = connection.reshape(-1)
    step = rows["first"][known] // STEP_MS
    distinct = np.unique(np.stack([connection, step]), axis=1)[0]
    long = np.flatnonzero(np.bincount(distinct, minlength=connection.max() + 1) >= FEWEST_STEPS)
    number = np.full(connection.max() + 1, -1, np.int64)
    number[long] = np.arange(len(long))
    of_row[known] = number[connection]
    units = np.zeros(len(long), np.int64)
    alive = of_row >= 0
    units[of_row[alive]] = unit[alive]
    steps: Steps = {}
    for at in np.unique(rows["first"][alive] // STEP_MS).tolist():
        own = np.flatnonzero(alive & (rows["first"] // STEP_MS == at))
        steps[at] = of_row[own], np.stack([rows[name][own].astype(float) for name in _BYTES])
    return of_row, steps, units


def _dense(steps: Steps, connections: int, begin: int, count: int) -> np.ndarray:
    """Bytes sent and received of each connection by step, float64[2, C, S]."""
    found = np.zeros((2, connections, count))
    for at, (connection, volume) in steps.items():
        for measure in range(2):
            np.add.at(found[measure, :, at - begin], connection, volume[measure])
    return found


def _best(x: np.ndarray, y: np.ndarray) -> int:
    """Return the connection in, of float64[2, C, S], that carried the same as one out, float64[2, S]; -1: none."""
    active = np.flatnonzero(y.sum(axis=0) > 0)
    if len(active) < FEWEST_STEPS:
        return -1
    own, other = y[:, active], x[:, :, active]
    r = np.min([_correlation(form(other), form(own)) for form in (np.asarray, np.log1p)], axis=0)
    z = np.arctanh(np.clip(r, -0.999999, 0.999999)) * np.sqrt(len(active) - 3)
    ratio = other.sum(axis=(0, 2)) / own.sum()
    z[(ratio < _ALIKE[0]) | (ratio > _ALIKE[1])] = -np.inf
    best = int(np.argmax(z))
    next_best = np.partition(z, -2)[-2] if len(z) > 1 else -np.inf
    unlikely = special.ndtr(-z[best]) * len(z) < _BY_CHANCE
    return best if unlikely and z[best] - max(next_best, 0.0) >= _APART else -1


def _correlation(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The lesser of the correlations of sent and of received bytes, float64[C]."""
    x, y = x - x.mean(axis=2, keepdims=True), y - y.mean(axis=1, keepdims=True)
    norms = np.sqrt((x**2).sum(axis=2) * (y**2).sum(axis=1)[:, None])
    r = np.divide(np.einsum("mcs,ms->mc", x, y), norms, out=np.zeros(norms.shape), where=norms > 1e-9)
    return np.asarray(r.min(axis=0))
