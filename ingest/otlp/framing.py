"""The first pass over a trace request: check that it is protobuf, and count its spans and resources.

Invariant: what passes is framed as upb would accept it, at every depth, even in parts that nobody reads. So the second
pass meets only well-formed fields. One thing that upb refuses passes on purpose: a string that is not UTF-8. Such names
are repaired where a string is first read, which costs nothing per span and loses no span.
"""

from __future__ import annotations

import numpy as np

from chronotope.ingest.columns.bytes import BAD, U0, U1, compiled
from chronotope.ingest.otlp.wire import BYTES, END_GROUP, GROUP, next_field

SHORTEST_SPAN = 28  # bytes of a trace id and a span id; what is shorter lacks one, and needs no row
MAX_DEPTH = 100  # of nested messages and groups, as upb has it

MESSAGES: dict[str, dict[int, str]] = {
    "ExportTraceServiceRequest": {1: "ResourceSpans"},
    "ResourceSpans": {1: "Resource", 2: "ScopeSpans"},
    "Resource": {1: "KeyValue", 3: "EntityRef"},
    "EntityRef": {},
    "ScopeSpans": {1: "InstrumentationScope", 2: "Span"},
    "InstrumentationScope": {3: "KeyValue"},
    "Span": {9: "KeyValue", 11: "Event", 13: "Link", 15: "Status"},
    "Event": {3: "KeyValue"},
    "Link": {4: "KeyValue"},
    "Status": {},
    "KeyValue": {2: "AnyValue"},
    "AnyValue": {5: "ArrayValue", 6: "KeyValueList"},
    "ArrayValue": {1: "AnyValue"},
    "KeyValueList": {1: "KeyValue"},
}

_FIELDS = 16
_NAMES = list(MESSAGES)
_LEAF = len(_NAMES)  # inside an unknown group: no field there is a message


def _child_table() -> np.ndarray:
    """Return CHILD[message, field]: the message in that field; `_LEAF` where there is none."""
    table = np.full((_LEAF + 1, _FIELDS), _LEAF, np.uint8)
    for parent, fields in MESSAGES.items():
        for field, child in fields.items():
            table[_NAMES.index(parent), field] = _NAMES.index(child)
    return table


_CHILD = _child_table()
_RESOURCE_SPANS, _SPAN = (_NAMES.index(name) for name in ("ResourceSpans", "Span"))
_NO_CHILD, _FIELD_LIMIT, _SHORTEST = np.uint8(_LEAF), np.uint64(_FIELDS), np.uint64(SHORTEST_SPAN)


@compiled
def measure(buffer: np.ndarray, bounds: np.ndarray, counts: np.ndarray) -> tuple[int, int]:
    """Check the framing of requests that lie end to end, and count.

    Args:
        buffer: uint8[B], the requests' bytes.
        bounds: uint64[R + 1], where each request starts and the last one ends.
        counts: int64[3], filled with the numbers of ResourceSpans, of spans that get a row, and of spans too short
            to hold both ids (or a hostile request could claim a hundred times its own size).

    Returns:
        (-1, 0), or the index of the first malformed request and the offset in it where its framing breaks.
    """
    ends = np.zeros(MAX_DEPTH + 1, np.uint64)
    types = np.zeros(MAX_DEPTH + 1, np.uint8)
    groups = np.zeros(MAX_DEPTH + 1, np.uint64)  # the field number of an open group plus one, 0 for a message
    resources, spans, short = 0, 0, 0
    for request in range(bounds.size - 1):
        position, end = bounds[request], bounds[request + 1]
        if end > np.uint64(buffer.size):
            return request, 0
        depth, kind, group = 0, np.uint8(0), U0
        while True:
            if position == end:
                if depth == 0:
                    break
                if group != U0:
                    return request, int(position - bounds[request])
                depth -= 1
                end, kind, group = ends[depth], types[depth], groups[depth]
                continue
            start = position
            field, wire, number, position = next_field(buffer, position, end)
            if position == BAD or (field == U0 and group == U0):  # inside a group upb lets number 0 pass
                return request, int(start - bounds[request])
            child, opened = _NO_CHILD, U0
            if wire == BYTES:
                if field < _FIELD_LIMIT:
                    child = _CHILD[kind, field]
                if child == _NO_CHILD:
                    continue
                resources += int(child == _RESOURCE_SPANS)
                if child == _SPAN:
                    spans += int(number >= _SHORTEST)
                    short += int(number < _SHORTEST)
            elif wire == GROUP:
                opened = field + U1
            elif wire == END_GROUP:
                if group != field + U1:
                    return request, int(start - bounds[request])
                depth -= 1
                end, kind, group = ends[depth], types[depth], groups[depth]
                continue
            else:
                continue
            if depth == MAX_DEPTH:
                return request, int(start - bounds[request])
            ends[depth], types[depth], groups[depth] = end, kind, group
            depth += 1
            kind, group = child, opened
            if opened == U0:
                end = position
                position -= number
    counts[0], counts[1], counts[2] = resources, spans, short
    return -1, 0
