"""Weights of the models in estimating.py. Made by benchmarks/fit_intermediaries.py: do not edit."""

from __future__ import annotations

import numpy as np

ALONE_CONSTANT = 1.518
ALONE = {  # mean, standard deviation and weight of each feature
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
ALONE_CENTRES, ALONE_SCALES, ALONE_WEIGHTS = np.array(list(ALONE.values())).T

AMONG_CONSTANT = 1.584
AMONG = {  # mean, standard deviation and weight of each feature
    "target_max": (3.431, 3.89, 1.786),
    "target_mean": (2.851, 3.549, -0.3068),
    "caller_max": (2.459, 3.544, 0.7725),
    "caller_mean": (1.872, 2.983, -0.2383),
    "both": (2.207, 3.455, 0.05035),
    "together": (4.308, 4.068, -0.06721),
    "share": (0.2243, 0.3467, -0.164),
    "overlap": (0.7963, 0.2502, 0.04822),
    "callers": (1.611, 0.4348, 0.281),
    "targets": (1.647, 0.4156, 0.5312),
    "buckets": (4.368, 1.5, 0.05945),
    "target_max × unseen in": (0.2484, 0.8842, -0.3652),
    "caller_max × unseen out": (0.09873, 0.6123, -0.2659),
    "caller_room": (0.05918, 0.5062, 0.05946),
    "target_room": (0.2965, 0.3227, 0.1932),
    "alone": (1.518, 4.331, 2.535),
    "others of caller": (2.362, 1.328, -0.07085),
    "others of target": (2.268, 1.281, -0.09358),
    "best other of caller": (6.013, 4.019, -0.6413),
    "best other of target": (6.144, 4.069, -0.3143),
    "part of caller": (-2.353, 1.561, 0.2451),
    "part of target": (-2.212, 1.358, 0.5523),
    "caller over target": (-0.1418, 2.05, -0.1792),
    "all pairs": (0.5221, 0.1174, 0.3776),
}
AMONG_CENTRES, AMONG_SCALES, AMONG_WEIGHTS = np.array(list(AMONG.values())).T
