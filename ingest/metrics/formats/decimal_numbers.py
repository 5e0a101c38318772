"""Compiled parsing of decimal numbers in bytes: values and timestamps of expositions and of Prometheus' JSON.

Invariant: a number read here is exactly the double that Python's `float` gives. A number that one operation cannot
compute exactly is marked `SLOW` and left to `float`. Positions are uint64 and checked against `end` (see `otlp.wire`).
"""

from __future__ import annotations

import numpy as np

from chronotope.ingest.columns.bytes import U0, U1, U2, U3, U64, inlined

FAST, SLOW, BAD_NUMBER = 0, 1, 2

_SPACE, _TAB, _PLUS, _MINUS, _DOT, _E, _ZERO = (np.uint8(ord(c)) for c in " \t+-.e0")
_I, _N, _A, _F = (np.uint8(ord(c)) for c in "inaf")
_NINE, _LOWER, _TEN = np.uint8(9), np.uint8(0x20), np.uint64(10)
_INFINITY = np.frombuffer(b"infinity", np.uint8)
_MAX_MANTISSA = np.uint64(1 << 53)
_FULL = np.uint64(10**17)  # more digits than this and the next one might not fit 64 bits
_POWERS = np.array([10.0**power for power in range(23)])  # all exact
_LONGEST_EXPONENT = 5


@inlined
def skip_blanks(buffer: np.ndarray, position: U64, end: U64) -> U64:
    """Return the position of the first byte that is neither space nor tab."""
    while position < end and (buffer[position] == _SPACE or buffer[position] == _TAB):
        position += U1
    return position


@inlined
def skip_token(buffer: np.ndarray, position: U64, end: U64) -> U64:
    """Return the position of the next space or tab."""
    while position < end and buffer[position] != _SPACE and buffer[position] != _TAB:
        position += U1
    return position


@inlined
def is_word(buffer: np.ndarray, position: U64, end: U64, word: np.ndarray, size: U64) -> bool:
    """Whether buffer[position:end] is the first `size` letters of a lower-case word, in whatever case."""
    if end - position != size:
        return False
    index = U0
    while index < size and (buffer[position + index] | _LOWER) == word[index]:
        index += U1
    return bool(index == size)


@inlined
def read_number(buffer: np.ndarray, position: U64, end: U64) -> tuple[float, int]:
    """Return (value, FAST, SLOW or BAD_NUMBER) of the number that fills buffer[position:end].

    Numbers are decimal, with or without fraction and exponent, and `NaN`, `Inf`, `Infinity` in whatever case.
    """
    negative = False
    if position < end and (buffer[position] == _MINUS or buffer[position] == _PLUS):
        negative = bool(buffer[position] == _MINUS)
        position += U1
    if position >= end:
        return 0.0, BAD_NUMBER
    first = buffer[position] | _LOWER
    if first == _I:
        if is_word(buffer, position, end, _INFINITY, U3) or is_word(buffer, position, end, _INFINITY, np.uint64(8)):
            return (-np.inf if negative else np.inf), FAST
        return 0.0, BAD_NUMBER
    if first == _N:
        if end - position == U3 and buffer[position + U1] | _LOWER == _A and buffer[position + U2] | _LOWER == _N:
            return np.nan, FAST
        return 0.0, BAD_NUMBER
    mantissa, scale, digits, exact = U0, 0, 0, True
    fraction = False
    while position < end:
        byte = buffer[position]
        digit = np.uint8(byte - _ZERO)
        if digit <= _NINE:
            digits += 1
            if mantissa < _FULL:
                mantissa = mantissa * _TEN + np.uint64(digit)
                scale -= 1 if fraction else 0
            else:
                exact = False
        elif byte == _DOT and not fraction:
            fraction = True
        else:
            break
        position += U1
    if digits == 0:
        return 0.0, BAD_NUMBER
    if position < end:
        if buffer[position] | _LOWER != _E:
            return 0.0, BAD_NUMBER
        position += U1
        down = False
        if position < end and (buffer[position] == _MINUS or buffer[position] == _PLUS):
            down = bool(buffer[position] == _MINUS)
            position += U1
        exponent, digits = 0, 0
        while position < end and digits < _LONGEST_EXPONENT and np.uint8(buffer[position] - _ZERO) <= _NINE:
            exponent = exponent * 10 + int(buffer[position] - _ZERO)
            digits += 1
            position += U1
        if digits == 0 or position < end:
            return 0.0, BAD_NUMBER
        scale += -exponent if down else exponent
    if not exact or mantissa > _MAX_MANTISSA or scale > 22 or scale < -22:
        return 0.0, SLOW
    value = np.float64(mantissa)
    value = value / _POWERS[-scale] if scale < 0 else value * _POWERS[scale]
    return (-value if negative else value), FAST


@inlined
def approximately(buffer: np.ndarray, position: U64, end: U64) -> tuple[float, int]:
    """Return a timestamp that has more digits than a double, from its first 15; BAD_NUMBER without a dot in them."""
    stop, dot = position, False
    while stop < end and stop - position < np.uint64(15):
        dot = dot or buffer[stop] == _DOT
        stop += U1
    if not dot:
        return 0.0, BAD_NUMBER  # later than any time
    return read_number(buffer, position, stop)
