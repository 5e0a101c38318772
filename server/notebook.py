"""For notebooks and scripts: any moment's topology as NetworkX graphs and Arrow tables.

    >>> from chronotope.server.notebook import Topology
    >>> topology = Topology("http://127.0.0.1:8428")  # or a store: chdb:///tmp/topology
    >>> graph = topology.graph(at="now-1h", window="15m")  # networkx.MultiDiGraph
    >>> edges = topology.edges(at="now-1h", measures="full")  # pyarrow.Table

Parameters are those of the HTTP API (`from_` for `from`), checked before anything is asked. Invariant: what is returned
is what the API answers, nothing is computed here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import quote

import msgspec
import pyarrow as pa

from chronotope.schema.errors import ChronotopeError
from chronotope.server.answers import culprits, diff, events, parameters, questions
from chronotope.server.answers.graph import answer_graph, answer_service, answer_services, answer_timeline
from chronotope.server.answers.source import source_of

_ROUTES: Mapping[str, tuple[str, Any, Any]] = {
    "graph": ("/api/v1/graph", parameters.GraphParameters, answer_graph),
    "diff": (diff.PATH, diff.DiffParameters, diff.answer_diff),
    "timeline": ("/api/v1/timeline", parameters.TimelineParameters, answer_timeline),
    "services": ("/api/v1/services", parameters.ServicesParameters, answer_services),
    "paths": (questions.PATHS, questions.PathsParameters, questions.answer_paths),
    "cycles": (questions.CYCLES, questions.CyclesParameters, questions.answer_cycles),
    "single_points_of_failure": (
        questions.SINGLE_POINTS, questions.SinglePointsParameters, questions.answer_single_points
    ),
    "events": (events.PATH, events.EventsParameters, events.answer_events),
    "culprits": (culprits.PATH, culprits.CulpritsParameters, culprits.answer_culprits),
}  # fmt: skip
_OF_SERVICE: Mapping[str, tuple[str, Any, Any]] = {
    "service": ("/api/v1/services/{service}", parameters.ServiceParameters, answer_service),
    "blast_radius": (questions.BLAST_RADIUS, questions.BlastRadiusParameters, questions.answer_blast_radius),
}


class MissingPackage(ChronotopeError):
    """A package that only this needs is not installed."""


class Topology:
    """The topology of a server that runs (`http://host:port`), or of a store (`chdb:///path`)."""

    def __init__(self, source: str) -> None:
        """Name where to ask.

        Raises:
            InvalidValue: it is neither a server's address nor a store.
        """
        web = source.startswith(("http://", "https://"))
        self._source = source_of(None, source) if web else source_of(source, None)

    def ask(self, question: str, about: str = "", /, **given: Any) -> dict[str, Any]:
        """Return an answer of the API as it stands there.

        Args:
            question: `graph`, `diff`, `timeline`, `services`, `paths`, `cycles`, `single_points_of_failure`, `events`,
                `culprits`; with a service `service` or `blast_radius`.
            about: id of the service that the question is about.
            given: parameters of the route; a list stands for a comma list, None for the default.

        Raises:
            InvalidValue, Impossible: a parameter is unknown or wrong.
            NotFound, Refused: what is asked for was never seen; the server refused or cannot be reached.
        """
        texts = [(name.rstrip("_"), _texts(value)) for name, value in given.items() if value is not None]
        if question in _ROUTES:
            route, model, answer = _ROUTES[question]
        else:
            route, model, answer_of = _OF_SERVICE[question]
            route, answer = route.replace("{service}", quote(about, safe="")), partial(answer_of, service=about)
        found: dict[str, Any] = msgspec.json.decode(self._source.read(route, model, texts, answer))
        return found

    def graph(self, **given: Any) -> Any:
        """Return a window's networkx.MultiDiGraph: nodes by service id, edges keyed by edge id, with all data."""
        try:
            import networkx  # type: ignore[import-untyped]
        except ImportError as error:
            raise MissingPackage("networkx is not installed; pip install 'chronotope[notebook]' brings it") from error
        found = self.ask("graph", **given)
        graph = networkx.MultiDiGraph(window=found["window"], truncated=found["truncated"])
        graph.add_nodes_from((node["id"], node) for node in found["nodes"])
        for edge in found["edges"]:
            graph.add_edge(edge["source"], edge["target"], key=edge["id"], **_without(edge, "source", "target"))
        return graph

    def edges(self, **given: Any) -> pa.Table:
        """Return a window's edges, a row each; measures are columns such as `trace_calls`, `ipc_latency_ms_p95`."""
        return _table(
            [_without(edge, "evidence") | _flat(edge["evidence"]) for edge in self.ask("graph", **given)["edges"]]
        )

    def services(self, **given: Any) -> pa.Table:
        """Return a window's services, a row each; attributes are columns such as `attributes_team`."""
        return _table([_flat(service) for service in self.ask("services", **given)["services"]])

    def diff(self, **given: Any) -> pa.Table:
        """Return what changed between two times: a row an edge that came or went, and one a measure that changed."""
        rows = []
        for edge in self.ask("diff", **given)["edges"]:
            own = {name: edge[name] for name in ("id", "source", "target", "protocol", "status")}
            rows += [own | change for change in edge.get("changes", [])] or [own]
        return _table(rows)

    def timeline(self, **given: Any) -> pa.Table:
        """Return one row a step."""
        found = self.ask("timeline", **given)
        return pa.table(
            {name: column for name, column in found.items() if name != "changes" and isinstance(column, list)}
        )

    def blast_radius(self, service: str, **given: Any) -> pa.Table:
        """Return who depends on a service, a row a caller."""
        return _table(self.ask("blast_radius", service, **given)["callers"])

    def paths(self, source: str, target: str, **given: Any) -> list[list[str]]:
        """Return the ways from one service to another, shortest first."""
        return [path["services"] for path in self.ask("paths", source=source, target=target, **given)["paths"]]

    def events(self, **given: Any) -> pa.Table:
        """Return events, a row each."""
        return _table([_flat(event) for event in self.ask("events", **given)["events"]])

    def culprits(self, **given: Any) -> pa.Table:
        """Return the likely sources of a degradation, a row a reason."""
        return _table([
            {name: one[name] for name in ("rank", "service", "probability")} | reason
            for one in self.ask("culprits", **given)["culprits"]
            for reason in one["reasons"]
        ])  # fmt: skip


def _texts(value: Any) -> list[str]:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [str(one) for one in value]
    return [str(value)]


def _without(record: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name not in names}


def _flat(record: Mapping[str, Any]) -> dict[str, Any]:
    """Records within a record as columns of their own, `outer_inner`. An empty record gives no column."""
    found: dict[str, Any] = {}
    for name, value in record.items():
        if isinstance(value, Mapping):
            found |= {f"{name}_{inner}": own for inner, own in _flat(value).items()}
        else:
            found[name] = value
    return found


def _table(rows: list[dict[str, Any]]) -> pa.Table:
    """Rows as a table with a column for each name in any of them."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    return pa.table({name: [row.get(name) for row in rows] for name in names})
