"""Whether a condition holds, for every edge, service or circle and every step of time. Pure.

Invariant: a condition is judged on whole windows of the rule's length that end where a step ends. What cannot be judged
(too few calls, no evidence) does not hold. Layers are judged apart; a condition holds when it holds in one of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from chronotope.schema.config.rules import RuleEntry, Threshold
from chronotope.schema.observations import LAYERS
from chronotope.server.evidence.columns import EdgeColumns
from chronotope.server.rules.sums import BY_TARGET, Sums, Tracks

UNSEEN_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Subject:
    """What a condition is about: an edge, a service, or the services of a circle."""

    source: str = ""
    target: str = ""
    protocol: str = ""
    services: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Judged:
    """Whether the condition holds for K subjects at the end of T steps, and its measure there (NaN: none).

    `layers` are the bits of LAYERS in which it holds.
    """

    subjects: Sequence[Subject]
    holds: np.ndarray  # bool[K, T]
    value: np.ndarray  # float64[K, T]
    layers: np.ndarray  # uint8[K, T]


def judge(rule: RuleEntry, edges: EdgeColumns, sums: Sums, start_s: int) -> Judged:
    """Return where a rule's condition holds.

    Args:
        rule: one whose condition is not about events.
        edges: E edges that the rule matches.
        sums: of these edges, as `read_sums` gives them; its first steps lead up to the first whole window.
        start_s: when the first step begins, Unix seconds: a dependency can be too quiet only after it was first seen,
            and for a day after it was last seen.
    """
    width = max(rule.window // sums.step_s, 1)
    hits, trials = _of_reporters(
        {track: _windows(own, width) for track, own in sums.hits.items()},
        {track: _windows(own, width) for track, own in sums.trials.items()},
    )
    steps = next((own.shape[1] for own in hits.values()), 0)
    if rule.when.fan_out is not None or rule.when.fan_in is not None:
        return _fans(rule, edges, hits, steps)
    if rule.when.cycle:
        return _circles(edges, hits, steps)
    value, layers = _edge_values(rule, hits, trials, (len(edges), steps), width * sums.step_s)
    if rule.when.calls_per_second is not None and rule.when.calls_per_second.below is not None:
        begins = 1000 * (start_s + sums.step_s * np.arange(steps))
        known = (edges.first_seen[:, None] <= begins) & (edges.last_seen[:, None] + UNSEEN_MS >= begins)
        layers[~known] = 0
    alive = np.flatnonzero((layers > 0).any(1))
    return Judged(
        [edge_subject(edges, edge) for edge in alive.tolist()], layers[alive] > 0, value[alive], layers[alive]
    )


def edge_subject(edges: EdgeColumns, edge: int) -> Subject:
    """Return an edge as a subject."""
    return Subject(
        edges.names[edges.source[edge]], edges.names[edges.target[edge]], edges.protocols[edges.protocol[edge]]
    )


def layer_names(bits: int) -> list[str]:
    """Return the layers of `Judged.layers`."""
    return [layer for bit, layer in enumerate(LAYERS) if bits >> bit & 1]


def _of_reporters(hits: Tracks, trials: Tracks) -> tuple[Tracks, Tracks]:
    """In layer ipc the target's reports count where the source has none; tracks become layers."""
    if BY_TARGET in trials:
        others = hits.pop(BY_TARGET), trials.pop(BY_TARGET)
        own = hits.get("ipc", np.zeros_like(others[0])), trials.get("ipc", np.zeros_like(others[1]))
        silent = own[1] <= 0
        hits["ipc"], trials["ipc"] = np.where(silent, others[0], own[0]), np.where(silent, others[1], own[1])
    return hits, trials


def _windows(sums: np.ndarray, width: int) -> np.ndarray:
    """Sums of every `width` neighbouring steps, [E, T] to [E, T - width + 1]; negative sums become 0."""
    if width == 1:
        return np.asarray(np.maximum(sums, 0))
    running = np.cumsum(sums, 1)
    running[:, width:] -= running[:, :-width].copy()
    return np.asarray(np.maximum(running[:, width - 1 :], 0))


def _edge_values(
    rule: RuleEntry,
    hits: dict[str, np.ndarray],
    trials: dict[str, np.ndarray],
    shape: tuple[int, int],
    seconds: int,
) -> tuple[np.ndarray, np.ndarray]:
    """The measure where the condition holds (the most extreme of the layers), and the layers as bits."""
    value, layers = np.full(shape, np.nan), np.zeros(shape, np.uint8)
    for layer in hits:
        own, holds = _measured(rule, hits[layer], trials[layer], seconds)
        worse = holds & ~(np.abs(own) <= np.abs(value))
        value[worse] = own[worse]
        layers |= (holds.astype(np.uint8) << LAYERS.index(layer)).astype(np.uint8)
    if rule.when.calls_per_second is not None and rule.when.calls_per_second.below is not None:
        _unseen(hits, layers)
    return value, layers


def _measured(rule: RuleEntry, hits: np.ndarray, trials: np.ndarray, seconds: int) -> tuple[np.ndarray, np.ndarray]:
    when = rule.when
    if when.forbidden:
        return hits, hits > 0
    if when.calls_per_second is not None:
        rate = hits / seconds
        return rate, _passes(when.calls_per_second, rate)
    enough = trials >= rule.minimum_calls
    share = np.divide(hits, trials, out=np.zeros_like(hits), where=enough)
    if when.latency is not None:
        # The quantile q is above the bound when more than 1 - q of the calls are.
        return share, enough & (share > 1 - when.latency.quantile)
    bound = when.error_ratio or Threshold(above=0)
    return share, enough & _passes(bound, share)


def _passes(bound: Threshold, values: np.ndarray) -> np.ndarray:
    return np.asarray(values > bound.bound if bound.above is not None else values < bound.bound)


def _unseen(hits: dict[str, np.ndarray], layers: np.ndarray) -> None:
    """Few calls in one layer do not count when another layer sees enough: all layers must be silent."""
    loud = np.zeros(layers.shape, bool)
    for layer in hits:
        seen_at_all = hits[layer].any(1)
        bit = np.uint8(1 << LAYERS.index(layer))
        loud |= np.expand_dims(seen_at_all, 1) & ~(layers & bit).astype(bool)
    layers[loud] = 0


def _alive(hits: dict[str, np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    alive = np.zeros(shape, bool)
    for own in hits.values():
        alive |= own > 0
    return alive


def _fans(rule: RuleEntry, edges: EdgeColumns, hits: dict[str, np.ndarray], steps: int) -> Judged:
    alive = _alive(hits, (len(edges), steps))
    near, far = (edges.source, edges.target) if rule.when.fan_out is not None else (edges.target, edges.source)
    bound = rule.when.fan_out or rule.when.fan_in or Threshold(above=0)
    pairs, place = np.unique(near.astype(np.int64) * max(len(edges.names), 1) + far, return_inverse=True)
    services, first = np.unique(pairs // max(len(edges.names), 1), return_index=True)
    if not len(pairs):
        return Judged([], alive, np.zeros(alive.shape), alive.astype(np.uint8))
    starts = np.searchsorted(np.sort(place), np.arange(len(pairs)))
    seen = np.logical_or.reduceat(alive[np.argsort(place, kind="stable")], starts, axis=0)
    degree = np.add.reduceat(seen, first, axis=0, dtype=np.float64)  # pairs are in the order of services
    holds = degree > bound.bound
    some = np.flatnonzero(holds.any(1))
    subjects = [Subject(services=(edges.names[services[row]],)) for row in some.tolist()]
    return Judged(subjects, holds[some], degree[some], np.zeros((len(some), steps), np.uint8))


def _circles(edges: EdgeColumns, hits: dict[str, np.ndarray], steps: int) -> Judged:
    alive = _alive(hits, (len(edges), steps))
    found: dict[tuple[str, ...], np.ndarray] = {}
    last: list[tuple[str, ...]] = []
    for step in range(steps):
        if step == 0 or (alive[:, step] != alive[:, step - 1]).any():
            last = _circles_of(edges, alive[:, step])
        for services in last:
            found.setdefault(services, np.zeros(steps, bool))[step] = True
    order = sorted(found)
    holds = np.array([found[services] for services in order], bool).reshape(len(order), steps)
    size = np.array([len(services) for services in order], float)[:, None]
    return Judged(
        [Subject(services=services) for services in order], holds, np.where(holds, size, np.nan),
        np.zeros(holds.shape, np.uint8),
    )  # fmt: skip


def _circles_of(edges: EdgeColumns, alive: np.ndarray) -> list[tuple[str, ...]]:
    """Groups of at least two services that reach each other."""
    count = len(edges.names)
    ends = edges.source[alive], edges.target[alive]
    matrix = sparse.csr_matrix((np.ones(len(ends[0]), np.int8), ends), shape=(count, count))
    _, label = connected_components(matrix, directed=True, connection="strong")
    large = np.flatnonzero(np.bincount(label, minlength=1) > 1)
    return [tuple(edges.names[at] for at in np.flatnonzero(label == group).tolist()) for group in large.tolist()]
