"""Zipkin reports one span in several pieces. This module joins them, as Zipkin's own `zipkin2.internal.Trace` does.

A client may send a span's kind first, its duration later and its error after that. Client and server may share one id.
Pieces are one span when trace, id, `shared` and local endpoint agree.

Invariant: at most `WINDOW_PIECES` pieces are held. The traces that were touched longest ago leave first, so pieces that
are that far apart in a file stay apart.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby

from chronotope.ingest.files.spans.rows import TraceId
from chronotope.ingest.spans.columns import CLIENT, SERVER, UNSPECIFIED

WINDOW_PIECES = 50_000


@dataclass(slots=True)
class Endpoint:
    """One end of a call; empty if it was not sent."""

    service: str = ""
    address: str = ""
    port: int = 0

    def agrees(self, other: Endpoint) -> bool:
        """Tell whether nothing that both name differs."""
        pairs = ((self.service, other.service), (self.address, other.address), (self.port, other.port))
        return all(not mine or not theirs or mine == theirs for mine, theirs in pairs)

    def fill(self, other: Endpoint) -> None:
        """Copy from the other what is missing here."""
        self.service = self.service or other.service
        self.address = self.address or other.address
        self.port = self.port or other.port


@dataclass(slots=True)
class Piece:
    """One report of one span. Times are in microseconds, 0 if they were not sent."""

    trace: TraceId
    id: int
    parent: int = 0
    kind: int = UNSPECIFIED
    shared: bool = False
    start_us: int = 0
    duration_us: int = 0
    error: bool = False
    local: Endpoint = field(default_factory=Endpoint)
    remote: Endpoint = field(default_factory=Endpoint)
    tags: dict[str, object] = field(default_factory=dict)

    def absorb(self, later: Piece) -> None:
        """Make this piece and a later one of the same span one."""
        self.parent = self.parent or later.parent
        self.kind = self.kind or later.kind
        self._absorb_times(later)
        self.error |= later.error
        self.local.fill(later.local)
        self.remote.fill(later.remote)
        self.tags.update(later.tags)

    def _absorb_times(self, later: Piece) -> None:
        """From the earliest start to the latest end; a duration without a start counts from the one known."""
        starts = [start for start in (self.start_us, later.start_us) if start]
        if len(set(starts)) < 2:
            self.start_us = max(starts, default=0)
            self.duration_us = max(self.duration_us, later.duration_us)
            return
        end_us = max(self.start_us + self.duration_us, later.start_us + later.duration_us)
        self.start_us = min(starts)
        self.duration_us = end_us - self.start_us


class TraceWindow:
    """Collects the pieces of traces whose spans are scattered over a file."""

    def __init__(self, max_pieces: int = WINDOW_PIECES) -> None:
        self._max_pieces = max_pieces
        self._traces: OrderedDict[TraceId, list[Piece]] = OrderedDict()
        self._pieces = 0

    def add(self, piece: Piece) -> None:
        """Add a piece; follow with `overflow`."""
        self._traces.setdefault(piece.trace, []).append(piece)
        self._traces.move_to_end(piece.trace)
        self._pieces += 1

    def overflow(self) -> Iterator[list[Piece]]:
        """Yield the pieces of the traces that must leave, half of the window when it is full."""
        if self._pieces > self._max_pieces:
            yield from self._leave(self._max_pieces // 2)

    def rest(self) -> Iterator[list[Piece]]:
        """Yield the pieces of all traces that are left."""
        yield from self._leave(0)

    def _leave(self, keep: int) -> Iterator[list[Piece]]:
        while self._traces and self._pieces > keep:
            _, pieces = self._traces.popitem(last=False)
            self._pieces -= len(pieces)
            yield pieces


def merge_trace(pieces: Iterable[Piece]) -> list[Piece]:
    """Return the spans of one trace from its pieces, in any order.

    The longest trace id is every span's; a server that shares its client's id is marked so though it didn't say it;
    both halves have the parent that one of them knows; a span that was sent without a time has that of its other
    half, else of its parent, else of the trace.
    """
    ordered = sorted(pieces, key=_order)
    trace = max((piece.trace for piece in ordered), default=TraceId(0, 0))
    spans: list[Piece] = []
    for _, same_id in groupby(ordered, key=lambda piece: piece.id):
        spans += _merge_same_id(list(same_id))
    for span in spans:
        if trace.lo == span.trace.lo:
            span.trace = trace
    _lend_times(spans)
    return spans


def _order(piece: Piece) -> tuple[object, ...]:
    """Sort halves together, client first."""
    kind = 0 if piece.kind == CLIENT else 1
    return (piece.id, piece.shared, kind, piece.local.service, piece.local.address, piece.local.port)


def _merge_same_id(pieces: list[Piece]) -> list[Piece]:
    spans: list[Piece] = []
    for piece in pieces:
        for span in spans:
            if span.shared == piece.shared and span.local.agrees(piece.local) and not _halves(span, piece):
                span.absorb(piece)
                break
        else:
            spans.append(piece)
    parent = next((span.parent for span in spans if span.parent), 0)
    has_client = any(span.kind == CLIENT for span in spans)
    for span in spans:
        span.parent = span.parent or parent
        span.shared |= has_client and span.kind == SERVER
    return spans


def _halves(span: Piece, piece: Piece) -> bool:
    """Return whether two pieces claim to be different ends of a call."""
    return bool(span.kind and piece.kind and span.kind != piece.kind)


def _lend_times(spans: list[Piece]) -> None:
    known: dict[int, int] = {}
    for span in spans:
        if span.start_us:
            known[span.id] = min(span.start_us, known.get(span.id, span.start_us))
    earliest = min(known.values(), default=0)
    for span in spans:
        if not span.start_us:
            span.start_us = known.get(span.id) or known.get(span.parent) or earliest
