"""What resources of OpenTelemetry claim, made durable beside their spans.

Invariant: a heartbeat that was written is not written again, as long as it is remembered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import blake2b

import pyarrow as pa

from chronotope.ingest.identity.owners import RESOURCE, Ownership
from chronotope.ingest.records.identities import HEARTBEAT_S, claims_table
from chronotope.ingest.spans.own_addresses import Beat

_MOST_REMEMBERED = 262_144


class OwnAddresses:
    """Writes what resources claim, each half minute of an address once. Not thread-safe."""

    def __init__(self, claim: Callable[[pa.Table, str], object]) -> None:
        """Take what makes columns of the table `identities` durable, under a token, and attributes by them."""
        self._claim = claim
        self._told: set[Beat] = set()

    def __call__(self, beats: Iterable[Beat]) -> None:
        """Write heartbeats that were not written before."""
        new = sorted(set(beats) - self._told)
        if not new:
            return
        claims = [
            Ownership(address, service, 0, "service", at * 1000, (at + HEARTBEAT_S) * 1000, True, RESOURCE)
            for address, service, at in new
        ]
        self._claim(claims_table(claims), blake2b(repr(new).encode(), digest_size=16).hexdigest())
        if len(self._told) + len(new) > _MOST_REMEMBERED:
            self._told.clear()
        self._told.update(new)
