"""Which services are intermediaries, and the declared targets behind their listeners.

Invariant: a service is an intermediary only if the configuration or an identity says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from chronotope.ingest.identity.owners import ALWAYS_FROM_MS, CONFIGURED, Ownership
from chronotope.schema.addresses import BITS, AddressRange, parse_address_range
from chronotope.schema.config.intermediaries import IntermediaryEntry
from chronotope.schema.names import clean_name
from chronotope.schema.storage.store import Store

_NOWHERE = "nowhere.invalid"
_KNOWN = "SELECT DISTINCT service FROM services WHERE kind = 'intermediary' ORDER BY service"


@dataclass(frozen=True, slots=True)
class Declared:
    """Ids of intermediaries; (service, port; 0: any) → the targets behind it; and those that were only declared."""

    services: frozenset[str] = frozenset()
    targets: Mapping[tuple[str, int], frozenset[str]] = field(default_factory=dict)

    @property
    def digest(self) -> str:
        """A digest of all declarations."""
        declared = sorted((*key, *sorted(names)) for key, names in self.targets.items())
        return blake2b(repr((sorted(self.services), declared)).encode(), digest_size=12).hexdigest()


def intermediary_claims(entries: Sequence[IntermediaryEntry]) -> list[Ownership]:
    """Return the addresses that the configuration gives to intermediaries which it names.

    One without an address claims nothing, for no time: that only says of which kind the service is.
    """
    return [
        Ownership(entry.place, entry.service_id, 0, "intermediary", rank=CONFIGURED)
        if entry.place
        else Ownership(_NOWHERE, entry.service_id, 0, "intermediary", ALWAYS_FROM_MS, ALWAYS_FROM_MS, rank=CONFIGURED)
        for entry in entries
        if entry.service_id
    ]


def declare(entries: Sequence[IntermediaryEntry], known: Iterable[str], claims: Iterable[Ownership]) -> Declared:
    """Return the declarations.

    Args:
        entries: of the configuration.
        known: services that an identity calls intermediaries.
        claims: who owns which address; asked for entries that name no service.
    """
    claims = list(claims) if any(not entry.service_id for entry in entries) else []
    services, targets = set(known), dict[tuple[str, int], frozenset[str]]()
    for entry in entries:
        named = {entry.service_id} if entry.service_id else _owners(entry, claims)
        services |= named
        if entry.targets:
            behind = frozenset(clean_name(target) for target in entry.targets)
            for service in named:
                targets[service, entry.port] = targets.get((service, entry.port), frozenset()) | behind
    return Declared(frozenset(services), targets)


def read_known(store: Store) -> list[str]:
    """Return the services that were ever seen as intermediaries."""
    return [str(row[0]) for row in store.rows(_KNOWN)]


def _owners(entry: IntermediaryEntry, claims: Iterable[Ownership]) -> set[str]:
    """Return all owners that an entry's address ever had. A single address that nobody owns is a node by itself."""
    place = entry.network
    if place is None:
        return set()
    owners = {claim.service for claim in claims if _within(parse_address_range(claim.address), place)}
    return owners or ({entry.place} if place.bits in (BITS, -1) else set())


def _within(place: AddressRange, network: AddressRange) -> bool:
    if network.bits < 0 or place.bits < network.bits:
        return place == network
    return place.number >> (BITS - network.bits) == network.number >> (BITS - network.bits)
