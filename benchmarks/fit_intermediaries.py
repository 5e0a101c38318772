"""Fit the models of `chronotope.ingest.intermediaries.estimating` on simulated traffic, and print `weights.py`.

Run: `python -m benchmarks.fit_intermediaries > ingest/intermediaries/weights.py`. Seeds of training are never those of
validation (`bench_intermediaries.py`).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize
from tests.ingest.intermediaries.traffic import simulate

from chronotope.ingest.intermediaries.estimating import FEATURES, pair_features
from chronotope.ingest.intermediaries.relating import RELATIONS, relations

BALANCERS, SEED = 4000, 1
_PENALTY = 1.0
Fitted = tuple[np.ndarray, np.ndarray, np.ndarray]  # centres, scales and weights (the constant first)


class Example(NamedTuple):
    """One balancer: features float64[A, B, F], which pairs have traffic on both sides, which are real, and bytes."""

    features: np.ndarray
    there: np.ndarray
    real: np.ndarray
    inbound: np.ndarray
    outbound: np.ndarray


def examples(balancers: int, seed: int) -> list[Example]:
    """Return so many balancers, those that are silent left out."""
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(balancers):
        traffic = simulate(rng)
        busy = traffic.inbound.any(axis=(0, 1)) | traffic.outbound.any(axis=(0, 1))
        sides = traffic.inbound[:, :, busy], traffic.outbound[:, :, busy]
        found = pair_features(*sides, np.ones(traffic.real.shape, bool))
        if found is None or busy.sum() < 6:
            continue
        there = np.outer(*(side.any(axis=(0, 2)) for side in sides))
        drawn.append(Example(found[0], there, traffic.real, *(side[1:].sum(axis=(0, 2)) for side in sides)))
    return drawn


def fit_both(drawn: list[Example]) -> tuple[Fitted, Fitted]:
    """Return the model of each pair by itself, and the one of a pair among the others."""
    real = np.concatenate([one.real[one.there] for one in drawn])
    alone = fit(np.concatenate([one.features[one.there] for one in drawn]), real)
    among = [
        np.concatenate(
            [one.features, relations(logit(one.features, *alone), one.there, one.inbound, one.outbound)], axis=-1
        )[one.there]
        for one in drawn
    ]
    return alone, fit(np.concatenate(among), real)


def logit(features: np.ndarray, centres: np.ndarray, scales: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return what a model says of features float64[…, F]."""
    return np.asarray(weights[0] + (features - centres) / scales @ weights[1:])


def fit(features: np.ndarray, real: np.ndarray) -> Fitted:
    """Return centres, scales and weights (the constant first) of a logistic regression with a light ridge."""
    centres, scales = features.mean(axis=0), features.std(axis=0)
    scaled = np.column_stack([np.ones(len(features)), (features - centres) / scales])

    def loss(weights: np.ndarray) -> tuple[float, np.ndarray]:
        score = scaled @ weights
        ridge = np.append(0.0, weights[1:])
        value = np.logaddexp(0, -score * (2 * real - 1)).sum() + _PENALTY * (ridge**2).sum()
        return float(value), scaled.T @ (1 / (1 + np.exp(-score)) - real) + 2 * _PENALTY * ridge

    found = minimize(loss, np.zeros(scaled.shape[1]), jac=True, method="L-BFGS-B")
    return centres, scales, found.x


def main() -> None:
    """Print the module."""
    print('"""Weights of the models in estimating.py. Made by benchmarks/fit_intermediaries.py: do not edit."""\n')
    print("from __future__ import annotations\n\nimport numpy as np")
    for name, names, (centres, scales, weights) in zip(
        ("ALONE", "AMONG"), (FEATURES, (*FEATURES, *RELATIONS)), fit_both(examples(BALANCERS, SEED)), strict=True
    ):
        print(f"\n{name}_CONSTANT = {weights[0]:.4g}")
        print(f"{name} = {{  # mean, standard deviation and weight of each feature")
        for row in zip(names, centres, scales, weights[1:], strict=True):
            print('    "{}": ({:.4g}, {:.4g}, {:.4g}),'.format(*row))
        print(f"}}\n{name}_CENTRES, {name}_SCALES, {name}_WEIGHTS = np.array(list({name}.values())).T")


if __name__ == "__main__":
    main()
