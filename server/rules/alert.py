"""What an alert says: its labels, texts and fingerprint. Pure.

Invariant: a fingerprint is made from the labels alone, and labels from the rule and its subject alone. So every server
and every run gives an alert the same fingerprint, and a receiver recognizes a repeated notification.
"""

from __future__ import annotations

import hashlib
import string
from collections.abc import Mapping
from dataclasses import dataclass

from chronotope.schema.config.rules import RuleEntry
from chronotope.schema.names import split_service_id
from chronotope.schema.times import format_duration
from chronotope.server.rules.conditions import Subject

_LONGEST = 1000  # characters of a label


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert of a rule about a subject."""

    fingerprint: str
    rule: str
    subject: Subject
    labels: Mapping[str, str]
    annotations: Mapping[str, str]


def alert_of(rule: RuleEntry, subject: Subject, value: float, layers: list[str], event: str = "") -> Alert:
    """Return the alert of a rule about a subject.

    Args:
        rule: whose condition holds.
        subject: what it holds of.
        value: the measure now; NaN: none.
        layers: in which it holds.
        event: type of the event that it is about, if any.
    """
    fields = _fields(rule, subject) | {
        "value": "" if value != value else shown_value(rule, value),
        "threshold": threshold(rule),
        "window": format_duration(rule.window),
        "layers": ", ".join(layers),
        "event": event,
    }
    labels = {"alertname": rule.name, "severity": rule.severity}
    for name in ("source", "target", "protocol", "service", "services"):
        if fields[name]:
            labels[name] = fields[name]
    labels |= {name: render(template, fields)[:_LONGEST] for name, template in rule.labels.items()}
    labels = {name: text for name, text in labels.items() if text}
    texts = {"summary": _summary(rule, fields)}
    texts |= {name: render(template, fields) for name, template in rule.annotations.items()}
    return Alert(fingerprint(labels), rule.name, subject, labels, texts)


def fingerprint(labels: Mapping[str, str]) -> str:
    """Return 16 hex digits for some labels, whatever their order."""
    text = "\0".join(f"{name}\0{labels[name]}" for name in sorted(labels))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def render(template: str, fields: Mapping[str, str]) -> str:
    """Fill in a template that the configuration accepted."""
    return "".join(
        literal + (fields[name] if name is not None else "")
        for literal, name, _, _ in string.Formatter().parse(template)
    )


def threshold(rule: RuleEntry) -> str:
    """Return the bound of a rule's condition for people; empty when it has none."""
    when = rule.when
    if when.latency is not None:
        return f"p{when.latency.quantile * 100:g} > {when.latency.above_ms:g} ms"
    bound = when.error_ratio or when.calls_per_second or when.fan_out or when.fan_in
    if bound is None:
        return ""
    sign = ">" if bound.above is not None else "<"
    return f"{sign} {bound.bound:.3g}" if when.error_ratio is None else f"{sign} {bound.bound:.3%}"


def shown_value(rule: RuleEntry, value: float) -> str:
    """Return a measure for people."""
    if rule.when.error_ratio is not None:
        return f"{value:.3%}"
    if rule.when.latency is not None:
        return f"{value:.3%} of calls slower"
    return f"{value:.4g}"


def _fields(rule: RuleEntry, subject: Subject) -> dict[str, str]:
    services = ", ".join(subject.services)
    if len(services) > _LONGEST:
        digest = hashlib.sha256(services.encode()).hexdigest()[:16]
        services = f"{services[: _LONGEST - 20]}… ({digest})"
    alone = subject.services[0] if len(subject.services) == 1 else ""
    return {
        "rule": rule.name,
        "severity": rule.severity,
        "source": subject.source,
        "target": subject.target,
        "protocol": subject.protocol,
        "service": alone,
        "services": "" if alone else services,
        "namespace": split_service_id(alone or subject.source)[0],
        "source_namespace": split_service_id(subject.source)[0],
        "target_namespace": split_service_id(subject.target)[0],
    }


def _summary(rule: RuleEntry, fields: Mapping[str, str]) -> str:
    about = fields["service"] or fields["services"] or f"{fields['source']} → {fields['target']} ({fields['protocol']})"
    condition = f"{rule.when.name.replace('_', ' ')} {fields['threshold']}".strip()
    return f"{about}: {condition}{', now ' + fields['value'] if fields['value'] and fields['threshold'] else ''}"
