"""The configuration: all sections of the one `--config` file, their defaults and their meaning.

Invariant: an accepted configuration is complete and consistent, and whoever receives a `Config` checks nothing again.
An unknown key is an error, never ignored.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from chronotope.schema.config.agent import AgentSection
from chronotope.schema.config.delivery import DeliverySection
from chronotope.schema.config.errors import config_error
from chronotope.schema.config.events import EventsSection
from chronotope.schema.config.file import read_config_file
from chronotope.schema.config.flows import FlowsSection, TelemetrySection
from chronotope.schema.config.intermediaries import IntermediaryEntry
from chronotope.schema.config.metrics import MetricsSection
from chronotope.schema.config.rules import RuleEntry, check_names
from chronotope.schema.config.section import Address, Duration, Kind, Section, at_key, parse_seconds
from chronotope.schema.errors import ChronotopeError
from chronotope.schema.names import clean_name, service_id
from chronotope.schema.times import parse_time

LEVELS = ("10s", "1m", "1h", "1d")
DAY_S = 86_400
# A row expires at its time plus the retention, which the engine counts in 32 bits: beyond 2106 it would wrap around
# and the newest rows would expire at once.
LONGEST_RETENTION_S = 20 * 365 * DAY_S


def _kept(value: object) -> int | None:
    if value is None:
        return None
    seconds = parse_seconds(value)
    if seconds > LONGEST_RETENTION_S:
        raise ValueError("longer than 20 years; write null to keep it for ever")
    return seconds


def _instant(value: object) -> int | None:
    if value is None or isinstance(value, int):
        return value
    text = str(value)
    try:
        if text.strip().startswith("now"):
            raise ValueError(f"{text!r} is relative to a moment that a file does not have; write RFC 3339")
        return parse_time(text, 0, name="this")
    except ChronotopeError as error:
        raise ValueError(str(error)) from error


def _service(value: str) -> str:
    cleaned = clean_name(value)
    if not cleaned:
        raise ValueError("is empty; write the service's name or id")
    return cleaned


Kept = Annotated[int | None, BeforeValidator(_kept)]
Instant = Annotated[int | None, BeforeValidator(_instant)]
ServiceName = Annotated[str, AfterValidator(_service)]


class IdentityEntry(Section):
    """Who owns an address, when nothing more precise says so."""

    address: Address = Field(description="IP address, CIDR network (the longest prefix wins) or host name")
    port: int = Field(default=0, ge=0, le=65535, description="port; 0: any")
    service: ServiceName = Field(description="name of the service, or its id `namespace/name`")
    namespace: str = Field(default="", description="namespace of the service")
    kind: Kind = Field(default="service", description="what the service is")
    valid_from: Instant = Field(default=None, alias="from", description="owner from this time on; null: always was")
    valid_to: Instant = Field(default=None, alias="to", description="owner until this time; null: for ever")
    attributes: dict[str, str] = Field(default_factory=dict, description="attributes of the service (team, …)")

    @model_validator(mode="after")
    def _in_order(self) -> IdentityEntry:
        if self.valid_from is not None and self.valid_to is not None and self.valid_to <= self.valid_from:
            raise at_key("to", text="must be later than `from`")
        return self

    @property
    def service_id(self) -> str:
        """The owner's id."""
        return service_id(self.service, self.namespace)


class TraceSection(Section):
    """How spans become edges."""

    pairing_lifetime: Duration = Field(default=3600, description="how long a span waits for the other half of its call")
    answer_wait: Duration = Field(
        default=60,
        description="how long a client span waits for its server before the peer it names becomes the target",
    )
    entry_node: Literal["none", "user"] = Field(
        default="none", description="caller of spans without a parent: `user`, or no edge at all"
    )

    @model_validator(mode="after")
    def _waits_within_lifetime(self) -> TraceSection:
        if self.answer_wait > self.pairing_lifetime:
            raise at_key("answer_wait", text="must not be longer than `trace.pairing_lifetime`")
        return self


class RetentionSection(Section):
    """How long each resolution is kept; `null` keeps it for ever. An embedded store keeps all unless told."""

    ten_seconds: Kept = Field(default=7 * DAY_S, alias="10s", description="ten-second evidence")
    minute: Kept = Field(default=30 * DAY_S, alias="1m", description="evidence by the minute")
    hour: Kept = Field(default=730 * DAY_S, alias="1h", description="evidence by the hour, and how sure edges are")
    day: Kept = Field(default=None, alias="1d", description="evidence by the day")
    spans: Kept = Field(
        default=None, description="spans, for pairing; at least `trace.pairing_lifetime`, which is the default"
    )
    flows: Kept = Field(
        default=DAY_S, description="flow records, also in an embedded store; owners learnt within it reach their edges"
    )
    alerts: Kept = Field(
        default=365 * DAY_S,
        description="resolved alerts, dropped by the month when a server starts, and what became of notices",
    )

    @model_validator(mode="after")
    def _coarse_outlives_fine(self) -> RetentionSection:
        said = [(level, kept) for level, kept in zip(LEVELS, self._levels, strict=True) if level in self._said]
        for (fine, shorter), (coarse, longer) in pairwise(said):
            if longer is not None and (shorter is None or shorter > longer):
                raise at_key(coarse, text=f"must not be kept for a shorter time than `retention.{fine}`")
        return self

    @property
    def _levels(self) -> tuple[int | None, ...]:
        return (self.ten_seconds, self.minute, self.hour, self.day)

    @property
    def _said(self) -> set[str | None]:
        """The levels the file sets."""
        return {RetentionSection.model_fields[name].alias for name in self.model_fields_set}

    def kept_s(self, *, embedded: bool) -> dict[str, int | None]:
        """Return seconds for each level of LEVELS, None for ever.

        A level that the file does not set has the default of its kind of store, and is never kept for a shorter
        time than a finer one.
        """
        kept: dict[str, int | None] = {}
        finer: int | None = 0
        for level, value in zip(LEVELS, self._levels, strict=True):
            if level not in self._said:
                value = None if embedded or value is None or finer is None else max(value, finer)
            kept[level] = finer = value
        return kept

    def alerts_kept_s(self, *, embedded: bool) -> int | None:
        """Return seconds for what is over of alerts, None for ever."""
        return None if embedded and "alerts" not in self.model_fields_set else self.alerts


class LimitsSection(Section):
    """What one request may cost."""

    max_body_bytes: int = Field(
        default=64 * 1024 * 1024, ge=1024, description="largest body of a request, as sent and after decompression"
    )


class Config(Section):
    """The whole file."""

    identities: list[IdentityEntry] = Field(default_factory=list, description="owners of addresses")
    aliases: dict[ServiceName, ServiceName] = Field(
        default_factory=dict, description="service id → the id it is shown as"
    )
    catalogue: list[str] = Field(
        default_factory=list,
        description="files, beside this one, that say who owns services: `services:` with service → attributes, or "
        "Backstage entities",
    )
    intermediaries: list[IntermediaryEntry] = Field(
        default_factory=list, description="load balancers, proxies and gateways between callers and targets"
    )
    trace: TraceSection = TraceSection()
    metrics: MetricsSection = MetricsSection()
    flows: FlowsSection = FlowsSection()
    telemetry: TelemetrySection = TelemetrySection()
    rules: list[RuleEntry] = Field(default_factory=list, description="conditions on dependencies that raise alerts")
    delivery: DeliverySection = DeliverySection()
    events: EventsSection = EventsSection()
    agent: AgentSection = AgentSection()
    retention: RetentionSection = RetentionSection()
    limits: LimitsSection = LimitsSection()

    @model_validator(mode="before")
    @classmethod
    def _empty_sections_are_defaults(cls, values: object) -> object:
        if not isinstance(values, dict):
            return values
        return {key: value for key, value in values.items() if value is not None}

    @model_validator(mode="after")
    def _spans_outlive_pairing(self) -> Config:
        spans = self.retention.spans
        if spans is not None and spans < self.trace.pairing_lifetime:
            raise at_key("retention", "spans", text="must not be shorter than `trace.pairing_lifetime`")
        return self

    @model_validator(mode="after")
    def _rules_have_names_of_their_own(self) -> Config:
        check_names(self.rules, "rules")
        return self

    @model_validator(mode="after")
    def _aliases_end(self) -> Config:
        for first in self.aliases:
            self._follow(first)
        return self

    def _follow(self, service: str) -> str:
        passed = [service]
        while (following := self.aliases.get(passed[-1])) is not None:
            if following in passed:
                circle = " → ".join([*passed, following])
                raise at_key("aliases", service, text=f"runs in a circle: {circle}")
            passed.append(following)
        return passed[-1]

    @property
    def final_aliases(self) -> dict[str, str]:
        """Aliases with every chain followed to its end, so that each is applied once."""
        return {service: self._follow(service) for service in self.aliases}

    @property
    def spans_kept_s(self) -> int:
        """How long the store keeps spans, in seconds."""
        return self.retention.spans or self.trace.pairing_lifetime


def load_config(path: str | Path) -> Config:
    """Read and check a configuration file. An empty one has all defaults.

    Raises:
        InvalidConfig: `file:line: key: what is wrong; what would be accepted`.
    """
    file = read_config_file(path)
    try:
        config = Config.model_validate(file.values)
    except ValidationError as error:
        raise config_error(file, error, Config) from None
    if not config.catalogue:
        return config
    return config.model_copy(update={"catalogue": [str(Path(path).parent / one) for one in config.catalogue]})
