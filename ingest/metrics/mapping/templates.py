"""Templates and conditions on the labels of a series.

Invariant: a template is known only if every label in it has a meaning. A label that is absent, empty or has one of the
values for nothing (`unknown`) has none.
"""

from __future__ import annotations

import re
import string
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Template:
    """Text with labels: `{host}:{port}`."""

    parts: tuple[tuple[str, str], ...]  # (text, label that follows it; empty at the end)

    @classmethod
    def parse(cls, text: str) -> Template:
        """Return a template that the configuration has checked."""
        return cls(tuple((before, label or "") for before, label, _, _ in string.Formatter().parse(text)))

    def fill(self, labels: Labels, nothing: Collection[str]) -> str:
        """Return the text; empty when a label says nothing.

        Args:
            nothing: values that say nothing, in lower case.
        """
        filled = ""
        for text, label in self.parts:
            filled += text
            if label:
                value = labels.get(label, "")
                if not value or value.lower() in nothing:
                    return ""
                filled += value
        return filled


def first_known(templates: Sequence[Template], labels: Labels, nothing: Collection[str]) -> str:
    """Return the first template that is known; empty when none is."""
    for template in templates:
        if text := template.fill(labels, nothing):
            return text
    return ""


@dataclass(frozen=True, slots=True)
class Condition:
    """A label and what its whole value must look like; a label that is absent has an empty value."""

    label: str
    patterns: tuple[re.Pattern[str], ...]

    def holds(self, labels: Labels) -> bool:
        """Whether one pattern matches."""
        value = labels.get(self.label, "")
        return any(pattern.fullmatch(value) for pattern in self.patterns)


def conditions(entries: Mapping[str, Sequence[str]]) -> tuple[Condition, ...]:
    """Return the conditions of a configuration's `label: [pattern, …]`."""
    return tuple(Condition(label, tuple(map(re.compile, patterns))) for label, patterns in entries.items())


def all_hold(given: Sequence[Condition], labels: Labels) -> bool:
    """Whether every condition holds."""
    return all(condition.holds(labels) for condition in given)


def any_holds(given: Sequence[Condition], labels: Labels) -> bool:
    """Whether one condition holds."""
    return any(condition.holds(labels) for condition in given)
