"""Dense codes as dictionary columns of Arrow."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa


def encode(codes: np.ndarray, name: Callable[[int], str]) -> pa.Array:
    """Dense codes as a dictionary array of only the names in use; a negative code is the empty name."""
    used, index = np.unique(codes, return_inverse=True)
    places: dict[str, int] = {}
    place = [places.setdefault(name(code) if code >= 0 else "", len(places)) for code in used.tolist()]
    indices = np.array(place or [0], np.int32)[index]
    return pa.DictionaryArray.from_arrays(pa.array(indices), pa.array(list(places), pa.string()))
