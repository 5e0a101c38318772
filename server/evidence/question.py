"""What is asked about a window: the checked and typed parameters of every route and command that reads one."""

from __future__ import annotations

from dataclasses import dataclass

FORMATS = ("json", "nodegraph", "dot", "graphml", "mermaid")
DEFAULT_LIMIT = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One window and what is shown of it. An empty tuple or text does not filter.

    Attributes:
        start_ms: Unix milliseconds; the window is [start, end).
        end_ms: Unix milliseconds.
        layers: whose evidence is read.
        view: `resolved` (intermediaries collapsed into `via`) or `hops`.
        focus: service ids whose neighbourhood is wanted.
        depth: how many edges away from the focus.
        direction: `upstream` (callers), `downstream` (callees) or `both`.
        namespaces: an edge stays when one of its ends is in one of these.
        kinds: likewise, of one of these kinds.
        protocols: an edge's protocol is one of these.
        search: likewise, an end's id holds this text, whatever the case.
        group_by: a node attribute, `namespace` or `kind`; nodes with the same value become one.
        full: latency quantiles too.
        limit: most edges returned, busiest first.
    """

    start_ms: int
    end_ms: int
    layers: tuple[str, ...] = ()
    view: str = "resolved"
    focus: tuple[str, ...] = ()
    depth: int = 1
    direction: str = "both"
    namespaces: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    protocols: tuple[str, ...] = ()
    search: str = ""
    group_by: str = ""
    full: bool = False
    limit: int = DEFAULT_LIMIT
