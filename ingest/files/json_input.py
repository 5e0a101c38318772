"""The elements of a JSON input: of one document, or of one value a line.

Invariant: an element is taken whole, or is named with its position in the file. No element above the limit is held.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import orjson

from chronotope.ingest.files.json_elements import MAX_ELEMENT_BYTES, MalformedJson, split_elements
from chronotope.ingest.files.opening import BLOCK_BYTES, InputFile

logger = logging.getLogger(__name__)

_LOGGED_SKIPS = 20


class NotUnderstood(ValueError):
    """An element that is no span or trace of the format. The text is the reason under which it is counted."""


class Element(NamedTuple):
    """One element's JSON text, None when it was too large to hold, and its place for a message."""

    text: bytes | None
    place: str


def read_elements(source: InputFile, wrapper: str | None) -> Iterator[Element]:
    """Yield the elements of a document, or of the values that stand one a line.

    Raises:
        MalformedJson: a document that is not JSON from some byte on. A malformed line is an element as it is.
    """
    if not _is_one_a_line(source.peek(BLOCK_BYTES)):
        for number, text in enumerate(split_elements(source.blocks(), wrapper), 1):
            yield Element(text, f"element {number}")
        return
    for number, line in read_lines(source):
        place = f"line {number}"
        if line is None or not _holds_several(line, wrapper):
            yield Element(line, place)
            continue
        try:
            yield from [Element(text, place) for text in split_elements([line], wrapper)]
        except MalformedJson:
            yield Element(line, place)


def read_lines(source: InputFile, max_bytes: int = MAX_ELEMENT_BYTES) -> Iterator[tuple[int, bytes | None]]:
    """Yield (line number, line without its end) of lines that aren't blank; None for one over the limit."""
    number, held, held_bytes, too_large = 1, list[bytes](), 0, False
    for block in source.blocks():
        *ended, rest = block.split(b"\n")
        for part in ended:
            held.append(part)
            line = b"".join(held).strip()
            if too_large or len(line) > max_bytes:
                yield number, None
            elif line:
                yield number, line
            number, held, held_bytes, too_large = number + 1, [], 0, False
        held.append(rest)
        held_bytes += len(rest)
        if held_bytes > max_bytes:
            held, too_large = [], True
    line = b"".join(held).strip()
    if line or too_large:
        yield number, None if too_large else line


def decode_json(text: bytes) -> object:
    """Return the value of a JSON text; any fault in it is `NotUnderstood`."""
    try:
        return orjson.loads(text)
    except ValueError as cause:
        raise NotUnderstood("bad_json") from cause


def log_skip(source: InputFile, place: str, reason: str, skipped: int) -> None:
    """Log the first skips of an import as warnings, the others at level debug."""
    level = logging.WARNING if skipped <= _LOGGED_SKIPS else logging.DEBUG
    logger.log(level, "skipped", extra={"input": source.name, "place": place, "reason": reason})


def _is_one_a_line(head: bytes) -> bool:
    """Return whether each line is a value, by the first block. A document may be spread over lines in many ways."""
    lines = [line.removesuffix(b"\r") for line in head.removeprefix(b"\xef\xbb\xbf").split(b"\n")]
    if len(head) == BLOCK_BYTES:
        lines.pop()
    lines = [line for line in lines if line.strip()]
    if len(lines) < 2:
        return False
    if _is_whole(lines[0]) or not lines[0].lstrip().startswith((b"{", b"[")):
        return True
    return any(
        line.startswith(b"{") and not before.rstrip().endswith((b"[", b"{", b",", b":")) and _is_whole(line)
        for before, line in pairwise(lines[:5])
    )


def _is_whole(line: bytes) -> bool:
    """Tell whether a line is one JSON object or array."""
    if not line.lstrip().startswith((b"{", b"[")):
        return False
    try:
        orjson.loads(line)
    except ValueError:
        return False
    return True


def _holds_several(line: bytes, wrapper: str | None) -> bool:
    return line.startswith(b"[") or (wrapper is not None and b'"%b"' % wrapper.encode() in line)
