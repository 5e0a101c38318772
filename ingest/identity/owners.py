"""Who owned an address at an instant.

Invariant: an answer is the one service with the most precise claim at that instant, or nobody: never a guess.
Precision: a longer prefix beats a shorter one (a single address is the longest), a claim with the port beats one
without, and at the same precision a reported claim beats a configured one. Two services that claim the same instant at
the same precision and rank make it `AMBIGUOUS`, and nothing less precise is looked up. The exception: when these are
two resources of OpenTelemetry, which may share their host's address, less precise claims decide. A snapshot never
changes: to update, make a new one and swap it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntEnum
from itertools import chain
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from chronotope.ingest.columns.codes import distinct_codes
from chronotope.ingest.identity.ranges import AMBIGUOUS, NOBODY, flatten
from chronotope.schema.addresses import (
    BITS,
    IPV4_BITS,
    NOWHERE,
    AddressRange,
    is_ipv4,
    observed_range,
    parse_address_range,
)
from chronotope.schema.observations import KINDS

ALWAYS_FROM_MS, ALWAYS_TO_MS = -(2**62), 2**62
MAX_REMEMBERED = 262_144
# Trust, at the same precision: claims of agents and orchestrators win over those of OpenTelemetry resources, and
# that before a table in the configuration.
REPORTED, RESOURCE, CONFIGURED = 0, 1, 2


class Ownership(NamedTuple):
    """A service's claim on an address for `valid_from_ms <= t < valid_to_ms`; without times for ever."""

    address: str  # IP address, CIDR network or host name
    service: str  # service id
    port: int = 0  # 0: any
    kind: str = "service"
    valid_from_ms: int = ALWAYS_FROM_MS
    valid_to_ms: int = ALWAYS_TO_MS
    heartbeat: bool = False  # the end is assumed: heartbeats.py turns heartbeats into ranges
    rank: int = REPORTED


class Reason(IntEnum):
    """Why an address has this owner, or none."""

    OWNED = 0
    UNOWNED = 1  # nobody ever claimed it
    NOT_THEN = 2  # it is claimed, at other times
    AMBIGUOUS = 3  # two services claim that instant


class Owned(NamedTuple):
    """Owners of N addresses: `service` int32[N] into `services`, -1 none; `reason` uint8[N]."""

    service: np.ndarray
    reason: np.ndarray


class Service(NamedTuple):
    """A service id and its kind."""

    id: str
    kind: str


class Identities:
    """A snapshot of all claims. `services` are the owners that `owners` points into."""

    services: Sequence[Service]

    def __init__(self, claims: Iterable[Ownership] = ()) -> None:
        """Take claims in any order; the answers don't depend on it.

        Raises:
            InvalidValue: an address that is no place.
        """
        rows = list(claims)
        codes: dict[str, int] = {}
        keys: dict[tuple[AddressRange, int, int], int] = {}
        service = [codes.setdefault(row.service, len(codes)) for row in rows]
        key = [keys.setdefault((parse_address_range(row.address), row.port, row.rank), len(keys)) for row in rows]
        self._keys = keys
        self._may_share = np.array([rank == RESOURCE for _, _, rank in keys], np.bool_)
        self._known_chains: dict[tuple[str, int], tuple[int, ...]] = {}
        begin, end = np.array([row[4:6] for row in rows], np.int64).reshape(-1, 2).T
        self._ranks = sorted({rank for _, _, rank in keys})
        self.services = _services(codes, rows)
        self._lengths = sorted({place.bits for place, _, _ in keys if 0 <= place.bits < BITS}, reverse=True)
        self._segments = flatten(np.array(key, np.int64), np.array(service, np.int64), begin, end)
        self._ports = np.unique(np.array([0, *(port for _, port, _ in keys)], np.int64))

    def __len__(self) -> int:
        """Return how many (address, port) pairs are claimed, each once for each rank of trust."""
        return len(self._keys)

    def owners(
        self,
        addresses: Sequence[str],
        ports: np.ndarray,
        times_ms: np.ndarray,
        codes: np.ndarray | None = None,
    ) -> Owned:
        """Return who owned N addresses, each at its own instant.

        Args:
            addresses: one text a row; or, with `codes`, the distinct texts.
            ports: int[N]; 0 unknown, only claims on any port then answer.
            times_ms: int64[N], Unix milliseconds.
            codes: int[N], index into `addresses`; a row below 0 has no address.
        """
        if codes is None:
            addresses, codes = _coded(addresses)
        owner = np.full(len(codes), NOBODY, np.int32)
        reason = np.full(len(codes), Reason.UNOWNED, np.uint8)
        if not self._keys or not len(codes):
            return Owned(owner, reason)
        distinct, pair = self._pairs(np.asarray(codes, np.int64), np.asarray(ports, np.int64))
        chains = self._chains(addresses, distinct)
        ranks = self._segments.rank(times_ms)
        open_rows = np.arange(len(codes))
        for level in chains.T:
            keys = level[pair[open_rows]]
            open_rows, keys = open_rows[keys >= 0], keys[keys >= 0]
            found = self._segments.owner_at(keys, ranks[open_rows])
            owner[open_rows] = found
            shared = (found == AMBIGUOUS) & self._may_share[keys]
            reason[open_rows[(found == NOBODY) & (reason[open_rows] != Reason.AMBIGUOUS)]] = Reason.NOT_THEN
            reason[open_rows[shared]] = Reason.AMBIGUOUS
            open_rows = open_rows[(found == NOBODY) | shared]
        reason[owner >= 0] = Reason.OWNED
        reason[owner == AMBIGUOUS] = Reason.AMBIGUOUS
        return Owned(np.maximum(owner, -1), reason)

    def moments(self, times_ms: np.ndarray) -> np.ndarray:
        """Return int64[N]: between instants with the same number, no address changes its owner."""
        return self._segments.rank(times_ms)

    def _pairs(self, codes: np.ndarray, ports: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the distinct (address code, port) as int64[P, 2], and which one each row has, int[N].

        A port that no claim names is as good as none: ephemeral ports would make every row distinct.
        """
        known = np.zeros(65536, np.int64)
        known[self._ports] = np.arange(len(self._ports))
        pair = (codes + 1) * len(self._ports) + known[np.clip(ports, 0, 65535)]
        distinct, inverse = distinct_codes(pair)
        address, port = np.divmod(distinct, len(self._ports))
        return np.column_stack([address - 1, self._ports[port]]), inverse

    def _chains(self, addresses: Sequence[str], distinct: np.ndarray) -> np.ndarray:
        """Return the keys that may answer, most precise first, then -1; int64[P, L]."""
        pairs = ((addresses[code] if code >= 0 else "", port) for code, port in distinct.tolist())
        known = self._known_chains.get
        chains = [self._remember(pair) if (keys := known(pair)) is None else keys for pair in pairs]
        lengths = np.fromiter(map(len, chains), np.int64, len(chains))
        table = np.full((len(chains), int(lengths.max(initial=0))), -1, np.int64)
        table[np.arange(table.shape[1]) < lengths[:, None]] = np.fromiter(chain.from_iterable(chains), np.int64)
        return table

    def _remember(self, pair: tuple[str, int]) -> tuple[int, ...]:
        """Keep what a pair comes to: the same addresses come again with each batch."""
        if len(self._known_chains) >= MAX_REMEMBERED:
            self._known_chains.clear()
        keys = self._known_chains[pair] = tuple(self._chain(*pair))
        return keys

    def _chain(self, address: str, port: int) -> list[int]:
        place = observed_range(address)
        if place == NOWHERE:
            return []
        ports = (port, 0) if port else (0,)
        found = [self._keys.get((place, p, rank)) for p in ports for rank in self._ranks]
        if place.bits == BITS and self._lengths:
            shortest = IPV4_BITS if is_ipv4(place.number) else 0
            lengths = (n for n in self._lengths if n >= shortest)
            networks = (AddressRange(n, place.number >> (BITS - n) << (BITS - n)) for n in lengths)
            found += [self._keys.get((network, p, rank)) for network in networks for p in ports for rank in self._ranks]
        return [key for key in found if key is not None]


def _coded(addresses: Sequence[str]) -> tuple[list[str], np.ndarray]:
    """Return the distinct texts and each row's index among them."""
    coded = pa.array(addresses, pa.string()).dictionary_encode()
    return coded.dictionary.to_pylist(), coded.indices.to_numpy()


def _services(codes: dict[str, int], rows: Sequence[Ownership]) -> list[Service]:
    """Give each owner one kind. If claims differ, any kind but `service` wins, in the order of KINDS."""
    rank = {kind: place for place, kind in enumerate((*KINDS[1:], KINDS[0]))}
    kinds: dict[str, str] = {}
    for row in rows:
        known = kinds.setdefault(row.service, row.kind)
        if known != row.kind and rank.get(row.kind, 99) < rank.get(known, 99):
            kinds[row.service] = row.kind
    return [Service(service, kinds[service]) for service in codes]
