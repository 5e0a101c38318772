"""Who claimed an address around some time. A person needs this to see why nobody owns it.

Invariant: the answer names every claim that covers the address and touches the window, the most precise first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from chronotope.ingest.identity.known import KnownIdentities
from chronotope.ingest.identity.owners import Ownership
from chronotope.schema.addresses import BITS, AddressRange, observed_range


class Claimed(NamedTuple):
    """Why an address has no owner (`unowned`, `not_then`, `ambiguous`), and the claims around the window."""

    reason: str
    claims: Sequence[Ownership]


def claimed(known: KnownIdentities, addresses: Sequence[str], begin_ms: int, end_ms: int) -> list[Claimed]:
    """Return for each address its claims, and why they gave it no owner in [begin, end)."""
    exact: dict[AddressRange, list[Ownership]] = defaultdict(list)
    networks: list[tuple[AddressRange, Sequence[Ownership]]] = []
    for (place, *_), spans in known.spans().items():
        if 0 <= place.bits < BITS:
            networks.append((place, spans))
        else:
            exact[place].extend(spans)
    networks.sort(key=lambda network: -network[0].bits)
    return [_explained([*_covering(observed_range(a), exact, networks)], begin_ms, end_ms) for a in addresses]


def _covering(
    place: AddressRange,
    exact: dict[AddressRange, list[Ownership]],
    networks: list[tuple[AddressRange, Sequence[Ownership]]],
) -> Iterator[Ownership]:
    yield from exact.get(place, ())
    if place.bits == BITS:
        for network, spans in networks:
            shift = BITS - network.bits
            if place.number >> shift == network.number >> shift:
                yield from spans


def _explained(claims: list[Ownership], begin_ms: int, end_ms: int) -> Claimed:
    within = [claim for claim in claims if claim.valid_from_ms < end_ms and claim.valid_to_ms > begin_ms]
    overlaps = any(
        one.service != other.service
        and max(one.valid_from_ms, other.valid_from_ms) < min(one.valid_to_ms, other.valid_to_ms)
        for number, one in enumerate(within)
        for other in within[:number]
    )
    reason = "ambiguous" if overlaps else "not_then" if claims else "unowned"
    return Claimed(reason, within or claims)
