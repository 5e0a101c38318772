"""Two ends may report one connection: decide which report counts, and which server is behind a virtual address.

The report of the client's host counts. The report of the server's host counts only where the client's end did not
report this connection, this pair of addresses or this service, in the same ten seconds or the neighbouring ones (two
agents' clocks and intervals differ). The target of a client's row is, in this order,
 1. the service that the server's own agent names, if it saw the same pair of addresses,
 2. the only server row with the client's address and port but another server address: address translation lies between
    the two, both ends kept the client's address and port, and neither end's pair of addresses was seen by the other,
 3. the owner of the server's address,
 4. if nobody owned it by the client's clock: the owner by the server's clock, if its host saw the connection.
A client address without an owner also gets the owner by the server's clock. Clocks differ by seconds: at the edge of
an ownership, one host may see a connection within it, and the other outside.

Rows are first grouped by client address, so that all rows that decide about each other are in the CPU's cache.

Invariant: the decision about a row is a pure function of the set of rows with its client address, within `REACH`
buckets.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numba import njit

from chronotope.ingest.columns.hashing import SEED
from chronotope.ingest.flows.deduplication_rules import decide
from chronotope.ingest.flows.rows import FLOW, UNSETTLED

# The other end may be in the neighbouring bucket. Whether it has a partner of its own depends on the one after that.
REACH = 2

_READ = (
    "bucket", "client", "server", "own", "source", "target", "client_port", "server_port", "transport", "observer",
    "owned",
)  # fmt: skip
_DECIDED = ("caller", "callee", "callee_port", "counts")
# The fields that decide about a row, the decision, and the piece and index of the row.
END = np.dtype([("piece", "<i4"), ("place", "<i4"), *((name, FLOW[name]) for name in (*_READ, *_DECIDED))])

Decisions = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]  # _DECIDED of M rows


@dataclass(frozen=True, slots=True)
class Changed:
    """Known rows whose decision changed: FLOW[K] before and after."""

    before: np.ndarray
    after: np.ndarray
    places: Sequence[tuple[np.ndarray, np.ndarray]]  # piece, and indices into it: all rows, in their order

    def put_back(self) -> None:
        """Write the new decisions back into the pieces."""
        start = 0
        for piece, index in self.places:
            for name in _DECIDED:
                piece[name][index] = self.after[name][start : start + len(index)]
            start += len(index)


def settle(rows: np.ndarray) -> None:
    """Decide about FLOW[M] in place: the real server and its port, and whether a row counts.

    Args:
        rows: attributed rows, and all of their client addresses and buckets.
    """
    clients = np.ones(int(rows["client"].max(initial=-1)) + 1, np.bool_)
    ends = _gathered([rows], clients)
    _write_decisions(rows, ends, 0, *_decided(ends))


def settle_beside(rows: np.ndarray, known: Sequence[np.ndarray], clients: np.ndarray, emitted: np.ndarray) -> Changed:
    """Decide about new rows FLOW[M] in place, and return what they change of known rows.

    Args:
        rows: attributed.
        known: pieces FLOW[…] that hold all rows of these clients within `REACH` of `emitted`. They stay as they are.
        clients: bool[by address code], those of the new rows.
        emitted: buckets, rising; known rows of other buckets are left out, as some rows that decide on them may lack.
    """
    ends = _gathered([*known, rows], clients)
    others = ends["piece"] < len(known)
    open_rows = others & (ends["callee"] == UNSETTLED)
    if open_rows.any():
        alone = ends[others]
        ends[others] = _with(alone, *_decided(alone))
    decisions = _decided(ends)
    _write_decisions(rows, ends, len(known), *decisions)
    found = np.flatnonzero(open_rows | _differing(ends, len(known), *decisions))
    found = found[np.isin(ends["bucket"][found], emitted)]
    found = found[np.argsort(ends["piece"][found], kind="stable")]
    numbers, starts = np.unique(ends["piece"][found], return_index=True)
    index = np.split(ends["place"][found], starts[1:])
    places = [(known[number], index[nth]) for nth, number in enumerate(numbers.tolist())]
    whole = np.concatenate([np.empty(0, FLOW), *(piece[index] for piece, index in places)])
    before = _with(whole, *(ends[name][found] for name in _DECIDED))
    return Changed(before, _with(whole, *(column[found] for column in decisions)), places)


def _gathered(pieces: Sequence[np.ndarray], clients: np.ndarray) -> np.ndarray:
    """Return the rows of some clients, END[M], sorted by client."""
    counts = np.zeros(len(clients), np.int64)
    for piece in pieces:
        _count(piece, clients, counts)
    ends = np.empty(int(counts.sum()), END)
    free = np.cumsum(counts) - counts
    for number, piece in enumerate(pieces):
        _gather(piece, number, clients, free, ends)
    return ends


def _decided(ends: np.ndarray) -> Decisions:
    """Return the decisions about END[M], all rows of their clients."""
    decisions = ends["source"].copy(), ends["target"].copy(), ends["server_port"].copy(), np.ones(len(ends), np.uint8)
    decide(ends, *decisions, SEED)
    return decisions


def _with(rows: np.ndarray, *decisions: np.ndarray) -> np.ndarray:
    """Return rows with other decisions."""
    rows = rows.copy()
    for name, column in zip(_DECIDED, decisions, strict=True):
        rows[name] = column
    return rows


@njit(cache=True, nogil=True)
def _count(piece, clients, counts):  # type: ignore[no-untyped-def]
    """Count the rows of each client that is asked for."""
    for row in piece:
        client = row["client"]
        if client < len(clients) and clients[client]:
            counts[client] += 1


@njit(cache=True, nogil=True)
def _gather(piece, number, clients, free, ends):  # type: ignore[no-untyped-def]
    """Copy the rows of clients into `ends`; `free` is the next free index of each client."""
    for place in range(len(piece)):
        row = piece[place]
        client = row["client"]
        if client >= len(clients) or not clients[client]:
            continue
        end = ends[free[client]]
        free[client] += 1
        end["piece"], end["place"] = number, place
        end["bucket"], end["client"], end["server"] = row["bucket"], client, row["server"]
        end["own"], end["source"], end["target"] = row["own"], row["source"], row["target"]
        end["observer"], end["owned"] = row["observer"], row["owned"]
        end["client_port"], end["server_port"] = row["client_port"], row["server_port"]
        end["transport"], end["counts"] = row["transport"], row["counts"]
        end["caller"], end["callee"], end["callee_port"] = row["caller"], row["callee"], row["callee_port"]


@njit(cache=True, nogil=True)
def _write_decisions(rows, ends, number, caller, callee, port, counts):  # type: ignore[no-untyped-def]
    """Write the decisions into the rows of a piece."""
    for i in range(len(ends)):
        if ends[i]["piece"] == number:
            row = rows[ends[i]["place"]]
            row["caller"], row["callee"], row["callee_port"] = caller[i], callee[i], port[i]
            row["counts"] = counts[i]


@njit(cache=True, nogil=True)
def _differing(ends, pieces, caller, callee, port, counts):  # type: ignore[no-untyped-def]
    """Return bool[M]: rows of the first pieces whose decision changes."""
    found = np.zeros(len(ends), np.bool_)
    for i in range(len(ends)):
        end = ends[i]
        same = end["caller"] == caller[i] and end["callee"] == callee[i]
        same = same and end["callee_port"] == port[i] and end["counts"] == counts[i]
        found[i] = end["piece"] < pieces and not same
    return found
