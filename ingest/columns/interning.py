"""Values to dense codes and back: strings stay outside of columns."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class Interner(Generic[T]):
    """Values to dense codes 0, 1, 2, … and back; safe to use from several threads."""

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
        """Return the value's code, making one at its first sight."""
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
