"""`chronotope diff`: what changed between two times.

Invariant: names come from outside and are printed as text, never as markup.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import click
import msgspec
from msgspec import UnsetType
from rich.text import Text

from chronotope.server.answers.diff import PATH, DiffParameters, answer_diff
from chronotope.server.cli.options import ask, reading_options, show
from chronotope.server.cli.tables import console, print_table
from chronotope.server.diff.changes import Change
from chronotope.server.diff.difference import Diff, DiffEdge
from chronotope.server.export.nodegraph import errors_text, rate_text
from chronotope.server.graph.answer import Evidence, Window

_COLUMNS = ("status", "source", "target", "protocol", "layer", "measure", "before → after", "p")


@click.command()
@reading_options(DiffParameters)
def diff(store: str | None, server: str | None, form: str, **options: Any) -> None:
    """Print which edges were added, removed or changed between two windows, and how sure that is.

    \b
    Examples:
      chronotope diff --store chdb:///tmp/topology --before -1d --window 1h
      chronotope diff --store chdb:///tmp/topology --before 2026-01-31T12:00:00Z --after 2026-01-31T13:00:00Z
      chronotope diff --server http://127.0.0.1:8428 --before -7d --window 1h --measures full
    """
    show(ask(store, server, PATH, DiffParameters, options, answer_diff), form, print_diff)


def print_diff(body: bytes) -> None:
    """Print a row for each edge that was added or removed, and for each measure that changed."""
    answer = msgspec.json.decode(body, type=Diff)
    seconds = answer.before.seconds, answer.after.seconds
    rows = (row for edge in answer.edges for row in _rows(edge, seconds))
    print_table(_COLUMNS, rows, f"{_window(answer.before)} → {_window(answer.after)}")
    for one in answer.coverage:
        console().print(Text(f"{one.layer}: {one.before:,} → {one.after:,} events: {one.explanation}"))
    counts = answer.summary
    uncovered = f" ({counts.uncovered:,} not compared)" if counts.uncovered else ""
    shown = f"; {len(answer.edges):,} shown" if answer.truncated else ""
    console().print(
        Text(
            f"{counts.added:,} added, {counts.removed:,} removed, {counts.changed:,} changed, "
            f"{counts.unchanged:,} unchanged{uncovered}{shown}"
        )
    )


def _rows(edge: DiffEdge, seconds: tuple[int, int]) -> Iterator[list[str]]:
    name = [edge.status, edge.source, edge.target, edge.protocol]
    if edge.status == "changed":
        yield from ([*name, *_change(change)] for change in edge.changes)
        return
    texts = [_evidence(own, length) for own, length in zip((edge.before, edge.after), seconds, strict=True)]
    p = "" if isinstance(edge.p_value, UnsetType) else f"{edge.p_value:.2g}"
    yield [*name, ", ".join(edge.layers), "", " → ".join(texts), p]


def _change(change: Change) -> Iterable[str]:
    effect = "" if change.effect is None else f" (×{change.effect:.3g})"
    return change.layer, change.measure, f"{change.before:.4g} → {change.after:.4g}{effect}", f"{change.p_value:.2g}"


def _evidence(evidence: Evidence, seconds: int) -> str:
    if all(isinstance(own, UnsetType) for own in (evidence.network, evidence.ipc, evidence.trace)):
        return "nothing"
    return " ".join(text for text in (rate_text(evidence, seconds), errors_text(evidence)) if text)


def _window(window: Window) -> str:
    return f"{window.from_} to {window.to}"
