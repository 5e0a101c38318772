"""The section `agent`: the names of a host's processes, and the limits of its flow agent."""

from __future__ import annotations

import re

from pydantic import Field, model_validator

from chronotope.schema.config.section import Regex, Section, at_key

FACTS = ("command_line", "executable", "program", "unit", "container", "pod", "cgroup")
ENVIRONMENT = "env."
_TEMPLATE = re.compile(r"{(\w+)}")


class ProcessRule(Section):
    """Which service a process is, when all of `match` matches."""

    match: dict[str, Regex] = Field(
        min_length=1,
        description="fact → regular expression of all of it; facts: " + ", ".join(FACTS) + ", `env.NAME`",
    )
    service: str = Field(min_length=1, description="name of the service; `{group}` is a named group of `match`")
    namespace: str = Field(default="", description="namespace of the service, likewise")
    instance: str = Field(default="", description="instance of the service, likewise; empty: container, pod or host")

    @model_validator(mode="after")
    def _is_complete(self) -> ProcessRule:
        for fact in self.match:
            if fact not in FACTS and not fact.startswith(ENVIRONMENT):
                raise at_key("match", fact, text=f"is no fact; accepted: {', '.join(FACTS)}, env.NAME")
        groups = {name for pattern in self.match.values() for name in re.compile(pattern).groupindex}
        for key in ("service", "namespace", "instance"):
            for name in _TEMPLATE.findall(getattr(self, key)):
                if name not in groups:
                    raise at_key(key, text=f"uses {{{name}}}, but no pattern of `match` has a group (?P<{name}>…)")
        return self


class AgentSection(Section):
    """The collector of flows on a host, `chronotope agent flows`."""

    rules: list[ProcessRule] = Field(
        default_factory=list, description="services of processes; the first rule that matches decides, before all else"
    )
    datagrams: bool = Field(
        default=True, description="UDP too; its programs look at every packet, also of TCP, for a moment"
    )
    max_connections: int = Field(default=131_072, ge=64, description="connections of the host that live at one time")
    detailed_connections: int = Field(
        default=4_096,
        ge=16,
        le=1 << 20,
        description="connections that close between two reads and are told one by one; more are summed by pair",
    )
    max_pairs: int = Field(
        default=65_536, ge=64, description="pairs of sockets (UDP) or ends (TCP) that are summed between two reads"
    )
