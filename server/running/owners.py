"""Who owns which address, for a running server and for commands: by configuration and by the store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from chronotope.ingest.identity.claimants import claimed
from chronotope.ingest.identity.known import KnownIdentities, configured_claims, read_claims
from chronotope.ingest.identity.owners import Ownership
from chronotope.ingest.intermediaries.declared import intermediary_claims
from chronotope.schema.config.config import Config
from chronotope.schema.storage.store import Store
from chronotope.server.answers.unattributed import Explain, Reason


def known_identities(store: Store, config: Config) -> KnownIdentities:
    """Return the owners of addresses by the configuration and by the store."""
    return KnownIdentities([*configured_owners(config), *read_claims(store)])


def configured_owners(config: Config) -> list[Ownership]:
    """Return the owners of addresses by the configuration."""
    return [*configured_claims(config.identities), *intermediary_claims(config.intermediaries)]


def explain_by(known: KnownIdentities) -> Explain:
    """Return a function that tells why addresses have no owner, by all known claims."""

    def explain(
        addresses: Sequence[str], begin_ms: int, end_ms: int
    ) -> list[tuple[Reason, Sequence[tuple[str, int, int]]]]:
        return [
            (cast(Reason, why.reason), [(c.service, c.valid_from_ms, c.valid_to_ms) for c in why.claims])
            for why in claimed(known, addresses, begin_ms, end_ms)
        ]

    return explain
