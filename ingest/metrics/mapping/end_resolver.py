"""Resolve ends to services: by the owner of an address at that time, the provider of an interface, and aliases.

Invariant: a service of metrics has the id that it has in traces: the same owners, namespaces and aliases decide. If
several services provide an interface, it is nobody's, and its own name stands.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from chronotope.ingest.identity.owners import Identities, Service
from chronotope.ingest.metrics.mapping.edge_columns import Services
from chronotope.ingest.metrics.mapping.ends import End


class Resolver:
    """Resolves ends of one batch.

    Args:
        identities: who owns which address.
        known: the services by code, which may be those of earlier batches.
        providers: interface → ends of those who said that they provide it.
        now_ms: the instant at which providers are looked for: that of the batch's last sample.
    """

    def __init__(
        self,
        identities: Identities,
        known: Services,
        providers: Mapping[str, Mapping[End, None]],
        now_ms: int,
    ) -> None:
        self._identities = identities
        self._known = known
        self._providers = providers
        self._now_ms = now_ms
        self._provided: dict[str, Service | None] = {}

    def resolve(self, ends: Sequence[End], which: np.ndarray, times_ms: np.ndarray) -> np.ndarray:
        """Return codes of the services at N ends, int64[N], into `services`.

        Args:
            ends: distinct ends.
            which: int[N], index into `ends`.
            times_ms: int64[N], when each is asked for.
        """
        fixed = np.array([self._code(self._named(end)) for end in ends], np.int64)
        found: np.ndarray = fixed[which]
        asking = np.flatnonzero(np.array([bool(end.address) for end in ends], np.bool_)[which])
        if len(asking):
            self._ask(ends, which[asking], times_ms[asking], asking, found)
        return found

    @property
    def services(self) -> list[Service]:
        """The services found so far; codes stay."""
        return self._known.all

    def _ask(
        self, ends: Sequence[End], which: np.ndarray, times_ms: np.ndarray, rows: np.ndarray, found: np.ndarray
    ) -> None:
        """Replace those whose address was owned at their time."""
        ports = np.array([end.port for end in ends], np.int64)[which]
        owner = self._identities.owners([end.address for end in ends], ports, times_ms, which).service
        owned = np.flatnonzero(owner >= 0)
        pairs, inverse = np.unique(np.column_stack([which[owned], owner[owned]]), axis=0, return_inverse=True)
        codes = [self._code(self._owned(ends[end], self._identities.services[by])) for end, by in pairs.tolist()]
        found[rows[owned]] = np.array(codes, np.int64)[inverse.reshape(-1)]

    def _owned(self, end: End, owner: Service) -> Service:
        kept = end.kind in ("database", "messaging", "intermediary")
        return Service(owner.id, end.kind if kept else owner.kind)

    def _named(self, end: End) -> Service:
        provider = self._provider(end.provider) if end.provider else None
        return provider or Service(end.service, end.kind)

    def _provider(self, interface: str) -> Service | None:
        if interface not in self._provided:
            ends = list(self._providers.get(interface, ()))
            which = np.arange(len(ends))
            codes = self.resolve(ends, which, np.full(len(ends), self._now_ms)) if ends else which
            services = self.services
            known = {services[code].id: services[code] for code in codes.tolist()}
            self._provided[interface] = next(iter(known.values())) if len(known) == 1 else None
        return self._provided[interface]

    def _code(self, service: Service) -> int:
        return self._known.code(service)
