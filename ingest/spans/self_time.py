"""Where the time of calls goes: into a service itself, or between a caller and its callee.

Two measures that an edge's latency does not hold, both from spans alone, as rows of their own (view INSIDE):

- self time of a service: the span by which a request enters it, without the time in which it waited for others (the
  union of its client spans, and of callees whose client span is not known). Source and target are the service.
- time between: a call's client span without its server span: network, queues, connection pools, a sidecar.

Invariant: a pure function of a set of spans, as calls are. The rows hold latency only. So they are no edge, no call and
no evidence that a service was seen.

A client span may lack its kind: a span of unknown kind whose only child is a span in another service is one.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from chronotope.ingest.spans.columns import CLIENT, CONSUMER, LINK, PRODUCER, UNSPECIFIED
from chronotope.ingest.spans.index import is_far
from chronotope.schema.observations import INSIDE

MAX_CLIMB = 64  # same-service ancestors looked at; deeper nesting and cycles have no own time


def put_self_times(rows: np.ndarray, parents: np.ndarray, clients: np.ndarray, out: np.ndarray) -> int:
    """Write own times and times between into `out`, CALL[at least 2·N]; return how many.

    Args:
        rows: SPAN[N].
        parents: int32[N], the row of each span's parent, or -1.
        clients: int32[N], the client span that each span answers, or -1.
    """
    entries = _entries(rows, parents)
    answered = _answered(rows, parents, clients)
    entry, start_ns, end_ns = _waits(rows, parents, entries, answered)
    order = np.lexsort((start_ns, entry))
    waited_ns = _union(entry[order], start_ns[order], end_ns[order], len(rows))
    return int(_put(rows, parents, entries, answered, waited_ns, out))


@njit(cache=True, nogil=True)
def _entries(rows, parents):  # type: ignore[no-untyped-def]
    """The span by which its request entered the service, for each span; -1: not known."""
    entries = np.full(len(rows), -1, np.int32)
    for i in range(len(rows)):
        at = np.int32(i)
        for _ in range(MAX_CLIMB):
            above = parents[at]
            if above < 0 or rows[above]["service"] != rows[i]["service"]:
                row = rows[at]
                calls = row["kind"] == CLIENT or row["kind"] == PRODUCER
                # A parent that has not come may be of the same service.
                whole = above >= 0 or row["parent"] == 0 or is_far(row["kind"])
                if whole and not calls and row["service"] >= 0 and not row["flags"] & LINK:
                    entries[i] = at
                break
            at = above
    return entries


@njit(cache=True, nogil=True)
def _answered(rows, parents, clients):  # type: ignore[no-untyped-def]
    """For each span that answers a call alone: the client span of that call; else -1."""
    children = np.zeros(len(rows), np.int32)
    answers = np.zeros(len(rows), np.int32)
    found = np.full(len(rows), -1, np.int32)
    for i in range(len(rows)):
        if parents[i] >= 0:
            children[parents[i]] += 1
        if clients[i] >= 0:
            answers[clients[i]] += 1
    for i in range(len(rows)):
        above = parents[i]
        if above < 0 or rows[above]["service"] == rows[i]["service"] or rows[i]["kind"] == CONSUMER:
            continue
        if clients[i] >= 0:
            if answers[clients[i]] == 1 and rows[clients[i]]["kind"] == CLIENT:
                found[i] = clients[i]
        elif rows[above]["kind"] == UNSPECIFIED and children[above] == 1:
            found[i] = above
    return found


@njit(cache=True, nogil=True)
def _waits(rows, parents, entries, answered):  # type: ignore[no-untyped-def]
    """Return when requests waited for others, within their own time: (entry, start, end) of W waits."""
    entry = np.empty(2 * len(rows), np.int32)
    start_ns = np.empty(2 * len(rows), np.int64)
    end_ns = np.empty(2 * len(rows), np.int64)
    count = 0
    for i in range(len(rows)):
        kind, above = rows[i]["kind"], parents[i]
        if (kind == CLIENT or kind == PRODUCER) and entries[i] >= 0:
            entry[count] = entries[i]
            start_ns[count], end_ns[count] = _within(rows[i], rows[entries[i]], False)
            count += 1
        remote = above >= 0 and rows[above]["service"] != rows[i]["service"] and kind != CONSUMER
        if remote and entries[above] >= 0:
            known = answered[i] >= 0
            entry[count] = entries[above]
            waited = rows[answered[i]] if known else rows[i]
            start_ns[count], end_ns[count] = _within(waited, rows[entries[above]], not known)
            count += 1
    return entry[:count], start_ns[:count], end_ns[:count]


@njit(cache=True, nogil=True)
def _within(row, entry, other_clock):  # type: ignore[no-untyped-def]
    """A span's start and end within a request; one by another host's clock is moved there, for clocks differ."""
    start, end = row["start_ns"], row["end_ns"]
    if other_clock:
        moved = min(max(start, entry["start_ns"]), max(entry["end_ns"] - (end - start), entry["start_ns"]))
        start, end = moved, moved + end - start
    return max(start, entry["start_ns"]), min(end, entry["end_ns"])


@njit(cache=True, nogil=True)
def _union(entry, start_ns, end_ns, count):  # type: ignore[no-untyped-def]
    """Nanoseconds that intervals, sorted by entry and start, cover of each entry, int64[count]."""
    covered = np.zeros(count, np.int64)
    until = np.int64(0)
    for at in range(len(entry)):
        if at == 0 or entry[at] != entry[at - 1]:
            until = start_ns[at]
        begin = max(start_ns[at], until)
        if end_ns[at] > begin:
            covered[entry[at]] += end_ns[at] - begin
            until = end_ns[at]
    return covered


@njit(cache=True, nogil=True)
def _put(rows, parents, entries, answered, waited_ns, out):  # type: ignore[no-untyped-def]
    count = 0
    for i in range(len(rows)):
        row = rows[i]
        took = row["end_ns"] - row["start_ns"]
        if took <= 0:
            continue
        if entries[i] == i:
            own = max(took - waited_ns[i], 0)
            count = _put_row(out, count, row, row["service"], row["service"], own)
        if answered[i] >= 0:
            client = rows[answered[i]]
            between = client["end_ns"] - client["start_ns"] - took
            if client["end_ns"] > client["start_ns"] and client["service"] >= 0 and row["service"] >= 0:
                count = _put_row(out, count, row, client["service"], row["service"], max(between, 0))
    return count


@njit(cache=True, nogil=True)
def _put_row(out, at, row, source, target, latency_ns):  # type: ignore[no-untyped-def]
    call = out[at]
    call["time_ns"] = row["start_ns"]
    call["latency_ns"] = latency_ns
    call["source"] = source
    call["target"] = target
    call["via"] = -1
    call["protocol"] = 0
    call["weight"] = row["weight"]
    call["error"] = 0
    call["view"] = INSIDE
    call["reporter"] = 0
    return at + 1
