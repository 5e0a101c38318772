"""Open-addressing hash tables over columns, compiled: where probing starts, and how large a table is."""

from __future__ import annotations

import secrets

import numpy as np
from numba import njit

# Drawn for each process, so that nobody can send ids that all get one slot.
SEED = np.uint64(secrets.randbits(64))


@njit(cache=True, nogil=True)
def slot_of(hi, lo, span, mask, seed):  # type: ignore[no-untyped-def]
    """Return the slot where probing for a key starts."""
    mixed = (seed ^ hi) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(31)) ^ lo) * np.uint64(0xC2B2AE3D27D4EB4F)
    mixed = mixed ^ (mixed >> np.uint64(29)) ^ span
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    mixed ^= mixed >> np.uint64(32)
    return np.int64(mixed & mask)


@njit(cache=True, nogil=True)
def table_size(count):  # type: ignore[no-untyped-def]
    """A power of two, at least twice the number of keys."""
    size = 16
    while size < 2 * count:
        size *= 2
    return size
