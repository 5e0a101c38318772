"""Rows of spans that come one by one: ids, times, kinds and names are checked here and packed at once.

Invariant: every span that is added or skipped is counted in `read` once, and each skipped one under one reason. Rows
are held packed (66 bytes a span), never as Python objects. An unknown kind or status is unspecified, never an error.
"""

from __future__ import annotations

import re
import struct
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from chronotope.ingest.files.spans.peer_reader import PeerReader
from chronotope.ingest.otlp.links import link_span_id
from chronotope.ingest.spans.columns import (
    CONSUMER,
    EARLIEST_NS,
    LATEST_NS,
    LINK,
    RELEASED,
    SPAN,
    UNSPECIFIED,
    SpanBatch,
    Vocabulary,
)
from chronotope.ingest.spans.semconv import kind_of_tag
from chronotope.schema.names import clean_name

MAX_BATCH_ROWS = 200_000
_FULL_ROWS = 100_000
_MAX_ATTRIBUTES = 64

_PACKED = struct.Struct("<QQQQqqiiiiBB")
_HEX = re.compile(r"[0-9a-fA-F]{1,32}")
_MASK = (1 << 64) - 1
_STATUS_ERROR = 2


class TraceId(NamedTuple):
    """A trace id as two 64-bit numbers; `hi` is 0 for a 64-bit id."""

    hi: int
    lo: int


class Call(NamedTuple):
    """The fields of a span that pairing needs beside its ids and times, as codes of the vocabulary."""

    service: int
    peer: int = -1
    protocol: int = 0
    kind: int = 0
    flags: int = 0
    weight: int = 1


def parse_trace_id(text: object) -> TraceId | None:
    """Return a trace id of 1 to 32 hex digits, shorter ones padded on the left; None for anything else and for 0."""
    number = _parse_hex(text, 32)
    return TraceId(number >> 64, number & _MASK) if number else None


def parse_span_id(text: object) -> int | None:
    """Return a span id of 1 to 16 hex digits as a number, which may be 0; None for anything else."""
    return _parse_hex(text, 16)


def parse_number(value: object) -> int | None:
    """Return a whole number that JSON may hold as a number or as text; None for anything else (NaN too)."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        value = value.strip()
        return int(value) if len(value) <= 20 and value.isascii() and value.isdecimal() else None
    if isinstance(value, float):
        return int(value) if abs(value) < 2.0**63 else None
    return value if isinstance(value, int) else None


def kind_code(value: object) -> int:
    """Return the kind that OTLP's number, its name or a `span.kind` word means; UNSPECIFIED for anything else."""
    if isinstance(value, str) and not (value.isascii() and value.isdecimal() and len(value) == 1):
        return kind_of_tag(value)
    if isinstance(value, bool) or not isinstance(value, str | int | float) or value != value:
        return UNSPECIFIED
    number = int(value) if abs(float(value)) < 10 else UNSPECIFIED
    return number if 0 <= number <= CONSUMER else UNSPECIFIED


def is_error_status(value: object) -> bool:
    """Return whether a status is OTLP's error: 2, `ERROR` or `STATUS_CODE_ERROR`."""
    if isinstance(value, str):
        return value.strip().upper().removeprefix("STATUS_CODE_") in ("ERROR", "2")
    return not isinstance(value, bool) and value == _STATUS_ERROR


class RowBuilder:
    """Collects the rows of one input and hands them out in batches."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.vocabulary = vocabulary
        self.peers = PeerReader(vocabulary)
        self.skipped: Counter[str] = Counter()  # since the beginning
        self._reported: Counter[str] = Counter()
        self._read = 0
        self._packed = bytearray()
        self._attributes: dict[str, dict[str, str]] = {}
        self._known_services: set[str] = set()

    def add(self, trace: TraceId, span: int, parent: int, start_ns: int, end_ns: int, call: Call) -> bool:
        """Add one span; False when its time or service makes it useless, which is counted."""
        if call.service < 0:
            self.skip("no_service")
            return False
        if not EARLIEST_NS <= start_ns <= LATEST_NS:
            self.skip("time_out_of_range")
            return False
        self._read += 1
        self._pack(trace, span, parent, start_ns, end_ns, call)
        return True

    def add_link(
        self, own: TraceId, span: int, linked: TraceId, linked_span: int, start_ns: int, end_ns: int, call: Call
    ) -> None:
        """Add the row that makes a linked span a parent: one more child in the linked trace."""
        row_id = link_span_id(own, span, linked_span)
        call = call._replace(flags=call.flags | LINK)
        self._pack(linked, row_id, linked_span, start_ns, end_ns, call)

    def skip(self, reason: str) -> None:
        """Count a span that makes no row."""
        self._read += 1
        self.skipped[reason] += 1

    def count_merged(self, pieces: int) -> None:
        """Count reports that were part of a span which another report began."""
        self._read += pieces

    def describe_service(self, service: str, attributes: Mapping[str, object]) -> None:
        """Keep the attributes of a service seen for the first time."""
        if not service or service in self._known_services or not attributes:
            return
        self._known_services.add(service)
        self._attributes[service] = {
            clean_name(key): clean_name(str(value))
            for key, value in list(attributes.items())[:_MAX_ATTRIBUTES]
            if isinstance(value, str | int | float)
        }

    def full_batches(self) -> Iterator[SpanBatch]:
        """Yield batches while there are enough rows for one."""
        while len(self._packed) >= _FULL_ROWS * SPAN.itemsize:
            yield self._batch()

    def all_batches(self) -> Iterator[SpanBatch]:
        """Yield the rest, even if it is only a count of skipped spans."""
        while self._packed or self._read:
            yield self._batch()

    def _pack(self, trace: TraceId, span: int, parent: int, start_ns: int, end_ns: int, call: Call) -> None:
        end_ns = min(max(start_ns, end_ns), LATEST_NS)
        self._packed += _PACKED.pack(
            trace.hi,
            trace.lo,
            span,
            parent,
            start_ns,
            end_ns,
            call.service,
            call.peer,
            call.protocol,
            call.weight,
            call.kind,
            call.flags | RELEASED,
        )

    def _batch(self) -> SpanBatch:
        size = MAX_BATCH_ROWS * SPAN.itemsize
        rows = np.frombuffer(bytes(self._packed[:size]), SPAN).copy()
        del self._packed[:size]
        batch = SpanBatch(rows, self.skipped - self._reported, self._attributes, self._read)
        self._reported, self._read, self._attributes = self.skipped.copy(), 0, {}
        return batch


def _parse_hex(text: object, digits: int) -> int | None:
    if not isinstance(text, str) or len(text) > digits or not _HEX.fullmatch(text):
        return None
    return int(text, 16)
