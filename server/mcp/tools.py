"""The tools of the MCP server: each asks one question of the API and shortens the answer.

Invariant: `limit`, at most MOST, bounds an answer. What the API refuses is a tool error that says what is accepted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import Field

from chronotope.schema.errors import ChronotopeError
from chronotope.server.mcp import short
from chronotope.server.notebook import Topology

MOST = 200
INSTRUCTIONS = (
    "Who called whom at any moment, past or present, from traces, metrics and network flows. Service ids are "
    "`namespace/name`. Times are RFC 3339 or relative (`now-90m`), windows durations (`5m`, `1h`). In an incident ask "
    "culprits first, then blast_radius of the first culprit, and diff for what changed around it."
)

At = Annotated[str, Field(description="The window's end: RFC 3339, or relative to now such as now-90m.")]
Window = Annotated[str, Field(description="The window's length: 30s, 5m, 1h, 7d.")]
Limit = Annotated[int, Field(ge=1, le=MOST, description="Most entries in the answer; `of` counts all.")]
Service = Annotated[str, Field(description="A service id, namespace/name.")]


def mcp_server(topology: Topology, version: str) -> MCPServer[Any]:
    """Return a server with all tools; it runs until its client goes."""
    server: MCPServer[Any] = MCPServer("chronotope", version=version, instructions=INSTRUCTIONS, log_level="WARNING")
    for tool in tools(topology):
        server.tool()(tool)
    return server


def tools(topology: Topology) -> list[Callable[..., dict[str, Any]]]:
    """Return the tools as functions; names, texts and types of their parameters are what clients see."""

    def graph_at(
        at: At = "now",
        window: Window = "5m",
        focus: Annotated[str, Field(description="Only the neighbourhood of this service; empty: all.")] = "",
        depth: Annotated[int, Field(ge=1, le=100, description="How many calls away from the focus.")] = 1,
        group_by: Annotated[str, Field(description="namespace, kind or an attribute such as team.")] = "",
        limit: Limit = 40,
    ) -> dict[str, Any]:
        """The service topology at a moment: services, and who calls whom how often, with errors and latency."""
        given = {"focus": focus, "depth": depth} if focus else {}
        more = {"group_by": group_by} if group_by else {}
        answer = _ask(topology, "graph", at=at, window=window, limit=MOST, measures="full", **given, **more)
        return short.short_graph(answer, limit)

    def diff(
        before: Annotated[str, Field(description="The earlier time, or how long before `after`: -1h, -1d.")] = "-1h",
        after: At = "now",
        window: Window = "5m",
        limit: Limit = 40,
    ) -> dict[str, Any]:
        """What changed between two times: dependencies added or removed; rates, errors, latency beyond chance."""
        answer = _ask(topology, "diff", before=before, after=after, window=window, measures="full")
        return short.short_diff(answer, limit)

    def blast_radius(service: Service, at: At = "now", window: Window = "1h", limit: Limit = 40) -> dict[str, Any]:
        """Who breaks if a service breaks: all direct and indirect callers, with the share of their calls that does."""
        return short.short_blast_radius(_ask(topology, "blast_radius", service, at=at, window=window), limit)

    def paths(
        source: Service, target: Service, at: At = "now", window: Window = "1h", limit: Limit = 20
    ) -> dict[str, Any]:
        """The ways by which calls of one service come to another, shortest first."""
        answer = _ask(topology, "paths", source=source, target=target, at=at, window=window, limit=limit)
        return short.short_paths(answer, limit)

    def culprits(
        at: At = "now",
        window: Window = "5m",
        baseline: Annotated[str, Field(description="When all was well: -1h, -1d, a time; empty: just before.")] = "",
        limit: Limit = 5,
    ) -> dict[str, Any]:
        """Which services a degradation likely comes from, with reasons; or that nothing is degraded."""
        return short.short_culprits(_ask(topology, "culprits", at=at, window=window, baseline=baseline or None), limit)

    def events(
        from_: Annotated[str, Field(description="The first time.")] = "now-1h",
        to: Annotated[str, Field(description="The time before which events are.")] = "now",
        service: Annotated[str, Field(description="Only of this service; empty: of all.")] = "",
        limit: Limit = 40,
    ) -> dict[str, Any]:
        """What happened: dependencies that appeared, vanished or returned, rule violations, deployments."""
        return short.short_events(_ask(topology, "events", from_=from_, to=to, service=service or None), limit)

    return [graph_at, diff, blast_radius, paths, culprits, events]


def _ask(topology: Topology, question: str, about: str = "", /, **given: Any) -> dict[str, Any]:
    try:
        return topology.ask(question, about, **given)
    except ChronotopeError as error:
        raise ToolError(str(error)) from error
