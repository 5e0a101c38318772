"""Cut a stream of JSON into its elements without parsing or holding it: flat memory for a file of any size.

An element is a member of a top-level array, a member of the array under one named key of a top-level object
(`{"data": […]}`), or else the top-level object itself. Several top-level values may follow each other.

Invariant: for a valid document, the elements, each parsed alone, equal those of the parsed document. No element above
the limit is ever held. The work is done by columns: one NumPy pass over a block finds the brackets, commas and colons
outside strings, and their depth. Only the marks between elements reach Python.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

MAX_ELEMENT_BYTES = 128 << 20

_QUOTE, _BACKSLASH = 0x22, 0x5C
_OPEN_LIST, _CLOSE_LIST, _OPEN_OBJECT, _CLOSE_OBJECT, _COMMA, _COLON = b"[]{},:"
_STEP = np.zeros(256, np.int8)
_STEP[[_OPEN_LIST, _OPEN_OBJECT]] = 1
_STEP[[_CLOSE_LIST, _CLOSE_OBJECT]] = -1
_IS_MARK = np.zeros(256, np.bool_)
_IS_MARK[list(b"[]{},:")] = True

Positions = npt.NDArray[np.int64]


class MalformedJson(ValueError):
    """The text between elements is not JSON; the message says at which byte."""


class Marks(NamedTuple):
    """M brackets, commas and colons outside strings, in order.

    `level` is how many brackets are open around the mark (a bracket itself not counted).
    """

    at: Positions
    level: Positions


class MarkScanner:
    """Find the marks of a text that arrives in blocks; strings and escapes may cross blocks."""

    def __init__(self) -> None:
        self.depth = 0
        self.in_string = False
        self._odd_backslashes = False

    def scan(self, block: bytes) -> Marks:
        """Return the marks of the next block; positions count from the block's start."""
        text = np.frombuffer(block, np.uint8)
        quotes = self._string_bounds(text)
        at = np.flatnonzero(_IS_MARK[text])
        inside = (np.searchsorted(quotes, at) + self.in_string) & 1
        at = at[inside == 0]
        step = _STEP[text[at]]
        depth = self.depth + np.cumsum(step, dtype=np.int64)
        self.in_string ^= bool(quotes.size & 1)
        if depth.size:
            self.depth = int(depth[-1])
        return Marks(at, depth - (step == 1))

    def _string_bounds(self, text: npt.NDArray[np.uint8]) -> Positions:
        """Return the positions of the quotes that no backslash escapes."""
        quotes = np.flatnonzero(text == _QUOTE)
        slashes = np.flatnonzero(text == _BACKSLASH)
        carried, self._odd_backslashes = self._odd_backslashes, False
        escaped = np.empty(0, np.int64)
        if slashes.size:
            firsts = np.flatnonzero(np.diff(slashes, prepend=-2) != 1)
            odd = (np.diff(firsts, append=slashes.size) & 1).astype(np.bool_)
            if slashes[0] == 0:
                odd[0] ^= carried
                carried = False
            lasts = slashes[np.append(firsts[1:], slashes.size) - 1]
            self._odd_backslashes = bool(odd[-1] and lasts[-1] == text.size - 1)
            escaped = lasts[odd] + 1
        if carried and text.size:
            escaped = np.append(escaped, 0)
        return quotes[~np.isin(quotes, escaped)] if escaped.size else quotes


class ElementSplitter:
    """Cut blocks of JSON into elements.

    `feed` yields each element's bytes; None stands for one that was larger than `max_bytes` and was let pass.
    """

    def __init__(self, wrapper: str | None = None, max_bytes: int = MAX_ELEMENT_BYTES) -> None:
        self._wrapper = wrapper
        self._max_bytes = max_bytes
        self._scanner = MarkScanner()
        self._mode = self._between
        self._held: list[bytes] = []  # what came in earlier blocks of the piece that began at _start
        self._held_bytes = 0
        self._too_large = False
        self._block = b""
        self._base = 0  # of the block, in the whole text
        self._start = 0  # of the current piece, in the block
        self._member_at = 0  # of the current member of a top-level object, in the whole text
        self._key_awaited = False
        self._key_found = False
        self._unwrapped = False

    def feed(self, block: bytes) -> Iterator[bytes | None]:
        """Yield the elements that this block completes.

        Raises:
            MalformedJson: brackets close that were not open, or there is text between top-level values.
        """
        at, level = self._scanner.scan(block)
        self._block, self._start = block, 0
        shallow = np.flatnonzero(level <= 1)
        commas = at[(level == 2) & (np.frombuffer(block, np.uint8)[at] == _COMMA)] if at.size else at
        done = 0
        for mark in shallow:
            position = int(at[mark])
            if self._mode == self._wrapped:
                upto = int(np.searchsorted(commas, position))
                yield from map(self._cut, commas[done:upto].tolist())
                done = upto
            yield from self._mode(block[position], position, int(level[mark]))
            if self._mode == self._wrapped:
                done = int(np.searchsorted(commas, position))
        if self._mode == self._wrapped:
            yield from map(self._cut, commas[done:].tolist())
        self._hold(block[self._start :])
        self._base += len(block)

    def finish(self) -> None:
        """Say that the text has ended.

        Raises:
            MalformedJson: it ended inside a value.
        """
        if self._scanner.depth or self._scanner.in_string or self._mode != self._between:
            raise MalformedJson(f"ends inside a value, after {self._base} bytes")
        self._refuse_text(b"".join(self._held), self._base)

    def _between(self, mark: int, position: int, level: int) -> Iterator[bytes | None]:
        """Handle a mark between top-level values: only an opening bracket may come."""
        self._refuse_text(self._piece(position) or b"", self._base + position)
        if mark not in (_OPEN_LIST, _OPEN_OBJECT) or level:
            raise MalformedJson(f"unexpected {chr(mark)!r} at byte {self._base + position}")
        is_list = mark == _OPEN_LIST
        self._mode = self._list if is_list else self._object
        self._begin(position + is_list)
        self._member_at = self._base + position + 1
        self._key_awaited, self._key_found, self._unwrapped = True, False, False
        yield from ()

    def _list(self, mark: int, position: int, level: int) -> Iterator[bytes | None]:
        """Handle a mark inside a top-level array."""
        if mark == _COMMA and level == 1:
            yield self._cut(position)
        elif level <= 0:
            yield from self._close(mark, _CLOSE_LIST, position)

    def _object(self, mark: int, position: int, level: int) -> Iterator[bytes | None]:
        """Handle a mark inside a top-level object: watch for the wrapper's key, and for the end."""
        if level <= 0:
            if mark != _CLOSE_OBJECT:
                raise MalformedJson(f"unexpected {chr(mark)!r} at byte {self._base + position}")
            self._mode = self._between
            element = self._cut(position, position + 1)
            if not self._unwrapped:
                yield element
        elif mark == _COMMA:
            self._member_at = self._base + position + 1
            self._key_awaited, self._key_found = True, False
        elif mark == _COLON and self._wrapper and self._key_awaited:
            self._key_awaited = False
            self._key_found = self._key(position) == b'"%b"' % self._wrapper.encode()
        elif mark == _OPEN_LIST and self._key_found:
            self._mode, self._unwrapped = self._wrapped, True
            self._begin(position + 1)

    def _wrapped(self, mark: int, position: int, level: int) -> Iterator[bytes | None]:
        """Handle a mark inside the wrapper's array; its commas were cut before."""
        if level <= 1:
            yield from self._close(mark, _CLOSE_LIST, position)
            self._mode = self._object

    def _close(self, mark: int, expected: int, position: int) -> Iterator[bytes | None]:
        """End an array: what follows its last comma is an element unless it is blank."""
        if mark != expected:
            raise MalformedJson(f"unexpected {chr(mark)!r} at byte {self._base + position}")
        self._mode = self._between
        element = self._cut(position)
        if element is None or element.strip():
            yield element

    def _key(self, position: int) -> bytes:
        """Return the text of the member's key; empty when it began in a block that is no longer held."""
        if self._member_at >= self._base:
            return self._block[self._member_at - self._base : position].strip()
        held = b"".join(self._held)
        began = len(held) - (self._base - self._member_at)
        return (held[began:] + self._block[:position]).strip() if began >= 0 else b""

    def _begin(self, position: int) -> None:
        """Start a new piece at a position of the block."""
        self._held, self._held_bytes, self._too_large = [], 0, False
        self._start = position

    def _piece(self, end: int) -> bytes | None:
        """Return the current piece up to `end`; None when it grew over the limit."""
        rest = self._block[self._start : end]
        if self._too_large or self._held_bytes + len(rest) > self._max_bytes:
            return None
        return b"".join([*self._held, rest]) if self._held else rest

    def _cut(self, separator: int, end: int | None = None) -> bytes | None:
        """Return the current piece, and begin the next after the separator."""
        element = self._piece(separator if end is None else end)
        self._begin(separator + 1)
        return element

    def _hold(self, rest: bytes) -> None:
        """Keep what remains of the block for the piece that goes on in the next one."""
        self._held_bytes += len(rest)
        if self._unwrapped and self._mode == self._object:
            self._begin(0)
        elif self._held_bytes > self._max_bytes:
            self._held, self._too_large = [], True
        elif rest:
            self._held.append(rest)

    def _refuse_text(self, text: bytes, end: int) -> None:
        """Between top-level values there is white space, and a byte order mark at the very start."""
        text = text.strip()
        if end <= 64 + len(text):
            text = text.removeprefix(b"\xef\xbb\xbf").strip()
        if text:
            raise MalformedJson(f"not JSON before byte {end}: {text[:40]!r}")


def split_elements(
    blocks: Iterable[bytes], wrapper: str | None = None, max_bytes: int = MAX_ELEMENT_BYTES
) -> Iterator[bytes | None]:
    """Yield the elements of a JSON text that arrives in blocks.

    Args:
        blocks: the text, cut anywhere.
        wrapper: a key of a top-level object whose array holds the elements.
        max_bytes: an element larger than this is let pass, and None stands for it.

    Raises:
        MalformedJson: after the elements before the fault.
    """
    splitter = ElementSplitter(wrapper, max_bytes)
    for block in blocks:
        yield from splitter.feed(block)
    splitter.finish()
