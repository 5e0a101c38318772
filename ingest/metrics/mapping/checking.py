"""A report of what the presets find at real endpoints, before anything is written.

Invariant: for every series of a wanted metric, the report says which edge it belongs to, or why to none. Of the other
metrics it says how many there are.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from chronotope.ingest.metrics.mapping.edge_columns import Services
from chronotope.ingest.metrics.mapping.end_resolver import Resolver
from chronotope.ingest.metrics.mapping.pipeline import MetricsPipeline
from chronotope.ingest.metrics.mapping.series import REASONS

MOST_EXAMPLES = 3
WORDS = {
    "conditions": "no mapping's conditions hold",
    "no_source": "nothing says who calls",
    "no_target": "nothing says who is called",
    "both_unknown": "both ends are unknown",
    "gauge": "declared as a gauge, not a counter",
    "duplicate_family": "another metric of the endpoint counts the same calls",
}


def report(pipeline: MetricsPipeline, now_ms: int) -> dict[str, Any]:
    """Return a report of what the series of a pipeline's table mean.

    Returns:
        `mappings`: for each that found something: `mapping`, `preset`, `families` (metric → series), `edges`;
        `unused`: `reason`, `series`, `examples`.
    """
    pipeline.meanings.update()
    meanings, table = pipeline.meanings, pipeline.table
    found: dict[tuple[str, str], tuple[Counter[str], set[int]]] = {}
    unused: dict[str, list[int]] = {}
    outdone = np.isin(meanings.place, meanings.places.pairs()[0])
    for code, use in enumerate(meanings.use):
        if meanings.edge[code] < 0 or use is None:
            unused.setdefault(REASONS[meanings.reason[code]], []).append(code)
            continue
        if outdone[code]:
            unused.setdefault("duplicate_family", []).append(code)
            continue
        families, edges = found.setdefault((use.rule.preset, use.rule.entry.name), (Counter(), set()))
        families[table.names[code]] += 1
        edges.add(int(meanings.edge[code]))
    return {
        "series": len(table),
        "used": int(((meanings.edge >= 0) & ~outdone).sum()),
        "mappings": [
            {
                "preset": preset,
                "mapping": name,
                "families": dict(sorted(families.items())),
                "edges": _edges(pipeline, sorted(edges), now_ms),
            }
            for (preset, name), (families, edges) in found.items()
        ],
        "unused": [
            {
                "reason": reason,
                "detail": WORDS.get(reason, reason),
                "series": len(codes),
                "examples": [_shown(table.names[code], table.labels[code]) for code in codes[:MOST_EXAMPLES]],
            }
            for reason, codes in sorted(unused.items())
        ],
    }


def _edges(pipeline: MetricsPipeline, codes: list[int], now_ms: int) -> list[dict[str, str]]:
    edges = [pipeline.meanings.edges[code] for code in codes]
    resolver = Resolver(pipeline.identities(), Services(pipeline.aliases), pipeline.meanings.providers, now_ms)
    which, times = np.arange(len(edges)), np.full(len(edges), now_ms)
    sources = resolver.resolve([edge.source for edge in edges], which, times).tolist()
    targets = resolver.resolve([edge.target for edge in edges], which, times).tolist()
    services = resolver.services
    names = {
        (services[source].id, services[target].id, edge.protocol)
        for source, target, edge in zip(sources, targets, edges, strict=True)
    }
    return [{"source": source, "target": target, "protocol": protocol} for source, target, protocol in sorted(names)]


def _shown(name: str, labels: dict[str, str]) -> str:
    inside = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
    return f"{name}{{{inside}}}"
