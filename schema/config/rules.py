"""The section `rules:`: what must not happen to dependencies, and the severity of the alert.

Invariant: an accepted rule can be evaluated on any graph: it has exactly one condition, well-formed patterns and
templates, and a name that no other rule has. Labels never hold what changes from one evaluation to the next: they are
an alert's identity.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from chronotope.schema.config.errors import config_error
from chronotope.schema.config.file import ConfigFile, parse_config_text, read_config_file
from chronotope.schema.config.section import Duration, Kind, Section, at_key, parse_seconds

Severity = Literal["info", "warning", "critical"]
Layer = Literal["network", "ipc", "trace"]
# What a template may say. Those of the first line are the same for as long as an alert lasts.
STABLE_FIELDS = ("rule", "severity", "source", "target", "protocol", "service", "services", "namespace",
                 "source_namespace", "target_namespace")  # fmt: skip
FIELDS = (*STABLE_FIELDS, "value", "threshold", "window", "layers", "event")
RESERVED_LABELS = ("alertname", "severity", "source", "target", "protocol", "service", "services")
_LABEL = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NAME = re.compile(r"[\w][\w .:/-]{0,99}")
_PERCENT = re.compile(r"(\d+(?:\.\d+)?)\s*%")


def _listed(value: object) -> object:
    return value if isinstance(value, list) else [value]


def _template(value: str) -> str:
    try:
        fields = [field for field in string.Formatter().parse(value) if field[1] is not None]
    except ValueError as error:
        raise ValueError(f"{value!r} is no template: {error}; write text and fields such as {{source}}") from error
    for _, name, form, conversion in fields:
        if name not in FIELDS or form or conversion:
            raise ValueError(f"{value!r} holds {{{name}}}, which no alert has; accepted: {', '.join(FIELDS)}")
    return value


def _label(value: str) -> str:
    if not _LABEL.fullmatch(value):
        raise ValueError(f"{value!r} is no name of a label; accepted: letters, digits and _, no digit first")
    return value


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError(f"{value!r} is no name of a rule; accepted: 1 to 100 letters, digits, spaces and _ . : / -")
    return value


def _pattern(value: str) -> str:
    if not value or len(value) > 256:
        raise ValueError(f"{value[:80]!r} is no pattern; accepted: 1 to 256 characters, * and ? stand for any")
    return value


def _share(value: object) -> object:
    match = _PERCENT.fullmatch(str(value).strip())
    return float(match[1]) / 100 if match else value


def _hold(value: object) -> object:
    return 0 if str(value).strip() in ("0", "0s", "0m") else parse_seconds(value)


Hold = Annotated[int, BeforeValidator(_hold)]
Template = Annotated[str, AfterValidator(_template)]
LabelName = Annotated[str, AfterValidator(_label)]
RuleName = Annotated[str, AfterValidator(_name)]
Patterns = Annotated[list[Annotated[str, AfterValidator(_pattern)]], BeforeValidator(_listed)]
Layers = Annotated[list[Layer], BeforeValidator(_listed)]
Kinds = Annotated[list[Kind], BeforeValidator(_listed)]
Number = Annotated[float, BeforeValidator(_share), Field(ge=0, allow_inf_nan=False)]


class MatchSection(Section):
    """Which dependencies; every key given must hold. A pattern without `/` may also be a service's name alone."""

    source: Patterns = Field(default_factory=list, description="callers: ids or names, `*` and `?` stand for any")
    target: Patterns = Field(default_factory=list, description="callees, likewise")
    namespace: Patterns = Field(default_factory=list, description="namespace of caller or callee")
    source_namespace: Patterns = Field(default_factory=list, description="namespace of the caller")
    target_namespace: Patterns = Field(default_factory=list, description="namespace of the callee")
    source_kind: Kinds = Field(default_factory=list, description="what the caller is")
    target_kind: Kinds = Field(default_factory=list, description="what the callee is")
    source_attributes: dict[str, Patterns] = Field(default_factory=dict, description="attributes of the caller")
    target_attributes: dict[str, Patterns] = Field(default_factory=dict, description="attributes of the callee")
    protocol: Patterns = Field(default_factory=list, description="protocols")
    layer: Layers = Field(default_factory=list, description="layers whose evidence counts; all by default")

    @property
    def says_nothing(self) -> bool:
        """Whether it holds for every dependency."""
        return not self.model_fields_set


class RuleMatch(MatchSection):
    """Which dependencies a rule is about, and which of them it is not."""

    exclude: Annotated[list[MatchSection], BeforeValidator(_listed)] = Field(
        default_factory=list, alias="not", description="but none of these"
    )

    @model_validator(mode="after")
    def _exclusions_say_something(self) -> RuleMatch:
        for at, entry in enumerate(self.exclude):
            if entry.says_nothing:
                raise at_key("not", at, text="has no key, so that nothing would be left; say which are left out")
            if entry.layer:
                raise at_key("not", at, "layer", text="stands here; say under `match` which layers count")
        return self


class Threshold(Section):
    """A bound that a measure passes."""

    above: Number | None = Field(default=None, description="holds above this")
    below: Number | None = Field(default=None, description="holds below this")

    @model_validator(mode="after")
    def _one_bound(self) -> Threshold:
        if (self.above is None) == (self.below is None):
            raise at_key(text="needs one of the keys above, below")
        return self

    @property
    def bound(self) -> float:
        """The bound, of whichever side."""
        return float(self.above if self.above is not None else self.below or 0.0)


class Latency(Section):
    """A quantile of latency that is too slow."""

    quantile: float = Field(default=0.95, gt=0, lt=1, description="which quantile")
    above_ms: float = Field(gt=0, le=1e9, description="holds above this many milliseconds")


class WhenSection(Section):
    """The condition of a rule: exactly one of these keys."""

    new: bool = Field(default=False, description="a dependency was never seen before")
    vanished: bool = Field(default=False, description="a dependency is silent beyond chance")
    returned: bool = Field(default=False, description="a dependency that had vanished is there again")
    forbidden: bool = Field(default=False, description="such a dependency exists at all")
    cycle: bool = Field(default=False, description="such dependencies make a circle of services")
    error_ratio: Threshold | None = Field(default=None, description="errors ÷ calls: `{above: 5%}`")
    latency: Latency | None = Field(default=None, description="`{quantile: 0.95, above_ms: 250}`")
    calls_per_second: Threshold | None = Field(
        default=None, description="calls (of the network: connections) each second; a silent dependency has 0"
    )
    fan_out: Threshold | None = Field(default=None, description="how many services one calls")
    fan_in: Threshold | None = Field(default=None, description="how many services call one")

    @model_validator(mode="after")
    def _one_condition(self) -> WhenSection:
        if len(self._given) != 1:
            given = f"; {', '.join(self._given)} stand here" if self._given else ""
            raise at_key(text=f"needs exactly one of the keys {', '.join(type(self).model_fields)}{given}")
        for name in ("fan_out", "fan_in"):
            bound: Threshold | None = getattr(self, name)
            if bound is not None and bound.above is None:
                raise at_key(name, "below", text="cannot be told of a service that nobody sees; accepted: above")
        return self

    @property
    def _given(self) -> list[str]:
        return [name for name in type(self).model_fields if getattr(self, name) not in (None, False)]

    @property
    def name(self) -> str:
        """The key that was given."""
        return self._given[0]


class RuleEntry(Section):
    """A condition on dependencies, and what to say when it holds."""

    name: RuleName = Field(description="name of the rule, and of its alerts")
    match: RuleMatch = Field(default=RuleMatch(), description="which dependencies; all by default")
    when: WhenSection = Field(description="the condition: one key")
    window: Duration = Field(default=300, ge=10, le=86_400, description="how far back the condition looks")
    minimum_calls: int = Field(default=1, ge=1, description="calls in the window below which no ratio is judged")
    hold_s: Hold = Field(default=0, alias="for", description="how long the condition must hold before the alert fires")
    keep: Duration = Field(
        default=3600, ge=10, description="how long the alert of a new, vanished or returned dependency lasts"
    )
    severity: Severity = Field(default="warning", description="how bad it is")
    labels: dict[LabelName, Template] = Field(default_factory=dict, description="more labels of its alerts: templates")
    annotations: dict[LabelName, Template] = Field(
        default_factory=dict, description="texts of its alerts: templates with {source}, {target}, {value}, …"
    )

    @model_validator(mode="after")
    def _labels_stay(self) -> RuleEntry:
        for key, template in self.labels.items():
            if key in RESERVED_LABELS:
                raise at_key("labels", key, text="is set by the server; choose another name")
            changing = [name for name in fields_of(template) if name not in STABLE_FIELDS]
            if changing:
                raise at_key(
                    "labels",
                    key,
                    text=f"holds {{{changing[0]}}}, which changes while an alert lasts; move it to annotations",
                )
        return self


class RulesFile(Section):
    """A file of rules alone: the section `rules` of a configuration."""

    rules: list[RuleEntry] = Field(default_factory=list, description="rules")

    @model_validator(mode="after")
    def _names_differ(self) -> RulesFile:
        check_names(self.rules, "rules")
        return self


def check_names(rules: list[RuleEntry], *under: str) -> None:
    """Refuse two rules of one name; `under` is the key of the list below the section that is being checked."""
    seen: set[str] = set()
    for at, rule in enumerate(rules):
        if rule.name in seen:
            raise at_key(*under, at, "name", text=f"{rule.name!r} is the name of an earlier rule; alerts need one each")
        seen.add(rule.name)


def fields_of(template: str) -> Iterator[str]:
    """Return the fields that a template names."""
    return (field[1] for field in string.Formatter().parse(template) if field[1])


def load_rules(path: str | Path) -> list[RuleEntry]:
    """Read and check the rules of a file: of one with rules alone, or of a whole configuration.

    Raises:
        InvalidConfig: `file:line: key: what is wrong; what would be accepted`.
    """
    return _rules_of(read_config_file(path))


def parse_rules(text: str, path: str) -> list[RuleEntry]:
    """Like `load_rules`, of a text; `path` is what its errors call it."""
    return _rules_of(parse_config_text(text, path))


def _rules_of(file: ConfigFile) -> list[RuleEntry]:
    """A whole configuration is checked as a whole elsewhere; here only its rules count."""
    own = ConfigFile(file.path, {key: value for key, value in file.values.items() if key == "rules"}, file.lines)
    if not own.values:
        raise file.error((), "holds no rules; write them as a list under the key `rules`")
    try:
        return RulesFile.model_validate(own.values).rules
    except ValidationError as error:
        raise config_error(own, error, RulesFile) from None
