"""Weights of the model in estimating.py. Made by benchmarks/fit_intermediaries.py: do not edit."""

from __future__ import annotations

import numpy as np

CONSTANT = 1.518
MODEL = {  # mean, standard deviation and weight of each feature
    "target_max": (3.431, 3.89, 4.886),
    "target_mean": (2.851, 3.549, -1.89),
    "caller_max": (2.459, 3.544, 1.444),
    "caller_mean": (1.872, 2.983, -0.3189),
    "both": (2.207, 3.455, 0.1124),
    "together": (4.308, 4.068, -0.1393),
    "share": (0.2243, 0.3467, 0.1357),
    "overlap": (0.7963, 0.2502, 0.2621),
    "callers": (1.611, 0.4348, 0.3122),
    "targets": (1.647, 0.4156, 0.2286),
    "buckets": (4.368, 1.5, -0.6971),
    "target_max × unseen in": (0.2484, 0.8842, -0.3469),
    "caller_max × unseen out": (0.09873, 0.6123, -0.2299),
    "caller_room": (0.05918, 0.5062, 0.3441),
    "target_room": (0.2965, 0.3227, 0.5024),
}
CENTRES, SCALES, WEIGHTS = np.array(list(MODEL.values())).T
