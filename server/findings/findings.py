"""Findings: edges that a layer should have seen and did not, and callers that nobody knows. Pure.

Invariant: a finding is made only where the missing layer watches both ends, so that its silence means something. Each
names the edge, the layer and the reason in plain words. The order is that of the edges.

- `never_traced`: metrics or flows saw calls between two services that both appear in traces, but no trace crosses.
- `never_in_metrics`: the caller counts its other calls, or the callee its other callers, but nobody counted these.
- `never_in_network`: both ends have flows, but none between them, nor through an intermediary.
- `unknown_caller`: a service was called by somebody whom nothing names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec
import numpy as np

from chronotope.server.evidence.columns import EdgeColumns, LayerColumns
from chronotope.server.findings.proposals import Proposal
from chronotope.server.graph.answer import Layer, Window

FindingType = Literal["never_traced", "never_in_metrics", "never_in_network", "unknown_caller"]


class FindingEdge(msgspec.Struct):
    """Which edge a finding is about."""

    id: str
    source: str
    target: str
    protocol: str


class Finding(msgspec.Struct):
    """One thing that the layers disagree on."""

    type: FindingType
    edge: FindingEdge
    layers: list[Layer]  # that saw the edge
    missing: Layer  # that should have
    calls: int  # that the layers saw, the most of them
    reason: str


class Findings(msgspec.Struct):
    """All findings of a window."""

    window: Window
    findings: list[Finding]
    proposals: list[Proposal] = []  # services that look like undeclared intermediaries


class _Seen:
    """What each layer saw, by pairs of services."""

    def __init__(self, columns: EdgeColumns, kinds: Mapping[str, str]) -> None:
        self.columns = columns
        self.size = max(len(columns.names), 1)
        self.pair = columns.source.astype(np.int64) * self.size + columns.target
        self.kinds = [kinds.get(name, "unknown") for name in columns.names]
        self.between = np.array([kind == "intermediary" for kind in self.kinds], np.bool_)
        self.named = np.array([kind != "unknown" for kind in self.kinds], np.bool_)

    def alive(self, layer: str) -> np.ndarray:
        """Return which edges a layer saw, bool[E]; the protocol that a layer names may be another one."""
        found = self.columns.layers.get(layer)
        if found is None:
            return np.zeros(len(self.columns), np.bool_)
        return np.isin(self.pair, self.pair[found.alive])

    def ends(self, edges: np.ndarray, *columns: np.ndarray) -> np.ndarray:
        """Return which names are in columns of some edges, bool[names]."""
        seen = np.zeros(self.size, np.bool_)
        for column in columns:
            seen[column[edges]] = True
        return seen

    def through(self, layer: str) -> np.ndarray:
        """Return which edges a layer saw as two hops with an intermediary between, bool[E]."""
        alive = np.flatnonzero(self.alive(layer))
        source, target = self.columns.source, self.columns.target
        firsts, seconds = alive[self.between[target[alive]]], alive[self.between[source[alive]]]
        pairs = {
            int(source[first]) * self.size + int(target[second])
            for first in firsts.tolist()
            for second in seconds[source[seconds] == target[first]].tolist()
        }
        return np.isin(self.pair, np.array(sorted(pairs), np.int64))


def find(columns: EdgeColumns, kinds: Mapping[str, str], window: Window) -> Findings:
    """Return the findings of a window.

    Args:
        columns: all edges of the window, of all layers.
        kinds: service → kind.
    """
    seen = _Seen(columns, kinds)
    trace, ipc, network = (seen.alive(layer) for layer in ("trace", "ipc", "network"))
    known = seen.named[columns.source] & seen.named[columns.target]
    untraced = (ipc | network) & ~trace & known & _both_traced(seen, trace)
    uncounted = (trace | network) & ~ipc & known & _counted(seen, ipc)
    unseen = (trace | ipc) & ~network & known & _flowing(seen, network)
    found = [
        *_found(seen, "never_traced", "trace", untraced, _TRACE),
        *_found(seen, "never_in_metrics", "ipc", uncounted, _IPC),
        *_found(seen, "never_in_network", "network", unseen, _NETWORK),
        *_found(seen, "unknown_caller", "ipc", ipc & ~seen.named[columns.source], _CALLER),
    ]
    return Findings(window, [finding for _, finding in sorted(found, key=lambda pair: pair[0])])


_TRACE = (
    "{layers} saw {source} call {target}, and both appear in traces, but no trace leads from one to the other: "
    "{source} does not pass the trace context on with these calls, or {target} does not take it up"
)
_IPC = (
    "{layers} saw {source} call {target}, but neither's metrics count these calls although they count others: "
    "the client that {source} uses for {target} is not instrumented"
)
_NETWORK = (
    "{layers} saw {source} call {target}, and both have connections, but none between them nor through a known "
    "intermediary: a proxy or balancer between them is not declared, or its flows are not collected"
)
_CALLER = (
    "{target} counts calls from a caller that no label, address or identity names: the caller has no sidecar and no "
    "client metrics, or comes from outside"
)


def _both_traced(seen: _Seen, trace: np.ndarray) -> np.ndarray:
    columns = seen.columns
    traced = seen.ends(trace, columns.source, columns.target)
    both: np.ndarray = traced[columns.source] & traced[columns.target] & ~seen.through("trace")
    return both


def _counted(seen: _Seen, ipc: np.ndarray) -> np.ndarray:
    """Whether the source counts calls that it makes, or the target those that it takes from callers it knows."""
    columns = seen.columns
    layer: LayerColumns | None = columns.layers.get("ipc")
    by_target = layer.by_target if layer is not None else ipc
    counts_own = seen.ends(ipc & ~by_target, columns.source)
    counts_callers = seen.ends(ipc & by_target & seen.named[columns.source], columns.target)
    counted: np.ndarray = (counts_own[columns.source] | counts_callers[columns.target]) & ~seen.through("ipc")
    return counted


def _flowing(seen: _Seen, network: np.ndarray) -> np.ndarray:
    columns = seen.columns
    flows = seen.ends(network, columns.source), seen.ends(network, columns.target)
    reachable = np.array([kind in ("service", "database") for kind in seen.kinds], np.bool_)[columns.target]
    flowing: np.ndarray = flows[0][columns.source] & flows[1][columns.target] & ~seen.through("network")
    return np.asarray(flowing & reachable)


def _found(
    seen: _Seen, kind: FindingType, missing: Layer, edges: np.ndarray, words: str
) -> Iterator[tuple[int, Finding]]:
    """Return a finding for each pair of services; the first protocol of several stands for all."""
    columns = seen.columns
    rows = np.flatnonzero(edges)
    _, first = np.unique(seen.pair[rows], return_index=True)
    for at in rows[first].tolist():
        source, target = columns.names[columns.source[at]], columns.names[columns.target[at]]
        calls = _calls(columns, np.flatnonzero(seen.pair == seen.pair[at]))
        reason = words.format(layers=_listed(list(calls)), source=source, target=target)
        edge = FindingEdge(columns.ids[at], source, target, columns.protocols[columns.protocol[at]])
        yield at, Finding(kind, edge, list(calls), missing, max(calls.values(), default=0), reason)


def _calls(columns: EdgeColumns, rows: np.ndarray) -> dict[Layer, int]:
    """Return the layers that saw some edges, and the calls that each saw."""
    seen: dict[Any, LayerColumns] = {name: layer for name, layer in columns.layers.items() if layer.alive[rows].any()}
    return {
        name: int(layer.measures["calls"][rows].sum()) if "calls" in layer.measures else 0
        for name, layer in seen.items()
    }


def _listed(layers: list[Layer]) -> str:
    words = {"network": "flows", "ipc": "metrics", "trace": "traces"}
    text = " and ".join(words[layer] for layer in layers)
    return text[:1].upper() + text[1:]
