"""Which addresses have flows, and between which times. It shows at once when a new owner changes nothing.

Invariant: an address's interval holds the starts of all its flows; it may be wider.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numba import njit

from chronotope.ingest.flows.rows import FlowVocabulary
from chronotope.ingest.identity.known import Change
from chronotope.schema.addresses import BITS, AddressRange, observed_range

_NEVER = np.iinfo(np.int64).max


class AddressBook:
    """First and last start of flows, by address code."""

    def __init__(self, vocabulary: FlowVocabulary) -> None:
        self._vocabulary = vocabulary
        self._codes: dict[AddressRange, list[int]] = {}
        self._known = 0
        self._first = np.empty(0, np.int64)
        self._last = np.empty(0, np.int64)

    def note(self, codes: np.ndarray, first_ms: np.ndarray, last_ms: np.ndarray) -> None:
        """Note starts of flows of addresses int[N]."""
        self._grow()
        times = np.ascontiguousarray(first_ms), np.ascontiguousarray(last_ms)
        _widen(self._first, self._last, np.ascontiguousarray(codes, np.int64), *times)

    def affected(self, changes: Iterable[Change]) -> list[tuple[int, int, int]]:
        """Return (address code, begin, end) of the addresses with flows that changes may concern."""
        self._grow()
        found = []
        for change in changes:
            for code in self._covered(change.place):
                if self._first[code] < change.end_ms and self._last[code] >= change.begin_ms:
                    found.append((code, change.begin_ms, change.end_ms))
        return found

    def _covered(self, place: AddressRange) -> list[int]:
        if place.bits < 0 or place.bits == BITS:
            return self._codes.get(place, [])
        shift = BITS - place.bits
        return [
            code
            for known, codes in self._codes.items()
            if known.bits == BITS and known.number >> shift == place.number >> shift
            for code in codes
        ]

    def _grow(self) -> None:
        addresses = self._vocabulary.addresses.values
        for code in range(self._known, len(addresses)):
            self._codes.setdefault(observed_range(addresses[code]), []).append(code)
        more = len(addresses) - self._known
        self._known += more
        if more:
            self._first = np.append(self._first, np.full(more, _NEVER))
            self._last = np.append(self._last, np.full(more, -_NEVER))


@njit(cache=True, nogil=True)
def _widen(first, last, codes, first_ms, last_ms):  # type: ignore[no-untyped-def]
    for i in range(len(codes)):
        code = codes[i]
        first[code] = min(first[code], first_ms[i])
        last[code] = max(last[code], last_ms[i])
