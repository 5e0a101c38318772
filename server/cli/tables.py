"""Answers as tables for people. Names come from outside: they are printed as text, never as markup."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import msgspec
from msgspec import UnsetType
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from chronotope.server.export.nodegraph import bytes_text, errors_text, rate_text
from chronotope.server.graph.answer import Calls, Edge, Graph, Window
from chronotope.server.graph.series import CallColumns, EdgeSeries
from chronotope.server.graph.services import ServiceDetail, Services
from chronotope.server.graph.timeline import Timeline

_NUMBERS = (
    "nodes", "edges", "added", "removed", "calls", "errors", "callers", "callees", "connections", "bytes", "rate",
    "mean ms", "p95 ms",
)  # fmt: skip


def print_graph(body: bytes) -> None:
    """Print a graph's edges."""
    graph = msgspec.json.decode(body, type=Graph)
    _print(_title(graph.window), EDGE_COLUMNS, (_edge_row(edge, graph.window.seconds) for edge in graph.edges))
    shown = f", the {len(graph.edges):,} busiest shown" if graph.truncated else ""
    console().print(Text(f"{graph.totals.nodes:,} nodes, {graph.totals.edges:,} edges{shown}"))
    if not graph.edges:
        console().print(Text("Nothing was seen in this window; --at and --window choose another."))


def print_timeline(body: bytes) -> None:
    """Print one row a step."""
    timeline = msgspec.json.decode(body, type=Timeline)
    columns = ("time", "nodes", "edges", "added", "removed", "calls", "errors")
    rows = zip(*(getattr(timeline, column) for column in columns), strict=True)
    _print(_title(timeline.window), columns, ([_text(cell) for cell in row] for row in rows))


def print_services(body: bytes) -> None:
    """Print one row a service."""
    answer = msgspec.json.decode(body, type=Services)
    columns = ("service", "kind", "layers", "callers", "callees", "attributes")
    rows = (
        [
            service.id,
            service.kind,
            ", ".join(service.layers),
            _text(service.degree.inbound),
            _text(service.degree.outbound),
            ", ".join(f"{key}={value}" for key, value in service.attributes.items()),
        ]
        for service in answer.services
    )
    _print(_title(answer.window), columns, rows)


def print_service(body: bytes) -> None:
    """Print a service, its callers and its callees."""
    detail = msgspec.json.decode(body, type=ServiceDetail)
    service = detail.service
    console().print(Text(f"{service.id} ({service.kind}), seen by: {', '.join(service.layers) or 'nobody here'}"))
    for title, edges in (("callers", detail.callers), ("callees", detail.callees)):
        rows = (_edge_row(edge, detail.window.seconds) for edge in edges)
        _print(f"{title}, {_title(detail.window)}", EDGE_COLUMNS, rows)


def print_series(body: bytes) -> None:
    """Print one row a step and layer that saw the edge."""
    series = msgspec.json.decode(body, type=EdgeSeries)
    console().print(Text(f"{series.source} → {series.target} ({series.protocol})"))
    console().print(Text(f"first seen {series.first_seen}, last seen {series.last_seen}"))
    columns = ("time", "layer", "calls", "errors", "mean ms", "connections", "bytes")
    rows = (row for layer in ("network", "ipc", "trace") for row in _series_rows(series, layer))
    _print(_title(series.window), columns, sorted(rows))


EDGE_COLUMNS = ("source", "target", "protocol", "layers", "rate", "errors", "mean ms", "p95 ms", "via")


def _edge_row(edge: Edge, seconds: int) -> list[str]:
    calls = edge.evidence.ipc or edge.evidence.trace
    return [
        edge.source,
        edge.target,
        edge.protocol,
        ", ".join(edge.layers),
        rate_text(edge.evidence, seconds),
        errors_text(edge.evidence),
        *_latency(calls),
        ", ".join(edge.via),
    ]


def _latency(calls: Calls | UnsetType) -> tuple[str, str]:
    if isinstance(calls, UnsetType):
        return "", ""
    p95 = calls.latency_ms.p95
    return _text(calls.latency_ms.mean), "" if isinstance(p95, UnsetType) else _text(p95)


def _series_rows(series: EdgeSeries, layer: str) -> Iterable[list[str]]:
    evidence = getattr(series.evidence, layer)
    if isinstance(evidence, UnsetType):
        return
    for at, time in enumerate(series.time):
        volume = evidence.bytes_sent[at] + evidence.bytes_received[at]
        if isinstance(evidence, CallColumns):
            cells = [evidence.calls[at], evidence.errors[at], evidence.latency_ms.mean[at]]
        else:
            cells = [None, None, None]
        if volume or evidence.connections[at] or cells[0]:
            numbers = [_text(cell) for cell in (*cells, evidence.connections[at] or None)]
            yield [time, layer, *numbers, bytes_text(volume) if volume else ""]


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:,.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _title(window: Window) -> str:
    return f"{window.from_} to {window.to}"


def console() -> Console:
    """Return a console; a file or a pipe gets 200 columns."""
    found = Console()
    return found if found.is_terminal else Console(width=200)


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], title: str | None = None, right: Collection[str] = ()
) -> None:
    """Print rows of text; the columns in `right` are aligned to the right."""
    table = Table(title=title and Text(title), title_justify="left", box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console().print(table)


def progress_bar(amount: ProgressColumn) -> Progress:
    """Return a bar on standard error, shown on a terminal only; `amount` is the column that says how much is done."""
    shown = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), amount, TimeRemainingColumn())
    return Progress(*columns, console=shown, disable=not shown.is_terminal)


def _print(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    print_table(columns, rows, title, _NUMBERS)
