"""Plain forms of metric and label names with dots, which Prometheus 3 allows. Mappings use the plain names.

Invariant: a name that Prometheus 2 allows is its own plain name. A series keeps the name of its source; only its
meaning is looked up by the plain one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_OTHER = re.compile(r"[^a-zA-Z0-9_:]")


def plain_name(name: str) -> str:
    """Return a name with `_` for each character that Prometheus 2 does not take: `http_route` for `http.route`."""
    return _OTHER.sub("_", name)


def plain_labels(labels: Mapping[str, str]) -> Mapping[str, str]:
    """Return labels with plain names; one that has such a name already wins."""
    if not any(map(_OTHER.search, labels)):
        return labels
    return {plain_name(label): value for label, value in labels.items()} | {
        label: value for label, value in labels.items() if not _OTHER.search(label)
    }


def selector_of(name: str) -> str:
    """Return the PromQL selector of all series of a metric."""
    if not _OTHER.search(name):
        return name
    escaped = name.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'{{__name__="{escaped}"}}'
