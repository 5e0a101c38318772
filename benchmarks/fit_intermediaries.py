"""Fit the logistic model of `chronotope.ingest.intermediaries.estimating` on simulated traffic, and print `weights.py`.

Run: `python -m benchmarks.fit_intermediaries > ingest/intermediaries/weights.py`. Seeds of training are never those of
validation (`bench_intermediaries.py`).
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize
from tests.ingest.intermediaries.traffic import simulate

from chronotope.ingest.intermediaries.estimating import FEATURES, pair_features

BALANCERS, SEED = 4000, 1
_PENALTY = 1.0


def examples(balancers: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return features float64[N, F] of all pairs of so many balancers, and whether each is real, bool[N]."""
    rng = np.random.default_rng(seed)
    rows, truth = [], []
    for _ in range(balancers):
        traffic = simulate(rng)
        busy = traffic.inbound.any(axis=(0, 1)) | traffic.outbound.any(axis=(0, 1))
        found = pair_features(
            traffic.inbound[:, :, busy], traffic.outbound[:, :, busy], np.ones(traffic.real.shape, bool)
        )
        if found is None or busy.sum() < 6:
            continue
        there = traffic.inbound.any(axis=(0, 2))[:, None] & traffic.outbound.any(axis=(0, 2))[None]
        rows.append(found[0][there])
        truth.append(traffic.real[there])
    return np.concatenate(rows), np.concatenate(truth)


def fit(features: np.ndarray, real: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
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
    centres, scales, weights = fit(*examples(BALANCERS, SEED))
    print('"""Weights of the model in estimating.py. Made by benchmarks/fit_intermediaries.py: do not edit."""\n')
    print("from __future__ import annotations\n\nimport numpy as np\n")
    print(f"CONSTANT = {weights[0]:.4g}")
    print("MODEL = {  # mean, standard deviation and weight of each feature")
    for row in zip(FEATURES, centres, scales, weights[1:], strict=True):
        print('    "{}": ({:.4g}, {:.4g}, {:.4g}),'.format(*row))
    print("}\nCENTRES, SCALES, WEIGHTS = np.array(list(MODEL.values())).T")


if __name__ == "__main__":
    main()
