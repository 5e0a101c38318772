"""`chronotope events`: what happened to dependencies.

Invariant: names come from outside and are printed as text, never as markup.
"""

from __future__ import annotations

from typing import Any

import click
import msgspec
from msgspec import UnsetType
from rich.text import Text

from chronotope.server.answers.events import PATH, EventsParameters, answer_events
from chronotope.server.cli.options import ask, reading_options, show
from chronotope.server.cli.tables import console, print_table
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
    show(ask(store, server, PATH, EventsParameters, options, answer_events), form, print_events)


def print_events(body: bytes) -> None:
    """Print one row for each event."""
    answer = msgspec.json.decode(body, type=Events)
    print_table(_COLUMNS, map(_row, answer.events))
    earlier = "; there are earlier ones, see --limit" if answer.truncated else ""
    console().print(Text(f"{len(answer.events):,} events{earlier}"))


def _row(event: EventRecord) -> list[str]:
    edge = event.edge
    ends = [edge.source, edge.target, edge.protocol] if edge is not None else [_or_empty(event.service), "", ""]
    chance = "" if event.probability is None else f"{event.probability:.1g}"
    kind = f"{event.type} (withdrawn)" if event.withdrawn is True else event.type
    what = event.rule or _or_empty(event.title)
    return [event.time, kind, *ends, ", ".join(event.layers), chance, event.change_event or "", what]


def _or_empty(text: str | UnsetType) -> str:
    return "" if isinstance(text, UnsetType) else text
