"""`chronotope events`: what happened to dependencies, as `/api/v1/events` says it.

Invariant: names come from outside and are printed as text, never as markup.
"""

from __future__ import annotations

import sys
from typing import Any

import click
import msgspec
from msgspec import UnsetType
from rich.console import Console
from rich.table import Table
from rich.text import Text

from chronotope.server.answers.events import PATH, EventsParameters, answer_events
from chronotope.server.answers.source import source_of
from chronotope.server.cli.options import query_items, reading_options
from chronotope.server.events.event import EventRecord, Events

_COLUMNS = ("time", "type", "source or service", "target", "protocol", "layers", "p", "after", "rule or title")


@click.command()
@reading_options(EventsParameters)
def events(store: str | None, server: str | None, form: str, **options: Any) -> None:
    """Print dependencies that appeared, vanished or returned, and the changes that were reported.

    \b
    Examples:
      chronotope events --store chdb:///tmp/topology --from now-1d
      chronotope events --server http://127.0.0.1:8428 --type vanished_dependency --service shop/cart
    """
    given = query_items(EventsParameters, options)
    body = source_of(store, server).read(PATH, EventsParameters, given, answer_events)
    if form == "json":
        sys.stdout.buffer.write(body)
        sys.stdout.buffer.flush()
        return
    print_events(body)


def print_events(body: bytes) -> None:
    """Print one row an event."""
    answer = msgspec.json.decode(body, type=Events)
    console = Console()
    console = console if console.is_terminal else Console(width=200)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in _COLUMNS:
        table.add_column(column, overflow="fold")
    for event in answer.events:
        table.add_row(*(Text(cell) for cell in _row(event)))
    console.print(table)
    earlier = "; there are earlier ones, see --limit" if answer.truncated else ""
    console.print(Text(f"{len(answer.events):,} events{earlier}"))


def _row(event: EventRecord) -> list[str]:
    edge = event.edge
    ends = [edge.source, edge.target, edge.protocol] if edge is not None else [_said(event.service), "", ""]
    chance = "" if event.probability is None else f"{event.probability:.1g}"
    kind = f"{event.type} (withdrawn)" if event.withdrawn is True else event.type
    what = event.rule or _said(event.title)
    return [event.time, kind, *ends, ", ".join(event.layers), chance, event.change_event or "", what]


def _said(text: str | UnsetType) -> str:
    return "" if isinstance(text, UnsetType) else text
