"""The compiled rules of `deduplication`, applied to the rows of one client address.

Keys are 64-bit hashes with a seed of the process. For three million rows of one address, the chance that two keys
collide is below one in a million.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from chronotope.ingest.columns.hashing import table_size
from chronotope.ingest.flows.rows import CLIENT, OWNED_SOURCE, OWNED_TARGET
from chronotope.schema.observations import BUCKET_S

_CONNECTION, _PAIR, _AIM, _BOTH_ENDS = 1, 2, 3, 4  # kinds of keys
_NONE, _SEVERAL = -1, -2


@njit(cache=True, nogil=True)
def decide(ends, source, target, port, counts, seed):  # type: ignore[no-untyped-def]
    """Decide about END[M], sorted by client address.

    Args:
        source, target, port, counts: M of each, as they are when nobody else saw a connection: the nodes that asked
            and answered, the port, and whether a row counts. What others saw changes them.
        seed: of the hashes.
    """
    start = 0
    while start < len(ends):
        stop, clients = start, 0
        while stop < len(ends) and ends[stop]["client"] == ends[start]["client"]:
            clients += ends[stop]["observer"] == CLIENT
            stop += 1
        if 0 < clients < stop - start:  # if only one end saw a connection, that end's report stands
            _decide_one(ends[start:stop], clients, target[start:stop], port[start:stop], counts[start:stop], seed)
            _fill(ends[start:stop], source[start:stop], target[start:stop], seed)
        start = stop


@njit(cache=True, nogil=True)
def _decide_one(rows, seen_by_clients, target, port, counts, seed):  # type: ignore[no-untyped-def]
    clients = _mark_clients(rows, seen_by_clients, seed)
    servers, nodes = _mark_servers(rows, len(rows) - seen_by_clients, seed)
    behind, behind_row = _mark_unmatched(rows, False, clients, seed)
    before, before_row = _mark_unmatched(rows, True, servers, seed)
    for i in range(len(rows)):
        row = rows[i]
        bucket = row["bucket"]
        if row["observer"] != CLIENT:
            known = _near(clients, _pair(row, seed), bucket) or _near(clients, _aim(row, seed), bucket)
            if not known and row["client_port"]:
                known = _near(clients, _connection(row, seed), bucket)
            counts[i] = not known
            continue
        seen, node = _said_by_server(servers, nodes, _pair(row, seed), bucket)
        if node >= 0:
            target[i] = node
        elif not seen and row["client_port"]:
            key = _connection(row, seed)
            real = _only(rows, behind, behind_row, key, bucket)
            if real >= 0 and _only(rows, before, before_row, key, bucket) >= 0:
                target[i] = rows[real]["target"]
                port[i] = rows[real]["server_port"]


@njit(cache=True, nogil=True)
def _fill(rows, source, target, seed):  # type: ignore[no-untyped-def]
    """Take the owners of ends from the servers' reports, where nobody owned them by the client's clock."""
    open_sources, open_targets = False, False
    for i in range(len(rows)):
        row = rows[i]
        if row["observer"] == CLIENT and row["client_port"]:
            open_sources = open_sources or not row["owned"] & OWNED_SOURCE
            open_targets = open_targets or _is_open(row, target[i])
    if open_sources:
        table, node = _mark_owners(rows, OWNED_SOURCE, seed)
        _fill_from(rows, source, table, node, OWNED_SOURCE, seed)
    if open_targets:
        table, node = _mark_owners(rows, OWNED_TARGET, seed)
        _fill_from(rows, target, table, node, OWNED_TARGET, seed)


@njit(cache=True, nogil=True)
def _is_open(row, callee):  # type: ignore[no-untyped-def]
    """Whether nobody owned a server's address, and no other report named the server."""
    return not row["owned"] & OWNED_TARGET and callee == row["target"]


@njit(cache=True, nogil=True)
def _mark_owners(rows, which, seed):  # type: ignore[no-untyped-def]
    """Return (keys, nodes): connections that servers' hosts saw, and the owner of one end of each by their clocks."""
    count = 0
    for row in rows:
        count += row["observer"] != CLIENT
    table = np.zeros(table_size(count), np.uint64)
    node = np.full(len(table), _NONE, np.int32)
    for row in rows:
        if row["observer"] == CLIENT or not row["client_port"] or not row["owned"] & which:
            continue
        owner = row["source"] if which == OWNED_SOURCE else row["target"]
        key = _at(_end_of(row, which, seed), row["bucket"])
        slot = _slot(table, key)
        table[slot] = key
        if node[slot] != owner:
            node[slot] = owner if node[slot] == _NONE else _SEVERAL
    return table, node


@njit(cache=True, nogil=True)
def _fill_from(rows, ends, table, node, which, seed):  # type: ignore[no-untyped-def]
    """Give open ends of clients' rows the owner on which all reports of the connection around that time agree."""
    for i in range(len(rows)):
        row = rows[i]
        if row["observer"] != CLIENT or not row["client_port"] or row["owned"] & which:
            continue
        if which == OWNED_TARGET and not _is_open(row, ends[i]):
            continue
        owner = np.int32(_NONE)
        for beside in (0, -BUCKET_S, BUCKET_S):
            slot = _slot(table, _at(_end_of(row, which, seed), row["bucket"] + beside))
            if table[slot] != 0 and owner != node[slot]:
                owner = node[slot] if owner == _NONE else np.int32(_SEVERAL)
        if owner >= 0:
            ends[i] = owner


@njit(cache=True, nogil=True)
def _end_of(row, which, seed):  # type: ignore[no-untyped-def]
    """Return the key of a connection for one end. Behind address translation the client's end is the same."""
    if which == OWNED_SOURCE:
        return _connection(row, seed)
    ports = np.uint64(row["client_port"]) * 65536 + row["server_port"]
    return _mix(_BOTH_ENDS, row["client"], row["server"], ports * 2 + row["transport"], seed)


@njit(cache=True, nogil=True)
def _mix(kind, client, first, second, seed):  # type: ignore[no-untyped-def]
    """Hash all parts of a key but the bucket. 0 marks a free slot and is never a key."""
    mixed = (seed ^ np.uint64(client)) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(31)) ^ np.uint64(first)) * np.uint64(0xC2B2AE3D27D4EB4F)
    mixed = (mixed ^ (mixed >> np.uint64(29)) ^ np.uint64(second)) * np.uint64(0xBF58476D1CE4E5B9)
    return mixed ^ (mixed >> np.uint64(32)) ^ np.uint64(kind)


@njit(cache=True, nogil=True)
def _at(key, bucket):  # type: ignore[no-untyped-def]
    mixed = (key ^ np.uint64(bucket)) * np.uint64(0x94D049BB133111EB)
    return (mixed ^ (mixed >> np.uint64(31))) | np.uint64(1)


@njit(cache=True, nogil=True)
def _slot(table, key):  # type: ignore[no-untyped-def]
    """Return the slot of a key, or the free slot where it would go."""
    mask = np.uint64(len(table) - 1)
    slot = np.int64((key >> np.uint64(1)) & mask)
    while table[slot] != 0 and table[slot] != key:
        slot = (slot + 1) & np.int64(mask)
    return slot


@njit(cache=True, nogil=True)
def _connection(row, seed):  # type: ignore[no-untyped-def]
    return _mix(_CONNECTION, row["client"], row["client_port"], row["transport"], seed)


@njit(cache=True, nogil=True)
def _pair(row, seed):  # type: ignore[no-untyped-def]
    return _mix(_PAIR, row["client"], row["server"], np.uint64(row["server_port"]) * 2 + row["transport"], seed)


@njit(cache=True, nogil=True)
def _aim(row, seed):  # type: ignore[no-untyped-def]
    return _mix(_AIM, row["client"], row["target"], row["transport"], seed)


@njit(cache=True, nogil=True)
def _near(table, key, bucket):  # type: ignore[no-untyped-def]
    """Return whether a key is there, in a bucket or in a neighbouring one."""
    found = table[_slot(table, _at(key, bucket))] != 0
    found = found or table[_slot(table, _at(key, bucket - BUCKET_S))] != 0
    return found or table[_slot(table, _at(key, bucket + BUCKET_S))] != 0


@njit(cache=True, nogil=True)
def _mark_clients(rows, clients, seed):  # type: ignore[no-untyped-def]
    """Return the keys of all that clients' hosts saw, and the number of rows."""
    table = np.zeros(table_size(3 * clients), np.uint64)
    for row in rows:
        if row["observer"] != CLIENT:
            continue
        key = _at(_pair(row, seed), row["bucket"])
        table[_slot(table, key)] = key
        key = _at(_aim(row, seed), row["bucket"])
        table[_slot(table, key)] = key
        if row["client_port"]:
            key = _at(_connection(row, seed), row["bucket"])
            table[_slot(table, key)] = key
    return table


@njit(cache=True, nogil=True)
def _mark_servers(rows, servers, seed):  # type: ignore[no-untyped-def]
    """Return (keys, nodes): the pairs of addresses that servers' hosts saw, and the service that their agents name."""
    table = np.zeros(table_size(servers), np.uint64)
    node = np.full(len(table), _NONE, np.int32)
    for row in rows:
        if row["observer"] == CLIENT:
            continue
        key = _at(_pair(row, seed), row["bucket"])
        slot = _slot(table, key)
        table[slot] = key
        if row["own"] >= 0 and node[slot] != row["target"]:
            node[slot] = row["target"] if node[slot] == _NONE else _SEVERAL
    return table, node


@njit(cache=True, nogil=True)
def _mark_unmatched(rows, of_clients, opposite, seed):  # type: ignore[no-untyped-def]
    """Return (keys, row numbers): rows of one end with a client port, whose pair the other end did not see.

    A row number is that of any row to the only server address and port, `_SEVERAL` where there are several.
    """
    unmatched = np.zeros(len(rows), np.bool_)
    count = 0
    for i in range(len(rows)):
        row = rows[i]
        if row["client_port"] and (row["observer"] == CLIENT) == of_clients:
            unmatched[i] = not _near(opposite, _pair(row, seed), row["bucket"])
            count += unmatched[i]
    table = np.zeros(table_size(count), np.uint64)
    found = np.full(len(table), _NONE, np.int64)
    for place in range(len(rows)):
        if not unmatched[place]:
            continue
        key = _at(_connection(rows[place], seed), rows[place]["bucket"])
        slot = _slot(table, key)
        table[slot] = key
        found[slot] = _either(rows, found[slot], place)
    return table, found


@njit(cache=True, nogil=True)
def _either(rows, one, other):  # type: ignore[no-untyped-def]
    """Return one of two row numbers if both mean the same server, else `_SEVERAL`."""
    if one == _NONE:
        return other
    if other == _NONE or one == _SEVERAL:
        return one
    if other == _SEVERAL:
        return other
    same = rows[one]["server"] == rows[other]["server"] and rows[one]["server_port"] == rows[other]["server_port"]
    return one if same and rows[one]["target"] == rows[other]["target"] else _SEVERAL


@njit(cache=True, nogil=True)
def _only(rows, table, found, key, bucket):  # type: ignore[no-untyped-def]
    """Return the row number of a connection's key, over a bucket and its neighbours."""
    only = _NONE
    for beside in (0, -BUCKET_S, BUCKET_S):
        slot = _slot(table, _at(key, bucket + beside))
        if table[slot] != 0:
            only = _either(rows, only, found[slot])
    return only


@njit(cache=True, nogil=True)
def _said_by_server(servers, nodes, key, bucket):  # type: ignore[no-untyped-def]
    """Return whether the server's host saw the pair, and which service its agent names."""
    seen = False
    for beside in (0, -BUCKET_S, BUCKET_S):
        slot = _slot(servers, _at(key, bucket + beside))
        if servers[slot] == 0:
            continue
        seen = True
        if nodes[slot] != _NONE:
            return True, nodes[slot]
    return seen, np.int32(_NONE)
