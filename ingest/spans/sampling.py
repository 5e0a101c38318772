"""How many calls a sampled span stands for.

Invariant: the mean weight over all keys is the inverse of the sampling probability (up to `MAX_WEIGHT`), but each
weight is a whole number. A weight depends on its arguments alone.
"""

from __future__ import annotations

import re

import numpy as np

MAX_WEIGHT = 10**6

_THRESHOLD = re.compile(r"[0-9a-f]{1,14}")
_MASK = (1 << 64) - 1


def mix64(key: int) -> int:
    """Return 64 well-mixed bits of a 64-bit key: the same on every machine (splitmix64's finalizer)."""
    key = (key + 0x9E3779B97F4A7C15) & _MASK
    key = ((key ^ (key >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    key = ((key ^ (key >> 27)) * 0x94D049BB133111EB) & _MASK
    return key ^ (key >> 31)


def sampling_weight(tracestate: str, key: int) -> int:
    """Return how many calls a sampled span stands for, 1 to 1,000,000.

    Args:
        tracestate: W3C `tracestate`; read are `ot=th:…` (rejection threshold) and the older `ot=p:…`.
        key: 64 bits that settle how a fraction is rounded; the mean over keys is the exact weight. Both spans
            of a call should use one key (their trace id), so that they agree.

    Returns:
        2^56 / (2^56 - threshold), or 2^p; 1 when there is none, or it is malformed.

    Source: https://opentelemetry.io/docs/specs/otel/trace/tracestate-probability-sampling/
    """
    whole, limit = rounding(tracestate)
    return whole + ((mix64(key) >> 8) < limit)


def rounding(tracestate: str) -> tuple[int, int]:
    """Return (whole, limit): the weight is `whole`, plus one for a key whose mixed upper 56 bits are below `limit`."""
    members = (member.strip(" \t").partition("=") for member in tracestate.split(","))
    value = next((value for name, _, value in members if name == "ot"), "")
    fields = dict(part.split(":", 1) for part in value.split(";") if ":" in part)
    threshold, power = fields.get("th"), fields.get("p", "")
    if threshold is not None:
        if not _THRESHOLD.fullmatch(threshold):
            return 1, 0
        kept = (1 << 56) - int(threshold.ljust(14, "0"), 16)
        whole, rest = divmod(1 << 56, kept)
        return (whole, -(-(rest << 56) // kept)) if whole < MAX_WEIGHT else (MAX_WEIGHT, 0)
    if power.isascii() and power.isdecimal() and len(power) <= 2 and int(power) < 63:
        return min(MAX_WEIGHT, 1 << int(power)), 0
    return 1, 0


def mix64_column(keys: np.ndarray) -> np.ndarray:
    """Return `mix64` of each key, uint64[N]."""
    mixed: np.ndarray = keys.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed = mixed ^ (mixed >> np.uint64(31))
    return mixed
