"""`chronotope graph`, `timeline`, `services` and `edge`."""

from __future__ import annotations

from functools import partial
from typing import Any
from urllib.parse import quote

import click

from chronotope.server.answers.graph import (
    answer_edge,
    answer_graph,
    answer_service,
    answer_services,
    answer_timeline,
)
from chronotope.server.answers.parameters import (
    GraphParameters,
    SeriesParameters,
    ServiceParameters,
    ServicesParameters,
    TimelineParameters,
)
from chronotope.server.answers.source import source_of
from chronotope.server.cli import tables
from chronotope.server.cli.options import ask, query_items, reading_options, show
from chronotope.server.evidence.question import FORMATS


@click.command()
@reading_options(GraphParameters, forms=FORMATS[1:])
def graph(store: str | None, server: str | None, form: str, **options: Any) -> None:
    """Print the topology of a window: nodes, edges and their evidence.

    \b
    Examples:
      chronotope graph --store chdb:///tmp/topology
      chronotope graph --store chdb:///tmp/topology --at 2026-01-31T12:00:00Z --window 1h --measures full
      chronotope graph --server http://127.0.0.1:8428 --focus shop/cart --depth 2 --direction upstream
      chronotope graph --store chdb:///tmp/topology --group-by namespace --format mermaid
    """
    if form in FORMATS[1:]:
        options["format"] = form
    show(ask(store, server, "/api/v1/graph", GraphParameters, options, answer_graph), form, tables.print_graph)


@click.command()
@reading_options(TimelineParameters)
def timeline(store: str | None, server: str | None, form: str, **options: Any) -> None:
    """Print how many nodes and edges there were step by step, and how many came and went.

    \b
    Examples:
      chronotope timeline --store chdb:///tmp/topology --from now-1d --step 1h
      chronotope timeline --server http://127.0.0.1:8428 --from 2026-01-01T00:00:00Z --to 2026-02-01T00:00:00Z
    """
    body = ask(store, server, "/api/v1/timeline", TimelineParameters, options, answer_timeline)
    show(body, form, tables.print_timeline)


@click.command()
@click.argument("service", required=False)
@reading_options(ServicesParameters)
def services(service: str | None, store: str | None, server: str | None, form: str, **options: Any) -> None:
    """Print the services of a window, or one of them with its callers and callees.

    \b
    Examples:
      chronotope services --store chdb:///tmp/topology --at now-1h
      chronotope services --store chdb:///tmp/topology --search cart
      chronotope services shop/cart --store chdb:///tmp/topology
    """
    if service is None:
        body = ask(store, server, "/api/v1/services", ServicesParameters, options, answer_services)
        show(body, form, tables.print_services)
        return
    items = query_items(ServicesParameters, options)  # an option that this route does not know is refused
    answer = partial(answer_service, service=service)
    body = source_of(store, server).read(_route("services", service), ServiceParameters, items, answer)
    show(body, form, tables.print_service)


@click.command()
@click.argument("edge_id", metavar="ID")
@reading_options(SeriesParameters)
def edge(edge_id: str, store: str | None, server: str | None, form: str, **options: Any) -> None:
    """Print one edge's measures over time. `graph --format json` gives the ids of edges.

    \b
    Examples:
      chronotope edge 2a999666ea1203c2 --store chdb:///tmp/topology --from now-1d --step 1h
      chronotope edge 2a999666ea1203c2 --server http://127.0.0.1:8428 --measures full
    """
    answer = partial(answer_edge, edge=edge_id)
    show(ask(store, server, _route("edges", edge_id), SeriesParameters, options, answer), form, tables.print_series)


def _route(kind: str, name: str) -> str:
    return f"/api/v1/{kind}/{quote(name, safe='')}"
