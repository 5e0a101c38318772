"""Everything known of who owns which address: from configuration, from the store, and as it comes in.

Invariant: `snapshot()` holds every claim that was there when it was called; a snapshot in use never changes.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from itertools import chain

from chronotope.ingest.identity import ALWAYS_FROM_MS, ALWAYS_TO_MS, Identities, Ownership
from chronotope.schema.config import IdentityEntry
from chronotope.schema.store import Store


class KnownIdentities:
    """Claims that grow while the server runs; safe to use from several threads."""

    def __init__(self, claims: Iterable[Ownership] = ()) -> None:
        self._claims: dict[tuple[str, int, str, str], list[Ownership]] = {}
        self._lock = threading.Lock()
        self._snapshot: Identities | None = None
        self.add(claims)

    def add(self, claims: Iterable[Ownership]) -> None:
        """Add claims. A heartbeat lengthens the claim it follows, so that memory grows with owners, not with time."""
        with self._lock:
            for claim in claims:
                self._add(claim)

    def _add(self, claim: Ownership) -> None:
        known = self._claims.setdefault((claim.address, claim.port, claim.service, claim.kind), [])
        last = known.pop() if known else claim
        begin, end = last.valid_from_ms, last.valid_to_ms
        if begin <= claim.valid_to_ms and claim.valid_from_ms <= end:
            joined = (min(begin, claim.valid_from_ms), max(end, claim.valid_to_ms))
            known.append(claim._replace(valid_from_ms=joined[0], valid_to_ms=joined[1]))
        else:
            known += [last, claim]
        if known[-1] != last or last is claim:
            self._snapshot = None

    def snapshot(self) -> Identities:
        """Return all claims as they are now; made once after each change."""
        with self._lock:
            if self._snapshot is None:
                self._snapshot = Identities(chain.from_iterable(self._claims.values()))
            return self._snapshot


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
        )
        for entry in entries
    ]


def read_claims(store: Store, since_ms: int = 0) -> list[Ownership]:
    """Return the store's claims that end after an instant.

    Heartbeats that overlap or touch come back as one claim.
    """
    table = store.query(
        """
        SELECT address, port, service, kind, min(begin) AS valid_from, max(end) AS valid_to
        FROM (
            SELECT *, sum(apart) OVER (PARTITION BY address, port, service, kind ORDER BY begin, end) AS stretch
            FROM (
                SELECT address, port, service, toString(kind) AS kind,
                    toUnixTimestamp64Milli(valid_from) AS begin, toUnixTimestamp64Milli(valid_to) AS end,
                    begin > max(end) OVER (
                        PARTITION BY address, port, service, kind ORDER BY begin, end
                        ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
                    ) AS apart
                FROM identities
                WHERE valid_to > fromUnixTimestamp64Milli({since:Int64}, 'UTC')
            )
        )
        GROUP BY address, port, service, kind, stretch
        ORDER BY ALL
        """,
        {"since": since_ms},
    )
    columns = (table.column(name) for name in ("address", "service", "port", "kind", "valid_from", "valid_to"))
    return [Ownership(*row) for row in zip(*(column.to_pylist() for column in columns), strict=True)]
