"""Name the service of a process by the facts about it.

Invariant: a pure function of the facts and the rules. In this order: the rules of the configuration; what the process
tells OpenTelemetry of itself; its systemd unit; the program that it runs.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from chronotope.ingest.hosts.facts import OTEL_ATTRIBUTES, OTEL_NAME, Facts, parse_resource_attributes
from chronotope.schema.config.agent import ENVIRONMENT, ProcessRule
from chronotope.schema.names import clean_name

_SHORT_ID = 12


class Owner(NamedTuple):
    """The owner of a process; an empty service means unknown."""

    service: str
    namespace: str = ""
    instance: str = ""


NOBODY = Owner("")


class Naming:
    """The rules, compiled once."""

    def __init__(self, rules: Sequence[ProcessRule] = ()) -> None:
        self._rules = [(rule, [(fact, re.compile(text)) for fact, text in rule.match.items()]) for rule in rules]
        asked = {
            fact.removeprefix(ENVIRONMENT) for rule in rules for fact in rule.match if fact.startswith(ENVIRONMENT)
        }
        self.variables = frozenset({OTEL_NAME, OTEL_ATTRIBUTES, *asked})

    def owner_of(self, facts: Facts) -> Owner:
        """Return the service, its namespace and the instance."""
        attributes = parse_resource_attributes(facts.environment.get(OTEL_ATTRIBUTES, ""))
        owner = self._by_rules(facts) or _by_telemetry(facts, attributes)
        owner = owner or Owner(facts.unit or facts.program)
        instance = owner.instance or facts.container[:_SHORT_ID] or facts.pod
        return Owner(clean_name(owner.service), clean_name(owner.namespace), clean_name(instance))

    def _by_rules(self, facts: Facts) -> Owner | None:
        for rule, patterns in self._rules:
            groups: dict[str, str] = {}
            for fact, pattern in patterns:
                found = pattern.fullmatch(_value(facts, fact))
                if not found:
                    break
                groups |= {name: text or "" for name, text in found.groupdict().items()}
            else:
                return Owner(*(_filled(text, groups) for text in (rule.service, rule.namespace, rule.instance)))
        return None


def _by_telemetry(facts: Facts, attributes: dict[str, str]) -> Owner | None:
    name = facts.environment.get(OTEL_NAME) or attributes.get("service.name", "")
    if not name:
        return None
    namespace = attributes.get("service.namespace") or attributes.get("k8s.namespace.name", "")
    return Owner(name, namespace, attributes.get("service.instance.id", ""))


def _value(facts: Facts, fact: str) -> str:
    if fact.startswith(ENVIRONMENT):
        return facts.environment.get(fact.removeprefix(ENVIRONMENT), "")
    value: str = getattr(facts, fact)
    return value


def _filled(template: str, groups: dict[str, str]) -> str:
    return re.sub(r"{(\w+)}", lambda found: groups[found[1]], template)
