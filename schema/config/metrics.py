"""The section `metrics:`: where metrics come from, and which of them say who called whom.

Invariant: an accepted mapping can be applied to any series: its templates and patterns are well formed, and each of its
families measures something. A preset is a file of the same mappings.
"""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from typing import Annotated, Literal, get_args
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from chronotope.schema.config.errors import config_error
from chronotope.schema.config.file import parse_config_text
from chronotope.schema.config.section import Duration, Kind, Regex, Section, at_key

Preset = Literal[
    "istio", "linkerd", "envoy", "haproxy", "grpc", "opentelemetry", "servicegraph", "beyla", "hubble", "spectator",
    "spring",
]  # fmt: skip
PRESETS: tuple[Preset, ...] = get_args(Preset)
Measure = Literal[
    "calls", "errors", "connections", "failed_connections", "bytes_sent", "bytes_received", "retransmits", "latency",
    "calls_and_latency",
]  # fmt: skip
_LABEL = re.compile(r"[^\W\d]\w*")


def _template(value: str) -> str:
    try:
        fields = [field for field in string.Formatter().parse(value) if field[1] is not None]
    except ValueError as error:
        raise ValueError(f"{value!r} is no template: {error}; write text and labels such as {{app}}") from error
    for _, label, form, conversion in fields:
        if not label or form or conversion or not _LABEL.fullmatch(label):
            raise ValueError(f"{value!r} is no template; write text and labels such as {{app}}")
    return value


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _address(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValueError(f"{value!r} is not an address; accepted: http://host:port/path")
    return value


Template = Annotated[str, AfterValidator(_template)]
Templates = Annotated[list[Template], BeforeValidator(_listed)]
Patterns = Annotated[list[Regex], BeforeValidator(_listed)]
Texts = Annotated[list[str], BeforeValidator(_listed)]
Url = Annotated[str, AfterValidator(_address)]


class EndEntry(Section):
    """One end of the calls that a metric counts. The first key that says something decides."""

    name: Templates = Field(default_factory=list, description="service: the first template whose labels are all known")
    namespace: Templates = Field(default_factory=list, description="namespace of `name`, likewise")
    provider: str = Field(
        default="", description="label that names an interface: whoever says it provides that is meant"
    )
    address: Templates = Field(default_factory=list, description="host or host:port: its owner, else it is `external`")
    scraped: bool = Field(default=False, description="the service that the metric was read from")
    kind: Kind = Field(default="service", description="what it is")
    attributes: dict[str, Template] = Field(default_factory=dict, description="attributes of the service")
    unknown: Literal["node", "skip"] = Field(
        default="node", description="when nothing says who it is: the node `unknown`, or no edge"
    )

    @property
    def says_nothing(self) -> bool:
        """Whether no label can ever say who it is."""
        return not (self.name or self.provider or self.address or self.scraped)


class ReporterEntry(Section):
    """Which end counted. What both ends report is counted once: the source's count is used where there is one."""

    always: Literal["", "source", "target"] = Field(default="", description="one end, always")
    label: str = Field(default="", description="the label that tells")
    source: Patterns = Field(default_factory=list, description="its values at the source")
    target: Patterns = Field(default_factory=list, description="its values at the target")


class ExtractEntry(Section):
    """Labels made from parts of another."""

    label: str = Field(description="the label that is looked into")
    pattern: Regex = Field(description="regular expression of all of it; its named groups become labels")


class FamilyEntry(Section):
    """What one metric measures. A histogram stands under its name without `_bucket`, `_sum`, `_count`."""

    measure: Measure = Field(description="what its increase is added to")
    errors: dict[str, Patterns] = Field(
        default_factory=dict, description="label → patterns: calls of which one matches are errors too"
    )
    codes: Templates = Field(
        default_factory=list, description="response code of the calls: the first template whose labels are all there"
    )
    where: dict[str, Patterns] = Field(default_factory=dict, description="only series whose labels match")
    unit: Literal["s", "ms", "us", "ns"] = Field(default="s", description="unit of a latency")

    @model_validator(mode="after")
    def _has_calls(self) -> FamilyEntry:
        for key in ("codes", "errors"):
            if getattr(self, key) and self.measure not in ("calls", "calls_and_latency"):
                raise at_key(key, text=f"are of calls, not of {self.measure}; accepted with calls, calls_and_latency")
        return self


class MappingEntry(Section):
    """Metrics that have their ends in the same labels."""

    name: str = Field(description="what it is called in reports")
    families: dict[str, FamilyEntry] = Field(min_length=1, description="metric → what it measures")
    source: EndEntry = Field(default=EndEntry(), description="who calls")
    target: EndEntry = Field(default=EndEntry(), description="who is called")
    protocol: Templates = Field(default=["unknown"], description="protocol of the edge")
    reporter: ReporterEntry = Field(default=ReporterEntry(), description="which end counted")
    provides: str = Field(default="", description="label that names an interface that the scraped service provides")
    where: dict[str, Patterns] = Field(default_factory=dict, description="only series whose labels match")
    extract: list[ExtractEntry] = Field(default_factory=list, description="labels made from parts of others")
    same_calls: str = Field(
        default="",
        description="of all metrics whose mappings say the same here, one counts at a time for an endpoint and end",
    )
    unknown_values: Texts = Field(
        default=["unknown", "none"], description="values of labels that say nothing, in any case of letters"
    )

    @model_validator(mode="after")
    def _has_a_target(self) -> MappingEntry:
        if self.target.says_nothing:
            raise at_key("target", text="says nothing of who is called; accepted: name, provider, address or scraped")
        return self


class PrometheusEntry(Section):
    """A Prometheus, or what speaks its HTTP API (Mimir, Thanos, VictoriaMetrics)."""

    url: Url = Field(description="its address")
    headers: dict[str, str] = Field(default_factory=dict, description="headers of each request (authorization, tenant)")
    labels: dict[str, str] = Field(default_factory=dict, description="labels that all its series get")
    replica_label: str = Field(default="", description="label that alone tells apart servers that scrape the same")


class TargetEntry(Section):
    """An endpoint that is scraped without a Prometheus."""

    url: Url = Field(description="its address, with the path")
    service: str = Field(default="", description="which service it is; else who owns the address, else the host's name")
    namespace: str = Field(default="", description="namespace of the service")
    labels: dict[str, str] = Field(default_factory=dict, description="more labels that all its series get")


class MetricsSection(Section):
    """Calls that applications and proxies count, as the layer `ipc`."""

    prometheus: list[PrometheusEntry] = Field(default_factory=list, description="Prometheus servers that are asked")
    targets: list[TargetEntry] = Field(default_factory=list, description="endpoints that are scraped")
    interval: Duration = Field(default=15, description="time between two scrapes")
    timeout: Duration = Field(default=10, description="how long an answer may take")
    presets: list[Preset] = Field(default=list(PRESETS), description="ready mappings that are used")
    mappings: list[MappingEntry] = Field(
        default_factory=list, description="mappings of your own; each wins over the presets for its metrics"
    )

    @model_validator(mode="after")
    def _some_time_passes(self) -> MetricsSection:
        if self.interval < 1:
            raise at_key("interval", text="must be at least a second")
        if self.timeout < 1:
            raise at_key("timeout", text="must be at least a second")
        return self


class PresetFile(Section):
    """A preset: mappings that a configuration uses by the preset's name."""

    mappings: list[MappingEntry]


def parse_preset(text: str, path: str) -> list[MappingEntry]:
    """Check the mappings of a preset's YAML.

    Raises:
        InvalidConfig: `file:line: key: what is wrong`.
    """
    file = parse_config_text(text, path)
    try:
        values: Mapping[str, object] = file.values
        return PresetFile.model_validate(values).mappings
    except ValidationError as error:
        raise config_error(file, error, PresetFile) from None
