"""All known claims of ownership: from the configuration, from the store, and from requests.

Invariant: `snapshot()` holds every claim that was there at its call. A snapshot never changes. One from before a change
still answers rightly for the instants before the change, and is used again for them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

from chronotope.ingest.identity.claims import AddressClaims, changed_between
from chronotope.ingest.identity.owners import ALWAYS_FROM_MS, ALWAYS_TO_MS, CONFIGURED, Identities, Ownership
from chronotope.schema.addresses import AddressRange, parse_address_range
from chronotope.schema.config.config import IdentityEntry
from chronotope.schema.storage.store import Store

_EVER = 2**63 - 1
Key = tuple[AddressRange, int, int]  # port, rank of trust


class Change(NamedTuple):
    """The owner of an address range (at a port; 0: any) may have changed for `begin_ms <= t < end_ms`."""

    place: AddressRange
    port: int
    begin_ms: int
    end_ms: int


class Changes(NamedTuple):
    """The changes by some claims, and the ranges of their addresses before."""

    made: list[Change]
    before: Mapping[Key, tuple[Ownership, ...]]


class KnownIdentities:
    """Claims that grow while the server runs; safe to use from several threads."""

    def __init__(self, claims: Iterable[Ownership] = ()) -> None:
        self._claims: dict[Key, AddressClaims] = {}
        self._spans: dict[Key, tuple[Ownership, ...]] = {}
        self._lock = threading.Lock()
        self._snapshot: Identities | None = None
        self._right_until_ms = _EVER  # before this instant the snapshot's answers are right
        self.add(claims)

    def add(self, claims: Iterable[Ownership]) -> Changes:
        """Add claims, and return what they changed."""
        with self._lock:
            touched: dict[Key, None] = {}
            for claim in claims:
                key = (parse_address_range(claim.address), claim.port, claim.rank)
                if self._claims.setdefault(key, AddressClaims()).add(claim):
                    touched[key] = None
            before = {key: self._spans.get(key, ()) for key in touched}
            made = []
            for key in touched:
                self._spans[key] = self._claims[key].spans()
                between = changed_between(before[key], self._spans[key])
                if between is not None:
                    made.append(Change(*key[:2], *between))
            self._right_until_ms = min([self._right_until_ms, *(change.begin_ms for change in made)])
            return Changes(made, before)

    def snapshot(self, until_ms: int = _EVER) -> Identities:
        """Return all claims as they are now, good for instants before `until_ms`; made once after each change."""
        with self._lock:
            if self._snapshot is None or self._right_until_ms < until_ms:
                self._snapshot = Identities(chain.from_iterable(self._spans.values()))
                self._right_until_ms = _EVER
            return self._snapshot

    def spans(self) -> dict[Key, tuple[Ownership, ...]]:
        """Return the current ranges of each address range and port, by rank."""
        with self._lock:
            return dict(self._spans)

    def snapshot_before(self, changes: Changes) -> Identities:
        """Return all claims as they were before the last changes."""
        with self._lock:
            return Identities(chain.from_iterable({**self._spans, **changes.before}.values()))


def configured_claims(entries: Sequence[IdentityEntry]) -> list[Ownership]:
    """Return the claims of a configuration; without times they hold for ever."""
    return [
        Ownership(
            entry.address,
            entry.service_id,
            entry.port,
            entry.kind,
            ALWAYS_FROM_MS if entry.valid_from is None else entry.valid_from,
            ALWAYS_TO_MS if entry.valid_to is None else entry.valid_to,
            rank=CONFIGURED,
        )
        for entry in entries
    ]


def read_claims(
    store: Store,
    since_ms: int = 0,
    *,
    batches: tuple[int, int] = (0, _EVER),
    only: str = "true",
    parameters: Mapping[str, Any] | None = None,
) -> list[Ownership]:
    """Return the store's claims that end after an instant and that batches from … to (excluded) wrote.

    Ranges of one owner that overlap or touch come back as one; heartbeats each for itself, those of the last day.

    Args:
        only: what else must hold for them, SQL; `parameters` are its.
    """
    asked = {"since": since_ms, "first": batches[0], "last": batches[1], **(parameters or {})}
    where = (
        "WHERE valid_to > fromUnixTimestamp64Milli({since:Int64}, 'UTC') "
        f"AND batch >= {{first:UInt64}} AND batch < {{last:UInt64}} AND {only}"
    )
    whole = store.query(
        f"""
        SELECT address, port, service, kind, rank, min(begin) AS valid_from, max(end) AS valid_to
        FROM (
            SELECT *, sum(apart) OVER (PARTITION BY address, port, service, kind, rank ORDER BY begin, end) AS stretch
            FROM (
                SELECT address, port, service, toString(kind) AS kind, rank,
                    toUnixTimestamp64Milli(valid_from) AS begin, toUnixTimestamp64Milli(valid_to) AS end,
                    begin > max(end) OVER (
                        PARTITION BY address, port, service, kind, rank ORDER BY begin, end
                        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
                    ) AS apart
                FROM identities {where} AND heartbeat = 0
            )
        )
        GROUP BY address, port, service, kind, rank, stretch
        ORDER BY ALL
        """,
        asked,
    )
    heartbeats = store.query(
        f"""
        SELECT DISTINCT address, port, service, toString(kind) AS kind, rank,
            toUnixTimestamp64Milli(identities.valid_from) AS valid_from,
            toUnixTimestamp64Milli(identities.valid_to) AS valid_to
        FROM identities {where} AND heartbeat = 1
            AND batch + 86400000000000 > (SELECT max(batch) FROM identities)
        ORDER BY ALL
        """,
        asked,
    )
    names = ("address", "service", "port", "kind", "valid_from", "valid_to", "rank")
    return [
        Ownership(*row[:-1])._replace(heartbeat=heartbeat, rank=row[-1])
        for table, heartbeat in ((whole, False), (heartbeats, True))
        for row in zip(*(table.column(name).to_pylist() for name in names), strict=True)
    ]


def last_claims_batch(store: Store) -> int:
    """Return the number of the last batch of claims, 0 when there is none."""
    return int(store.rows("SELECT max(batch) FROM identities")[0][0])
