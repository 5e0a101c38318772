"""Who is at an end of the calls that a series counts, as far as its labels say.

Invariant: an end depends on labels alone. What depends on time (who owns an address, who provides an interface) is left
open, with the answer that holds when nobody is found.

The service that was scraped is named, in this order, by `service_name` (with `service_namespace`), by the owner of the
address in `instance`, by Kubernetes' usual labels, and by `job`, which is `namespace/name` where OpenTelemetry's
resources were exported to Prometheus.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import NamedTuple

from chronotope.ingest.metrics.mapping.templates import Labels, Template, first_known
from chronotope.schema.config.metrics import EndEntry
from chronotope.schema.names import service_id

UNKNOWN = "unknown"
Attributes = tuple[tuple[str, str], ...]

_SCRAPED_NAMES = tuple(
    Template.parse(text) for text in ("{app_kubernetes_io_name}", "{k8s_app}", "{app}", "{job}", "{exported_job}")
)
_SCRAPED_NAMESPACES = tuple(
    Template.parse(text)
    for text in ("{service_namespace}", "{kubernetes_namespace}", "{k8s_namespace_name}", "{namespace}")
)


class End(NamedTuple):
    """One end: the owner of `address`, else the service that provides `provider`, else `service`."""

    service: str
    kind: str
    address: str = ""
    port: int = 0
    provider: str = ""
    attributes: Attributes = ()

    @property
    def unknown(self) -> bool:
        """Whether nothing identifies it."""
        return self.kind == UNKNOWN and not self.address and not self.provider


NOBODY = End(UNKNOWN, UNKNOWN)


@dataclass(frozen=True, slots=True)
class EndRule:
    """How labels identify the service at one end."""

    entry: EndEntry
    names: tuple[Template, ...]
    namespaces: tuple[Template, ...]
    addresses: tuple[Template, ...]
    attributes: tuple[tuple[str, Template], ...]

    @classmethod
    def of(cls, entry: EndEntry) -> EndRule:
        """Return the rule of a configuration's entry."""
        return cls(
            entry,
            tuple(map(Template.parse, entry.name)),
            tuple(map(Template.parse, entry.namespace)),
            tuple(map(Template.parse, entry.address)),
            tuple((key, Template.parse(text)) for key, text in entry.attributes.items()),
        )

    def end(self, labels: Labels, nothing: Collection[str]) -> End | None:
        """Return the end. If nothing identifies it: `NOBODY`, or None if there shall be no edge then."""
        found = self._said(labels, nothing)
        if found is None:
            return None if self.entry.unknown == "skip" else NOBODY
        values = ((key, template.fill(labels, nothing)) for key, template in self.attributes)
        return found._replace(attributes=tuple((key, value) for key, value in values if value))

    def _said(self, labels: Labels, nothing: Collection[str]) -> End | None:
        kind = self.entry.kind
        if name := first_known(self.names, labels, nothing):
            return End(service_id(name, first_known(self.namespaces, labels, nothing)), kind)
        provided = labels.get(self.entry.provider, "") if self.entry.provider else ""
        if address := first_known(self.addresses, labels, nothing):
            host, port = split_address(address)
            return End(service_id(host), "external" if kind == "service" else kind, host, port, provided)
        if provided:
            return End(service_id(provided), kind, provider=provided)
        return scraped_end(labels, nothing, kind) if self.entry.scraped else None


def scraped_end(labels: Labels, nothing: Collection[str], kind: str) -> End | None:
    """Return the service that a series was read from; None when no label says which."""
    if name := labels.get("service_name", ""):
        return End(service_id(name, labels.get("service_namespace", "")), kind)
    name = first_known(_SCRAPED_NAMES, labels, nothing)
    namespace = "" if "/" in name else first_known(_SCRAPED_NAMESPACES, labels, nothing)
    host, port = split_address(labels.get("instance", ""))
    service = service_id(name, namespace) or service_id(host)
    return End(service, kind, host, port) if service else None


def split_address(address: str) -> tuple[str, int]:
    """Return host and port (0: none) of `host`, `host:port`, `[v6]:port` or an IPv6 address alone."""
    if address.startswith("["):
        host, _, rest = address[1:].partition("]")
        return host, _port(rest.removeprefix(":"))
    if address.count(":") != 1:
        return address, 0
    host, _, port = address.partition(":")
    return host, _port(port)


def _port(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and int(text) < 65536 else 0
