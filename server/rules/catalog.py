"""Every dependency ever seen, as columns: what the patterns of rules are matched against.

Invariant: edges are in the order of (source, target, protocol), each once, with the earliest and latest time at which
any layer saw it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import translate
from functools import lru_cache
from re import Pattern, compile

import numpy as np

from chronotope.schema.config.rules import MatchSection, RuleMatch
from chronotope.schema.names import split_service_id
from chronotope.schema.storage.store import Store
from chronotope.server.evidence.columns import EdgeColumns
from chronotope.server.evidence.directory import Attributes, read_attributes, read_kinds
from chronotope.server.evidence.numbering import Numbers
from chronotope.server.evidence.windows import read_known


@dataclass(frozen=True, slots=True)
class Catalog:
    """E edges, the numbers in their rows, and what is known of services."""

    edges: EdgeColumns
    numbers: Numbers
    kinds: Mapping[str, str]
    attributes: Attributes

    def __len__(self) -> int:
        return len(self.edges)


def read_catalog(store: Store, at_ms: int) -> Catalog:
    """Return the dependencies seen so far, and the attributes at an instant."""
    edges, numbers = read_known(store)
    return Catalog(edges, numbers, read_kinds(store), read_attributes(store, at_ms))


def matching(catalog: Catalog, match: RuleMatch) -> np.ndarray:
    """Return which edges a rule matches, bool[E]; its layers are checked elsewhere."""
    keep = _holds(catalog, match)
    for entry in match.exclude:
        keep &= ~_holds(catalog, entry)
    return keep


def _holds(catalog: Catalog, match: MatchSection) -> np.ndarray:
    edges = catalog.edges
    keep = np.ones(len(edges), bool)
    for end, patterns, namespaces, kinds, attributes in (
        (edges.source, match.source, match.source_namespace, match.source_kind, match.source_attributes),
        (edges.target, match.target, match.target_namespace, match.target_kind, match.target_attributes),
    ):
        wanted = np.ones(len(edges.names), bool)
        if patterns:
            wanted &= _named(edges.names, tuple(patterns))
        if namespaces:
            wanted &= _in_namespace(edges.names, tuple(namespaces))
        if kinds:
            wanted &= np.array([catalog.kinds.get(name, "unknown") in kinds for name in edges.names], bool)
        for key, values in attributes.items():
            pattern = _any_of(tuple(values))
            own = (catalog.attributes.get(name, {}).get(key) for name in edges.names)
            wanted &= np.array([value is not None and bool(pattern.match(value)) for value in own], bool)
        keep &= wanted[end]
    if match.namespace:
        inside = _in_namespace(edges.names, tuple(match.namespace))
        keep &= inside[edges.source] | inside[edges.target]
    if match.protocol:
        pattern = _any_of(tuple(match.protocol))
        keep &= np.array([bool(pattern.match(name)) for name in edges.protocols], bool)[edges.protocol]
    return keep


def _named(names: list[str], patterns: tuple[str, ...]) -> np.ndarray:
    """By id, or, for a pattern without a slash, by the name alone."""
    whole = _any_of(patterns)
    short = tuple(pattern for pattern in patterns if "/" not in pattern)
    alone = _any_of(short) if short else None
    return np.array(
        [bool(whole.match(name) or (alone and alone.match(split_service_id(name)[1]))) for name in names], bool
    )


def _in_namespace(names: list[str], patterns: tuple[str, ...]) -> np.ndarray:
    pattern = _any_of(patterns)
    return np.array([bool(pattern.match(split_service_id(name)[0])) for name in names], bool)


@lru_cache(maxsize=1024)
def _any_of(patterns: tuple[str, ...]) -> Pattern[str]:
    return compile("|".join(f"(?:{translate(pattern)})" for pattern in patterns))
