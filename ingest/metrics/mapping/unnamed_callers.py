"""Calls that servers count themselves, without saying who calls: how many of them no named caller reports.

A server's own count and its callers' counts are of the same calls, as far as the callers count. The rest comes from
callers that nobody names. For each called service and protocol, a balance keeps the difference of both sums: the
server's counts raise it, the callers' lower it. The two are read at different moments, so a rise may only wait for its
other half. So the reported unknown calls are the lowest value of the balance over `SETTLED_MS` and up to twice that,
and are subtracted from it. If callers are read before their server, the balance falls by what they counted in a round,
and as many unknown calls wait for later ones.

Invariant: while callers are named, the unknown calls never exceed what the server counted above all that its callers
counted, if both are read within `SETTLED_MS` of each other. If nobody named a caller of a service for `NAMED_FOR_MS`,
all its calls are reported at once.
"""

from __future__ import annotations

import numpy as np

from chronotope.ingest.columns.bytes import compiled

NAMED_FOR_MS = 600_000  # how long the callers of a service count as named after one of them was
SETTLED_MS = 120_000  # how far apart the two sides of one call may be read
_LONG_AGO = -(1 << 60)

# Columns of the state of a service and protocol.
_BALANCE, _LOWEST, _LOWEST_BEFORE, _NAMED, _NAMED_BEFORE = range(5)


class UnnamedCallers:
    """Keeps the balances, batch after batch, in order of time."""

    def __init__(self) -> None:
        self._places: dict[tuple[str, str], int] = {}
        self._state = np.zeros((0, 5))
        self._window = np.zeros(0, np.int64)
        self._named_at = np.zeros(0, np.int64)

    def shares(
        self,
        keys: list[tuple[str, str]],
        pair: np.ndarray,
        begin_ms: np.ndarray,
        end_ms: np.ndarray,
        calls: np.ndarray,
        side: np.ndarray,
    ) -> np.ndarray:
        """Return the part of each record from unknown callers, float64[R]; 1 unless it is a server's own count.

        Args:
            keys: services and protocols, P distinct ones.
            pair: int64[R], index into them.
            begin_ms, end_ms, calls: int64[R].
            side: int64[R]: 1 a server's own count, -1 a named caller's count, 0 neither.
        """
        place = np.array([self._place(key) for key in keys], np.int64)[pair]
        named = side < 0
        np.maximum.at(self._named_at, place[named], end_ms[named])
        share = np.ones(len(pair))
        rows = np.flatnonzero(side)
        rows = rows[np.lexsort((-side[rows], end_ms[rows], place[rows]))]
        settle(rows, place, begin_ms, end_ms, calls, side, self._state, self._window, self._named_at, share)
        return share

    def _place(self, key: tuple[str, str]) -> int:
        place = self._places.setdefault(key, len(self._places))
        if place == len(self._window):
            more = max(len(self._window), 64)
            self._state = np.concatenate([self._state, np.zeros((more, 5))])
            self._window = np.concatenate([self._window, np.zeros(more, np.int64)])
            self._named_at = np.concatenate([self._named_at, np.full(more, _LONG_AGO)])
        return place


@compiled
def settle(
    rows: np.ndarray,
    place: np.ndarray,
    begin_ms: np.ndarray,
    end_ms: np.ndarray,
    calls: np.ndarray,
    side: np.ndarray,
    state: np.ndarray,
    window: np.ndarray,
    named_at: np.ndarray,
    share: np.ndarray,
) -> None:
    """Go through rows in order of place and time; write the share of each server's own count."""
    for row in rows:
        at, count = place[row], float(calls[row])
        now = end_ms[row] // SETTLED_MS
        own = state[at]
        if now > window[at]:
            # Nothing happened in the windows between, so the balance did not change.
            own[_LOWEST_BEFORE] = own[_LOWEST] if now == window[at] + 1 else own[_BALANCE]
            own[_NAMED_BEFORE] = own[_NAMED] if now == window[at] + 1 else 0.0
            own[_LOWEST], own[_NAMED], window[at] = own[_BALANCE], 0.0, now
        if side[row] < 0:
            own[_NAMED] += count
            # Calls that never reached the server must not hide unknown callers for ever.
            own[_BALANCE] = max(own[_BALANCE] - count, -(own[_NAMED] + own[_NAMED_BEFORE]))
            own[_LOWEST] = min(own[_LOWEST], own[_BALANCE])
        elif named_at[at] >= begin_ms[row] - NAMED_FOR_MS:
            unknown = min(max(min(own[_LOWEST], own[_LOWEST_BEFORE]), 0.0), count)
            own[_BALANCE] += count - unknown
            own[_LOWEST] -= unknown
            own[_LOWEST_BEFORE] -= unknown
            share[row] = unknown / count if count > 0.0 else 0.0
