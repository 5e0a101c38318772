"""The time-independent part of the edges of series, and the services at their ends, as columns.

Invariant: a code stands for one service as long as its `Services` live. Row c of the columns is edge c.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from chronotope.ingest.identity.owners import Service
from chronotope.ingest.metrics.mapping.ends import UNKNOWN, Attributes, End
from chronotope.ingest.metrics.mapping.series import Edge


class Services:
    """Services by code: 0, 1, … in the order of their first sight.

    Args:
        aliases: service id → the id that it shall have instead, applied once.
    """

    def __init__(self, aliases: Mapping[str, str]) -> None:
        self.all: list[Service] = []
        self._aliases = aliases
        self._codes: dict[Service, int] = {}
        self._known = np.empty(0, np.bool_)

    def code(self, service: Service) -> int:
        """Return the code of a service, under its alias if it has one."""
        alias = self._aliases.get(service.id)
        if alias is not None:
            service = Service(alias, service.kind)
        code = self._codes.get(service)
        if code is None:
            code = self._codes[service] = len(self.all)
            self.all.append(service)
        return code

    @property
    def known(self) -> np.ndarray:
        """Which services are not unknown, bool by code."""
        more = self.all[len(self._known) :]
        if more:
            self._known = np.concatenate([self._known, np.array([one.kind != UNKNOWN for one in more], np.bool_)])
        return self._known


class EndColumns:
    """One end of edges: `service` int64, a code that stands where not `open` bool; `attributes` int32, a code."""

    def __init__(self, services: Services) -> None:
        self.service = np.empty(0, np.int64)
        self.open = np.empty(0, np.bool_)  # the service depends on time, or on what others say
        self.attributes = np.empty(0, np.int32)
        self.texts: list[Attributes] = []  # by code of attributes
        self._services = services
        self._codes: dict[Attributes, int] = {}

    def add(self, ends: list[End]) -> None:
        """Add the ends of further edges."""
        rows = [self._row(end) for end in ends]
        service, is_open, attributes = zip(*rows, strict=True)
        self.service = np.concatenate([self.service, np.array(service, np.int64)])
        self.open = np.concatenate([self.open, np.array(is_open, np.bool_)])
        self.attributes = np.concatenate([self.attributes, np.array(attributes, np.int32)])

    def _row(self, end: End) -> tuple[int, bool, int]:
        attributes = self._codes.get(end.attributes)
        if attributes is None:
            attributes = self._codes[end.attributes] = len(self.texts)
            self.texts.append(end.attributes)
        if end.address or end.provider:
            return -1, True, attributes
        return self._services.code(Service(end.service, end.kind)), False, attributes


class EdgeColumns:
    """Columns by edge code: `source` and `target`, `protocol` int32 into `protocols`, `reporter` uint8, `one_ended`."""

    def __init__(self, edges: list[Edge], services: Services) -> None:
        self.edges = edges
        self.source = EndColumns(services)
        self.target = EndColumns(services)
        self.protocols: list[str] = []
        self.protocol = np.empty(0, np.int32)
        self.reporter = np.empty(0, np.uint8)
        self.one_ended = np.empty(0, np.bool_)
        self._codes: dict[str, int] = {}

    def update(self) -> None:
        """Add the new edges."""
        more = self.edges[len(self.protocol) :]
        if not more:
            return
        self.source.add([edge.source for edge in more])
        self.target.add([edge.target for edge in more])
        protocols = [self._codes.setdefault(edge.protocol, len(self._codes)) for edge in more]
        self.protocols = list(self._codes)
        self.protocol = np.concatenate([self.protocol, np.array(protocols, np.int32)])
        self.reporter = np.concatenate([self.reporter, np.array([edge.reporter for edge in more], np.uint8)])
        self.one_ended = np.concatenate([self.one_ended, np.array([edge.one_ended for edge in more], np.bool_)])
