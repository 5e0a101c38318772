"""The section `intermediaries:`: load balancers, proxies and gateways, and the known targets behind them.

Invariant: an accepted entry names its intermediary by service, address or listener. A listener has an address and a
port.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from chronotope.schema.addresses import AddressRange, parse_address_range
from chronotope.schema.config.section import Section, at_key
from chronotope.schema.errors import ChronotopeError
from chronotope.schema.names import clean_name, service_id


class IntermediaryEntry(Section):
    """What stands between callers and targets: hops to it and from it are resolved to edges `via` it."""

    service: str = Field(default="", description="its service name or id `namespace/name`")
    namespace: str = Field(default="", description="namespace of the service")
    address: str = Field(default="", description="its IP address, CIDR network or host name")
    listener: str = Field(
        default="", description="`address:port` where it takes calls; `targets` are then those behind it"
    )
    kind: Literal["balancer", "proxy", "gateway", "nat"] = Field(default="proxy", description="what it is")
    targets: list[str] = Field(default_factory=list, description="service ids behind it; empty: not known")

    @model_validator(mode="after")
    def _names_something(self) -> IntermediaryEntry:
        if not (clean_name(self.service) or self.address or self.listener):
            raise at_key("service", text="is missing; name the intermediary by `service`, `address` or `listener`")
        if self.address and self.listener:
            raise at_key("listener", text="has an address already; write `address` or `listener`, not both")
        if any(not clean_name(target) for target in self.targets):
            raise at_key("targets", text="has an empty name; write service ids")
        try:
            if self.address:
                parse_address_range(self.address)
            if self.listener:
                parse_address_range(self.place)
        except ChronotopeError as error:
            raise at_key("listener" if self.listener else "address", text=str(error)) from error
        return self

    @property
    def service_id(self) -> str:
        """The intermediary's id; empty when only its address is known."""
        return service_id(self.service, self.namespace) if self.service else ""

    @property
    def place(self) -> str:
        """The address, also that of the listener; empty when only the service is known."""
        return split_listener(self.listener)[0] if self.listener else self.address.strip()

    @property
    def port(self) -> int:
        """The listener's port; 0: any."""
        return split_listener(self.listener)[1] if self.listener else 0

    @property
    def network(self) -> AddressRange | None:
        """The address as a place; None when only the service is known."""
        return parse_address_range(self.place) if self.place else None


def split_listener(text: str) -> tuple[str, int]:
    """Return address and port of `address:port` or `[IPv6]:port`.

    Raises:
        PydanticCustomError: it is neither, or the port is not one of 1 to 65535.
    """
    address, _, port = text.strip().rpartition(":")
    if not address or not port.isascii() or not port.isdecimal() or not 0 < int(port) <= 65535:
        raise at_key("listener", text=f"{text!r} is no listener; write address:port, such as 10.0.0.5:8080")
    return address.strip("[]"), int(port)
