"""Span links: each linked span is one more parent of a span that consumed messages.

Invariant: the two spans alone determine a link row's id, so a link that comes twice is one call.
"""

from __future__ import annotations

import numpy as np

from chronotope.ingest.otlp.attributes import BYTES, attributes_of, fields_of
from chronotope.ingest.spans.columns import CLIENT, CONSUMER, LINK, PRODUCER
from chronotope.ingest.spans.sampling import mix64

_ATTRIBUTES, _LINKS = 9, 13
_RECEIVING = ("receive", "process", "deliver", "poll", "consume")


def link_rows(span: bytes, row: np.void) -> list[tuple[int, ...]]:
    """Return the rows (as tuples of SPAN) that stand for a span's links, its own parent's left out.

    A producer's links, and those of a client that does not say it receives, lead to messages it sends, not to its
    callers: they make no rows.
    """
    if not _receives(span, int(row["kind"])):
        return []
    own = (int(row["trace_hi"]), int(row["trace_lo"]), int(row["span"]))
    seen = {(own[0], own[1], int(row["parent"])), (0, 0, 0)}
    rows = []
    for field, wire, _, link in fields_of(span):
        target = _target(link) if field == _LINKS and wire == BYTES else (0, 0, 0)
        if target in seen:
            continue
        seen.add(target)
        rows.append(_row(row, own, target))
    return rows


def _receives(span: bytes, kind: int) -> bool:
    if kind in (CONSUMER, PRODUCER):
        return kind == CONSUMER
    attributes = attributes_of(span, _ATTRIBUTES)
    if not any(key.startswith("messaging.") for key in attributes):
        return False
    operations = ("messaging.operation.type", "messaging.operation", "messaging.operation.name")
    return kind != CLIENT or any(attributes.get(key) in _RECEIVING for key in operations)


def _target(link: bytes) -> tuple[int, int, int]:
    """Return (trace_hi, trace_lo, span) that a link leads to; zeros when its ids are not ids."""
    trace = span = b""
    for field, wire, _, content in fields_of(link):
        if wire == BYTES and field == 1:
            trace = content
        elif wire == BYTES and field == 2:
            span = content
    if len(trace) != 16 or len(span) != 8 or not any(trace) or not any(span):
        return 0, 0, 0
    return int.from_bytes(trace[:8]), int.from_bytes(trace[8:]), int.from_bytes(span)


def link_span_id(trace: tuple[int, int], span: int, linked_span: int) -> int:
    """Return the id of the row that stands for a span's link. It is the same from every format."""
    mixed = 0
    for number in (*trace, span, linked_span):
        mixed = mix64(mixed ^ number)
    return mixed or 1


def _row(row: np.void, own: tuple[int, int, int], target: tuple[int, int, int]) -> tuple[int, ...]:
    own_columns = {name: int(row[name]) for name in row.dtype.names or ()}
    columns = own_columns | {
        "trace_hi": target[0],
        "trace_lo": target[1],
        "span": link_span_id(own[:2], own[2], target[2]),
        "parent": target[2],
        "kind": CONSUMER,
        "flags": own_columns["flags"] | LINK,
    }
    return tuple(columns.values())
