"""The compiled scan of the points `[[time, "value"], …]` of Prometheus' JSON to columns.

Invariant: nothing reads outside the buffer. A series whose points have another form is marked, and gives nothing.
"""

from __future__ import annotations

import numpy as np

from chronotope.ingest.columns.bytes import U1, U64, compiled, inlined
from chronotope.ingest.metrics.formats.decimal_numbers import BAD_NUMBER, SLOW, approximately, read_number

SHORTEST_POINT = 7  # bytes of `[0,"1"]`
LATEST_S = 0xFFFFFFFF  # the store's times end in 2106
MALFORMED = -1
# Places in `state`.
ROWS, SLOW_VALUES, BAD_POINTS = range(3)

_OPEN, _CLOSE, _COMMA, _QUOTE = (np.uint8(ord(c)) for c in '[],"')
_SPACE, _TAB, _RETURN, _NEWLINE = (np.uint8(ord(c)) for c in " \t\r\n")


@inlined
def skip_white(buffer: np.ndarray, position: U64, end: U64) -> U64:
    """Return the position of the first byte that is not JSON's white space."""
    while position < end:
        byte = buffer[position]
        if byte != _SPACE and byte != _NEWLINE and byte != _RETURN and byte != _TAB:
            break
        position += U1
    return position


@inlined
def after(buffer: np.ndarray, position: U64, end: U64, wanted: np.uint8) -> U64:
    """Return the position behind a byte and the white space around it; past `end` when another one is there."""
    position = skip_white(buffer, position, end)
    if position >= end or buffer[position] != wanted:
        return end + U1
    return skip_white(buffer, position + U1, end)


@inlined
def until(buffer: np.ndarray, position: U64, end: U64, stop: np.uint8) -> U64:
    """Return the position of the next `stop` byte or white space, or `end`."""
    while position < end and buffer[position] != stop and buffer[position] > _SPACE:
        position += U1
    return position


@compiled
def scan_points(
    buffer: np.ndarray,
    offsets: np.ndarray,
    times: np.ndarray,
    values: np.ndarray,
    slow: np.ndarray,
    counts: np.ndarray,
    state: np.ndarray,
) -> None:
    """Read the points of S series.

    Args:
        buffer: the points of series s are JSON at buffer[offsets[s]:offsets[s + 1]].
        times, values: int64 (milliseconds) and float64, with room for all: one row for each SHORTEST_POINT bytes.
        slow: int64[rows, 3]: (row, begin, end) of values that only `float` reads exactly.
        counts: int64[S]: how many points a series has; MALFORMED when it gives none for its form.
        state: int64[3]: rows and slow values written, and points left out for an absurd time or value.
    """
    for series in range(len(counts)):
        position, end = np.uint64(offsets[series]), np.uint64(offsets[series + 1])
        first, first_slow = state[ROWS], state[SLOW_VALUES]
        position = after(buffer, position, end, _OPEN)
        if position < end and buffer[position] == _CLOSE:
            counts[series] = 0
            continue
        while True:
            time_at = after(buffer, position, end, _OPEN)
            time_end = until(buffer, time_at, end, _COMMA)
            value_at = after(buffer, time_end, end, _COMMA)
            if value_at >= end or buffer[value_at] != _QUOTE:
                break
            value_at += U1
            value_end = until(buffer, value_at, end, _QUOTE)
            if value_end >= end or buffer[value_end] != _QUOTE:
                break
            position = after(buffer, value_end + U1, end, _CLOSE)
            if position >= end:
                break
            second, time_how = read_number(buffer, time_at, time_end)
            if time_how == SLOW:
                second, time_how = approximately(buffer, time_at, time_end)
            value, how = read_number(buffer, value_at, value_end)
            if time_how == BAD_NUMBER or how == BAD_NUMBER or not 0.0 <= second <= LATEST_S:
                state[BAD_POINTS] += 1
            else:
                row = state[ROWS]
                times[row], values[row] = np.int64(np.floor(second * 1000.0 + 0.5)), value
                if how == SLOW:
                    nth = state[SLOW_VALUES]
                    slow[nth, 0], slow[nth, 1], slow[nth, 2] = row, np.int64(value_at), np.int64(value_end)
                    state[SLOW_VALUES] += 1
                state[ROWS] = row + 1
            if buffer[position] != _COMMA:
                break
            position = after(buffer, position, end, _COMMA)
        # Whatever the form, the array must be closed exactly at the end.
        if position < end and buffer[position] == _CLOSE and skip_white(buffer, position + U1, end) == end:
            counts[series] = state[ROWS] - first
        else:
            counts[series], state[ROWS], state[SLOW_VALUES] = MALFORMED, first, first_slow
