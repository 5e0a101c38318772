"""The compiled scan of an exposition's lines to columns: the text each line is about, its value and its timestamp.

Invariant: nothing reads outside buffer[position:end], whatever the bytes are. Every line is a row, a comment, blank, or
counted as bad for one reason. A line whose series text was seen before makes no Python object.

Sources: https://prometheus.io/docs/instrumenting/exposition_formats/ and the OpenMetrics 1.0 specification.
"""

from __future__ import annotations

import numpy as np

from chronotope.ingest.columns.bytes import U1, U64, compiled, inlined
from chronotope.ingest.metrics.formats.decimal_numbers import (
    BAD_NUMBER,
    SLOW,
    approximately,
    read_number,
    skip_blanks,
    skip_token,
)
from chronotope.ingest.metrics.formats.text_cache import FULL, find_or_add

LATEST_MS = 0xFFFFFFFF * 1000  # the store's times end in 2106

# Why a line is not used; the places in `bad`.
REASONS = ("line_too_long", "bad_syntax", "bad_value", "bad_timestamp", "after_eof", "cut_line", "series_limit")
_TOO_LONG, _SYNTAX, _VALUE, _TIMESTAMP, _AFTER_EOF, _CUT, _LIMIT = range(len(REASONS))

# Places in `state`: what one call hands to the next.
POSITION, ROWS, SLOW_VALUES, EOF, NEEDED, NO_ROOM, GOOD_COMMENTS = range(7)

_NEWLINE, _RETURN, _HASH, _QUOTE, _BACKSLASH, _OPEN, _CLOSE, _SPACE, _TAB = (np.uint8(ord(c)) for c in '\n\r#"\\{} \t')
_TYPE = np.frombuffer(b"TYPE", np.uint8)
_EOF = np.frombuffer(b"EOF", np.uint8)
_HELP = np.frombuffer(b"HELP", np.uint8)
_UNIT = np.frombuffer(b"UNIT", np.uint8)


@inlined
def line_end(buffer: np.ndarray, position: U64, end: U64) -> U64:
    """Return the position of the next newline, or `end`."""
    while position < end and buffer[position] != _NEWLINE:
        position += U1
    return position


@inlined
def series_end(buffer: np.ndarray, position: U64, end: U64) -> U64:
    """Return where the series text ends: after its `}`, or after the name when there are no labels.

    `position` itself says that quotes or braces are not closed before `end`.
    """
    begin = position
    while position < end:
        byte = buffer[position]
        if byte == _OPEN or byte == _SPACE or byte == _TAB:
            break
        position += U1
    after = skip_blanks(buffer, position, end)
    if after >= end or buffer[after] != _OPEN:
        return position
    position, quoted = after + U1, False
    while position < end:
        byte = buffer[position]
        if byte == _QUOTE:
            quoted = not quoted
        elif byte == _BACKSLASH and quoted:
            position += U1
        elif byte == _CLOSE and not quoted:
            return position + U1
        position += U1
    return begin


@inlined
def is_keyword(buffer: np.ndarray, position: U64, end: U64, word: np.ndarray) -> bool:
    """Whether a comment's keyword at buffer[position:end] is a word."""
    if end - position != np.uint64(len(word)):
        return False
    index = np.uint64(0)
    while position < end and buffer[position] == word[index]:
        position += U1
        index += U1
    return bool(position == end)


@compiled
def scan_lines(
    buffer: np.ndarray,
    end: U64,
    default_ms: int,
    seconds: bool,
    whole: bool,
    complete: bool,
    longest: U64,
    fill: np.ndarray,
    slots: np.ndarray,
    hashes: np.ndarray,
    starts: np.ndarray,
    sizes: np.ndarray,
    arena: np.ndarray,
    seed: U64,
    entries: np.ndarray,
    times: np.ndarray,
    values: np.ndarray,
    slow: np.ndarray,
    bad: np.ndarray,
    state: np.ndarray,
) -> None:
    """Read lines from `state[POSITION]` on, until the rows are full, the text cache is, or the bytes end.

    Args:
        default_ms: time of lines without a timestamp.
        seconds: OpenMetrics: timestamps are seconds, exemplars may follow, `# EOF` ends all.
        whole: nothing follows `end`; else a line without its newline is left for the next call.
        complete: nothing is missing: a last line without its newline is a line.
        longest: bytes a line may have.
        fill … seed: the text cache (`textcache`).
        entries, times, values: int32, int64, float64 [rows]: written from row `state[ROWS]` on.
        slow: int64[rows, 3]: (row, begin, end) of values that only `float` reads exactly.
        bad: int64[len(REASONS)]: counts of lines refused.
        state: int64[7]; NO_ROOM says that a text of `state[NEEDED]` bytes has no room in the cache.
    """
    position = np.uint64(state[POSITION])
    state[NO_ROOM] = 0
    # Once the cache may not grow any more the caller sets NEEDED to -1: a new text is then refused.
    closed = state[NEEDED] < 0
    while position < end and state[ROWS] < len(entries):
        begin = position
        stop = line_end(buffer, begin, end)
        if stop == end and not whole:
            break
        position = min(stop + U1, end)
        state[POSITION] = np.int64(position)
        cut = stop == end and not complete
        if stop - begin > longest:
            bad[_TOO_LONG] += 1
            continue
        if stop > begin and buffer[stop - U1] == _RETURN:
            stop -= U1
        begin = skip_blanks(buffer, begin, stop)
        if begin == stop:
            continue
        if state[EOF]:
            bad[_AFTER_EOF] += 1
            continue
        if buffer[begin] == _HASH:
            word = skip_blanks(buffer, begin + U1, stop)
            after = skip_token(buffer, word, stop)
            if is_keyword(buffer, word, after, _EOF):
                state[EOF] = 1 if seconds else 0
                state[GOOD_COMMENTS] += 1
            elif is_keyword(buffer, word, after, _TYPE) and not cut:
                entry = find_or_add(buffer, begin, stop, fill, slots, hashes, starts, sizes, arena, seed)
                if entry == FULL and not closed:
                    state[POSITION], state[NEEDED], state[NO_ROOM] = np.int64(begin), np.int64(stop - begin), 1
                    return
                state[GOOD_COMMENTS] += 1
            elif is_keyword(buffer, word, after, _HELP) or is_keyword(buffer, word, after, _UNIT):
                state[GOOD_COMMENTS] += 1
            continue
        if cut:  # half a number is another number, and a smaller one would look like a reset
            bad[_CUT] += 1
            continue
        text_end = series_end(buffer, begin, stop)
        value_at = skip_blanks(buffer, text_end, stop)
        value_end = skip_token(buffer, value_at, stop)
        if text_end == begin or value_at == value_end:
            bad[_SYNTAX] += 1
            continue
        value, how = read_number(buffer, value_at, value_end)
        if how == BAD_NUMBER:
            bad[_VALUE] += 1
            continue
        time_at = skip_blanks(buffer, value_end, stop)
        time_ms = default_ms
        if time_at < stop and not (seconds and buffer[time_at] == _HASH):
            time_end = skip_token(buffer, time_at, stop)
            number, time_how = read_number(buffer, time_at, time_end)
            following = skip_blanks(buffer, time_end, stop)
            if time_how == SLOW:
                number, time_how = approximately(buffer, time_at, time_end)
            number = number * 1000.0 if seconds else number
            if time_how == BAD_NUMBER or not 0.0 <= number <= LATEST_MS:
                bad[_TIMESTAMP] += 1
                continue
            if following < stop and not (seconds and buffer[following] == _HASH):
                bad[_SYNTAX] += 1
                continue
            time_ms = int(np.floor(number + 0.5))
        entry = find_or_add(buffer, begin, text_end, fill, slots, hashes, starts, sizes, arena, seed)
        if entry == FULL:
            if closed:
                bad[_LIMIT] += 1
                continue
            state[POSITION], state[NEEDED], state[NO_ROOM] = np.int64(begin), np.int64(text_end - begin), 1
            return
        row = state[ROWS]
        entries[row], times[row], values[row] = entry, time_ms, value
        if how == SLOW:
            nth = state[SLOW_VALUES]
            slow[nth, 0], slow[nth, 1], slow[nth, 2] = row, np.int64(value_at), np.int64(value_end)
            state[SLOW_VALUES] += 1
        state[ROWS] = row + 1
