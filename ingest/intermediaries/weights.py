"""Weights of the model in estimating.py. Made by benchmarks/fit_intermediaries.py: do not edit."""

from __future__ import annotations

import numpy as np

CONSTANT = 1.658
MODEL = {  # mean, standard deviation and weight of each feature
    "target_max": (3.494, 3.899, 4.68),
    "target_mean": (2.932, 3.595, -1.447),
    "caller_max": (2.508, 3.555, 1.802),
    "caller_mean": (1.91, 2.999, -0.5916),
    "both": (2.275, 3.488, 0.2525),
    "together": (4.189, 4.029, -0.3077),
    "share": (0.2253, 0.3454, 0.08579),
    "overlap": (0.7926, 0.2477, 0.2575),
    "callers": (1.608, 0.4295, 0.3056),
    "targets": (1.656, 0.4153, 0.2334),
    "buckets": (4.337, 1.481, -0.6637),
    "target_max × unseen in": (0.241, 0.857, -0.2937),
    "caller_max × unseen out": (0.09212, 0.5812, -0.2613),
    "caller_room": (0.0572, 0.4961, 0.3312),
    "target_room": (0.2934, 0.3234, 0.4812),
}
CENTRES, SCALES, WEIGHTS = np.array(list(MODEL.values())).T
