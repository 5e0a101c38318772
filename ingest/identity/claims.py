"""All claims of one rank of trust on one address (and port): ranges with both ends, and heartbeats.

Invariant: `spans()` depends on the set of claims alone, unless one comes some hundred heartbeats late. Older heartbeats
are kept as the ranges that they gave, so memory grows with owners and not with time.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable
from dataclasses import dataclass, field

from chronotope.ingest.identity.heartbeats import owned_spans
from chronotope.ingest.identity.owners import REPORTED, Ownership

# Heartbeats kept for one address: with one owner, and with several, where their order in time decides.
MAX_HEARTBEATS, MOST_CONTESTED = 256, 4096


@dataclass(slots=True)
class AddressClaims:
    """The claims on one address."""

    whole: dict[tuple[str, str], list[tuple[int, int]]] = field(default_factory=dict)  # service, kind
    heartbeats: dict[str, list[int]] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    lifetime_ms: int = 0
    address: str = ""
    port: int = 0
    rank: int = REPORTED

    def add(self, claim: Ownership) -> bool:
        """Add a claim; return whether it changes anything."""
        self.address, self.port, self.rank = self.address or claim.address, claim.port, claim.rank
        if not claim.heartbeat:
            ranges = self.whole.setdefault((claim.service, claim.kind), [])
            return _join(ranges, claim.valid_from_ms, claim.valid_to_ms)
        heartbeats = self.heartbeats.setdefault(claim.service, [])
        place = bisect_left(heartbeats, claim.valid_from_ms)
        known = place < len(heartbeats) and heartbeats[place] == claim.valid_from_ms
        lifetime_ms = max(self.lifetime_ms, claim.valid_to_ms - claim.valid_from_ms)
        kind = self.kinds.get(claim.service, "")
        kind = kind if kind > "service" and claim.kind == "service" else claim.kind
        if known and lifetime_ms == self.lifetime_ms and kind == self.kinds.get(claim.service):
            return False
        self.lifetime_ms, self.kinds[claim.service] = lifetime_ms, kind
        if not known:
            insort(heartbeats, claim.valid_from_ms)
        if sum(map(len, self.heartbeats.values())) > (MAX_HEARTBEATS if len(self.heartbeats) == 1 else MOST_CONTESTED):
            self._condense()
        return True

    def spans(self) -> tuple[Ownership, ...]:
        """Return the ranges that these claims give. Two services may both have an instant: then nobody owns it."""
        said = [
            Ownership(self.address, service, self.port, kind, begin, end, rank=self.rank)
            for (service, kind), ranges in self.whole.items()
            for begin, end in ranges
        ]
        if not self.heartbeats:
            return tuple(said)
        starts = sorted((claim.valid_from_ms, claim.service) for claim in said)
        heard = owned_spans(self.heartbeats, starts, self.lifetime_ms)
        return (
            *said,
            *(
                Ownership(self.address, s.owner, self.port, self.kinds[s.owner], s.begin_ms, s.end_ms, rank=self.rank)
                for s in heard
            ),
        )

    def _condense(self) -> None:
        """Keep the older half of the heartbeats as ranges."""
        times = sorted(at for heartbeats in self.heartbeats.values() for at in heartbeats)
        cut = times[len(times) // 2]
        for claim in self.spans():
            if claim.service in self.heartbeats and claim.valid_from_ms < cut:
                ranges = self.whole.setdefault((claim.service, claim.kind), [])
                _join(ranges, claim.valid_from_ms, min(claim.valid_to_ms, self._heard_from(claim.service, cut)))
        for service, heartbeats in list(self.heartbeats.items()):
            self.heartbeats[service] = heartbeats[bisect_left(heartbeats, cut) :]
            if not self.heartbeats[service]:
                del self.heartbeats[service]

    def _heard_from(self, service: str, cut: int) -> int:
        """Return the owner's first heartbeat from an instant on; what comes before it is settled."""
        heartbeats = self.heartbeats[service]
        place = bisect_left(heartbeats, cut)
        return heartbeats[place] if place < len(heartbeats) else 2**62


def _join(ranges: list[tuple[int, int]], begin: int, end: int) -> bool:
    """Add a range to disjoint rising ranges; return whether that changed them."""
    if end <= begin:
        return False
    apart, joined = [], (begin, end)
    for known in ranges:
        if known[1] < joined[0] or joined[1] < known[0]:
            apart.append(known)
        else:
            joined = (min(joined[0], known[0]), max(joined[1], known[1]))
    if joined in ranges:
        return False
    ranges[:] = sorted([*apart, joined])
    return True


def changed_between(before: Iterable[Ownership], after: Iterable[Ownership]) -> tuple[int, int] | None:
    """Return the first and the last instant at which two sets of claims differ; None if they are equal."""
    old, new = ({(c.service, c.kind, c.rank, c.valid_from_ms, c.valid_to_ms) for c in some} for some in (before, after))
    gone, come = old - new, new - old
    if not gone and not come:
        return None
    bounds: list[int] = []
    lengthened = {row[:4]: row[4] for row in come}
    for row in gone:
        end = lengthened.pop(row[:4], None)
        bounds += [row[3], row[4]] if end is None else sorted((row[4], end))
    for row in come:
        if row[:4] in lengthened:
            bounds += [row[3], row[4]]
    return min(bounds), max(bounds)
