"""Dense codes in place of values: interning, distinct values, and dictionary columns of Arrow."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

import numpy as np
import pyarrow as pa

T = TypeVar("T", bound=Hashable)


class Interner(Generic[T]):
    """Gives values the codes 0, 1, 2, … and turns codes back into values. Safe to use from several threads."""

    def __init__(self, first: Sequence[T] = ()) -> None:
        self._codes: dict[T, int] = {}
        self.values: list[T] = []
        self._lock = threading.Lock()
        for value in first:
            self.code(value)

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, code: int) -> T:
        return self.values[code]

    def code(self, value: T) -> int:
        """Return the code of a value. A new value gets the next free code."""
        found = self._codes.get(value)
        if found is not None:
            return found
        with self._lock:
            code = self._codes.get(value)
            if code is None:
                code = len(self.values)
                self.values.append(value)
                self._codes[value] = code
            return code


def distinct_codes(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct values in rising order, and for each row the index of its value among them.

    The same as `np.unique` with `return_inverse`, for int64[N] of values from 0. When the highest value is not far
    above N, the values are marked and counted. That is several times faster than sorting them.
    """
    highest = int(values.max(initial=0)) + 1
    if highest > 4 * len(values) + 65536:
        distinct, inverse = np.unique(values, return_inverse=True)
        return distinct, inverse
    seen = np.zeros(highest, np.bool_)
    seen[values] = True
    return np.flatnonzero(seen), (np.cumsum(seen) - 1)[values]


def encode(codes: np.ndarray, name: Callable[[int], str]) -> pa.Array:
    """Return codes as a dictionary array that holds only the names in use. A negative code has the empty name."""
    used, index = np.unique(codes, return_inverse=True)
    places: dict[str, int] = {}
    place = [places.setdefault(name(code) if code >= 0 else "", len(places)) for code in used.tolist()]
    indices = np.array(place or [0], np.int32)[index]
    return pa.DictionaryArray.from_arrays(pa.array(indices), pa.array(list(places), pa.string()))
