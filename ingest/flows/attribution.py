"""Find the services at both ends of flows, at each flow's start.

Invariant: the service of a row's end is the one that its own agent names, else the one that owned the address then. If
there is none, the node is the address itself: `external` when it is public, else `unknown`. It is never a guess.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

import numpy as np
from numba import njit

from chronotope.ingest.columns.hashing import SEED, slot_of, table_size
from chronotope.ingest.flows.rows import CLIENT, OWNED_SOURCE, OWNED_TARGET, SERVER, FlowVocabulary
from chronotope.ingest.identity.owners import Identities

_REMEMBERED = 65_536  # questions that are not asked again, at least


class Attribution:
    """Sets `source` and `target` of rows. Not thread-safe: the writer of flows has one."""

    def __init__(self, vocabulary: FlowVocabulary, aliases: Mapping[str, str]) -> None:
        self._vocabulary = vocabulary
        self._aliases = aliases
        self._unowned = np.empty(0, np.int32)  # node of each address that nobody owns
        self._named = np.empty(0, np.int32)  # node of each service that an agent named
        self._owners: Identities | None = None
        self._owned = np.empty(0, np.int32)
        self._answers: _Answers | None = None

    def __call__(self, rows: np.ndarray, owners: Identities) -> None:
        """Attribute FLOW[M] in place: `source`, `target` and `owned`."""
        self._prepare(owners)
        start = np.ascontiguousarray(rows["start"])
        moment = _moments(start, owners)
        owned = np.zeros(len(rows), np.uint8)
        for end, address, observer, ports, bit in (
            ("source", "client", CLIENT, np.zeros(len(rows), np.uint16), OWNED_SOURCE),
            ("target", "server", SERVER, np.ascontiguousarray(rows["server_port"]), OWNED_TARGET),
        ):
            codes = np.ascontiguousarray(rows[address])
            nodes = self._nodes(codes, ports, moment, start)
            own = (rows["observer"] == observer) & (rows["own"] >= 0)
            rows[end] = np.where(own, self._named[rows["own"]], nodes)
            owned |= np.where(own | (nodes != self._unowned[codes]), np.uint8(bit), np.uint8(0))
        rows["owned"] = owned

    def _nodes(self, codes: np.ndarray, ports: np.ndarray, moments: np.ndarray, times_ms: np.ndarray) -> np.ndarray:
        """Return whose the addresses were, or the addresses' own nodes; each question is asked once."""
        assert self._owners is not None
        answers, self._answers = self._answers, None  # should this fail half-way, they are not used again
        if answers is None or not answers.has_room(len(codes)):
            answers = _Answers(len(codes))
        index, new = answers.ask(codes, ports, moments)
        texts = self._vocabulary.addresses.values
        service = self._owners.owners(texts, ports[new], times_ms[new], codes[new]).service
        answers.add(np.where(service >= 0, self._owned[service], self._unowned[codes[new]]))
        self._answers = answers
        nodes: np.ndarray = answers.nodes[index]
        return nodes

    def _prepare(self, owners: Identities) -> None:
        addresses, names = self._vocabulary.addresses, self._vocabulary.names
        if len(self._unowned) < len(addresses):
            new = [
                self._vocabulary.node(address, unowned_kind(address))
                for address in addresses.values[len(self._unowned) :]
            ]
            self._unowned = np.append(self._unowned, np.array(new, np.int32))
        if owners is self._owners and len(self._named) == len(names) + 1:
            return
        if owners is not self._owners:
            owned = [self._node(service, kind) for service, kind in owners.services]
            self._owned = np.array([*owned, -1], np.int32)
            self._owners = owners
            self._answers = None
        kinds = {service: kind for service, kind in owners.services}
        named = [self._node(name, kinds.get(name, "service")) for name in names.values]
        self._named = np.array([*named, -1], np.int32)

    def _node(self, service: str, kind: str) -> int:
        return self._vocabulary.node(self._aliases.get(service, service), kind)


_QUESTION = np.dtype([("moment", "<i8"), ("address", "<i4"), ("port", "<u2")])


class _Answers:
    """Nodes of addresses by address, port and moment, for one snapshot of owners."""

    def __init__(self, rows: int) -> None:
        """Make room for a batch of so many rows, and for the remembered ones."""
        room = rows + _REMEMBERED
        self._table = np.full(table_size(room), -1, np.int32)
        self._questions = np.empty(room, _QUESTION)
        self._count = 0
        self.nodes = np.empty(room, np.int32)

    def has_room(self, rows: int) -> bool:
        """Return whether there is room for a batch of so many rows."""
        return self._count + rows <= len(self.nodes)

    def ask(self, codes: np.ndarray, ports: np.ndarray, moments: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return each row's index among the answers, and the rows that are the first with a question still open."""
        found: tuple[np.ndarray, np.ndarray]
        found = _ask(codes, ports, moments, self._table, self._questions, self._count, SEED)
        return found

    def add(self, nodes: np.ndarray) -> None:
        """Add the answers to the open questions, in the order of `ask`."""
        self.nodes[self._count : self._count + len(nodes)] = nodes
        self._count += len(nodes)


def _moments(times_ms: np.ndarray, owners: Identities) -> np.ndarray:
    """Return int64[N]: at instants with the same number, an address has the same owner."""
    if not len(times_ms):
        return times_ms
    first, last = owners.moments(np.array([times_ms.min(), times_ms.max()]))
    return np.full(len(times_ms), first) if first == last else owners.moments(times_ms)


@njit(cache=True, nogil=True)
def _ask(codes, ports, moments, table, questions, count, seed):  # type: ignore[no-untyped-def]
    """Look questions up, and append those that are new."""
    mask = np.uint64(len(table) - 1)
    index = np.empty(len(codes), np.int32)
    new = np.empty(len(codes), np.int64)
    known = count
    for i in range(len(codes)):
        slot = slot_of(np.uint64(codes[i]), np.uint64(moments[i]), np.uint64(ports[i]), mask, seed)
        while table[slot] >= 0:
            question = questions[table[slot]]
            if question["address"] == codes[i] and question["moment"] == moments[i] and question["port"] == ports[i]:
                break
            slot = (slot + 1) & np.int64(mask)
        if table[slot] < 0:
            questions[count]["address"] = codes[i]
            questions[count]["moment"] = moments[i]
            questions[count]["port"] = ports[i]
            table[slot] = count
            new[count - known] = i
            count += 1
        index[i] = table[slot]
    return index, new[: count - known]


def unowned_kind(address: str) -> str:
    """Return the kind of the node of an address that nobody owns."""
    return "external" if ipaddress.ip_address(address.partition("%")[0]).is_global else "unknown"
