"""Rank the services that explain the symptoms. Pure.

Each symptom that changed has a weight: its effect (the abnormal part of its present value) times its share of the cost
of all symptoms of its sort (times, errors, calls) in its layer. A symptom of a service points to that service. A
symptom of a call points to both ends, and more to an end, the more of its calls show it: a slow network before cart
slows all calls to cart, a starved frontend slows all calls that it makes. What one service explains, no other needs to
explain: the service that explains most is taken, its symptoms are removed, and so on (greedy set cover, "explaining
away").

Sources: own time and own errors, without those of callees, as evidence that does not travel up to callers: MicroHECL
(Liu et al., ICSE-SEIP 2021) and CIRCA (Li et al., KDD 2022: a service is a cause when its metrics change though its
callees' do not explain it). Effects against a baseline's spread: BARO (Pham et al., FSE 2024). The generality of links:
the spectrum of MicroRank (Yu et al., WWW 2021), on edges instead of traces. A random walk (MonitorRank, Kim et al.,
SIGMETRICS 2013) is not used: on the benchmark it is a baseline, and worse.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from chronotope.server.culprits.effects import Effects, confidence
from chronotope.server.culprits.symptoms import BETWEEN_TIME, CALLS, OWN_TIME, TIMES, Symptoms

Array = np.ndarray
MOST = 100
NEGLIGIBLE = 1e-6  # of the first one's weight: no culprit
_SILENT = 0.1  # of the calls are left at most: the callee may be gone, not only the caller changed


@dataclass(frozen=True, slots=True)
class Culprit:
    """A service, the weight that it alone explains, and its symptoms by weight, as numbers."""

    service: int
    weight: float
    symptoms: list[int]


def rank_services(
    symptoms: Symptoms, effects: Effects, unseen: set[tuple[int, int, int]], prior: Array, most: int = MOST
) -> list[Culprit]:
    """Return the services that explain the symptoms, the likeliest first.

    Args:
        symptoms: Q of them, among services 0 to S - 1.
        effects: what changed.
        unseen: (layer, caller, callee) of calls that another layer saw: the time that they take counts as the
            caller's own here.
        prior: how likely each service is to be a cause before anything is seen, as a factor, float64[S].
        most: how many services at most; the search ends there.
    """
    weights = weigh(symptoms, effects)
    symptom, service, points = _pointers(symptoms, effects, weights, unseen)
    worth = weights[symptom] * points
    found: list[Culprit] = []
    while len(symptom) and len(found) < most:
        score = np.bincount(service, worth, len(prior))
        best = int(np.argmax(score * prior))
        if score[best] * prior[best] <= (found[0].weight * NEGLIGIBLE if found else 0.0):
            break
        own = np.unique(symptom[(service == best) & (worth > 0)])
        own = own[np.argsort(-weights[own], kind="stable")]
        found.append(Culprit(best, float(score[best] * prior[best]), own.tolist()))
        left = ~np.isin(symptom, own)
        symptom, service, worth = symptom[left], service[left], worth[left]
    return sorted(found, key=lambda one: -one.weight)


def weigh(symptoms: Symptoms, effects: Effects) -> Array:
    """Return the weight of each symptom, 0 to 1, float64[Q]."""
    sort = np.where(np.isin(symptoms.kind, TIMES), 0, symptoms.kind)
    group = symptoms.layer * 10 + sort
    sure = confidence(effects.p)
    weights = np.zeros(len(symptoms))
    for one in np.unique(group):
        rows = group == one
        total = effects.cost[rows].sum()
        if total > 0:
            weights[rows] = (effects.effect * sure)[rows] * effects.cost[rows] / total
    return weights


def _pointers(
    symptoms: Symptoms, effects: Effects, weights: Array, unseen: set[tuple[int, int, int]]
) -> tuple[Array, Array, Array]:
    """(symptom, service, how much it points there, 0 to 1) of the symptoms that changed, as columns."""
    at = np.flatnonzero(weights > 0)
    itself = symptoms.source[at] == symptoms.target[at]
    gone = effects.after[at] <= _SILENT * effects.before[at]
    both = ~itself & ((symptoms.kind[at] == BETWEEN_TIME) | gone)
    from_source, from_target = _generality(symptoms, effects, weights)
    columns = [
        (at[itself], symptoms.source[at[itself]], np.ones(int(itself.sum()))),
        (at[~itself], symptoms.source[at[~itself]], from_source[at[~itself]]),
        (at[both], symptoms.target[at[both]], from_target[at[both]]),
        _hidden(symptoms, at[itself & (symptoms.kind[at] == OWN_TIME)], unseen),
    ]
    symptom, service, points = (np.concatenate(column) for column in zip(*columns, strict=True))
    return symptom, service, points


def _hidden(symptoms: Symptoms, at: Array, unseen: set[tuple[int, int, int]]) -> tuple[Array, Array, Array]:
    """Own times point equally to callees whose calls this layer does not see."""
    callees: dict[tuple[int, int], list[int]] = {}
    for layer, caller, callee in sorted(unseen):
        callees.setdefault((layer, caller), []).append(callee)
    found = [
        (one, callee)
        for one, layer, caller in zip(
            at.tolist(), symptoms.layer[at].tolist(), symptoms.source[at].tolist(), strict=True
        )
        for callee in callees.get((layer, caller), ())
    ]
    symptom, service = np.array(found, np.int64).reshape(-1, 2).T
    return symptom, service, np.ones(len(found))


def _generality(symptoms: Symptoms, effects: Effects, weights: Array) -> tuple[Array, Array]:
    """For each symptom of a call: which part of the calls at its source, and at its target, show it."""
    parts = np.zeros(len(symptoms)), np.zeros(len(symptoms))
    changed = weights > 0
    size = int(max(symptoms.source.max(initial=0), symptoms.target.max(initial=0))) + 1
    for layer in np.unique(symptoms.layer):
        for kind in (BETWEEN_TIME, CALLS):
            rows = np.flatnonzero((symptoms.layer == layer) & (symptoms.kind == kind))
            ends = symptoms.source[rows], symptoms.target[rows]
            if kind == BETWEEN_TIME:  # a service's network is the same in both directions
                ends_of = (np.concatenate(ends), np.concatenate(ends))
                shows = (np.tile(changed[rows], 2),) * 2
            else:
                silent = effects.after[rows] <= _SILENT * effects.before[rows]
                ends_of, shows = ends, (changed[rows], changed[rows] & silent)
            for part, end, of, showing in zip(parts, ends, ends_of, shows, strict=True):
                could, do = np.bincount(of, minlength=size), np.bincount(of, showing, minlength=size)
                part[rows] = np.divide(do, could, out=np.zeros(size), where=could > 0)[end]
    return parts
