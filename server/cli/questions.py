"""Commands about a whole graph: `blast-radius`, `paths`, `cycles`, `single-points-of-failure`.

Invariant: names come from outside and are printed as text.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any
from urllib.parse import quote

import click
import msgspec
from msgspec import UnsetType

from chronotope.server.answers import questions
from chronotope.server.cli.options import ask, reading_options, show
from chronotope.server.graph.answer import Window
from chronotope.server.questions.records import BlastRadiusAnswer, CyclesAnswer, PathsAnswer, SinglePointsAnswer


@click.command("blast-radius")
@click.argument("service")
@reading_options(questions.BlastRadiusParameters)
def blast_radius(service: str, store: str | None, server: str | None, form: str, **options: Any) -> None:
    """Print who depends on a service, directly or through others, and the share of their calls that does.

    \b
    Examples:
      chronotope blast-radius shop/cart --store chdb:///tmp/topology --at 2026-01-31T12:00:00Z --window 1h
      chronotope blast-radius shop/cart --server http://127.0.0.1:8428 --max-hops 2
    """
    route = questions.BLAST_RADIUS.replace("{service}", quote(service, safe=""))
    answer = partial(questions.answer_blast_radius, service=service)
    show(ask(store, server, route, questions.BlastRadiusParameters, options, answer), form, _print_blast_radius)


def _print_blast_radius(body: bytes) -> None:
    found = msgspec.json.decode(body, type=BlastRadiusAnswer)
    rows = [
        (str(caller.hops), "" if caller.share is None else f"{caller.share:.2%}", f"{caller.calls:,}", caller.service)
        for caller in found.callers
    ]
    _table(found.window, ("hops", "share", "calls", "caller"), rows, found.note)
    click.echo(f"{found.totals.callers:,} callers depend on {found.service}, {found.totals.direct:,} of them directly")


@click.command()
@reading_options(questions.PathsParameters)
def paths(store: str | None, server: str | None, form: str, **options: Any) -> None:
    """Print the ways by which calls of one service come to another, shortest first.

    \b
    Examples:
      chronotope paths --source shop/front --target shop/db --store chdb:///tmp/topology --window 1h
      chronotope paths --source shop/front --target shop/db --server http://127.0.0.1:8428 --max-hops 4
    """
    body = ask(store, server, questions.PATHS, questions.PathsParameters, options, questions.answer_paths)
    show(body, form, _print_paths)


def _print_paths(body: bytes) -> None:
    found = msgspec.json.decode(body, type=PathsAnswer)
    rows = [(str(path.hops), " → ".join(path.services)) for path in found.paths]
    _table(found.window, ("hops", "path"), rows, found.note)
    click.echo(f"{len(found.paths):,} paths from {found.source} to {found.target}")


@click.command()
@reading_options(questions.CyclesParameters)
def cycles(store: str | None, server: str | None, form: str, **options: Any) -> None:
    """Print the groups of services that call each other in circles, with one circle of each.

    \b
    Examples:
      chronotope cycles --store chdb:///tmp/topology --at 2026-01-31T12:00:00Z --window 1h
      chronotope cycles --server http://127.0.0.1:8428 --window 1d
    """
    body = ask(store, server, questions.CYCLES, questions.CyclesParameters, options, questions.answer_cycles)
    show(body, form, _print_cycles)


def _print_cycles(body: bytes) -> None:
    found = msgspec.json.decode(body, type=CyclesAnswer)
    rows = [(f"{one.size:,}", " → ".join([*one.example, one.example[0]])) for one in found.cycles]
    _table(found.window, ("services", "for example"), rows, found.note)
    click.echo(f"{len(found.cycles):,} groups of services call each other in circles")


@click.command("single-points-of-failure")
@reading_options(questions.SinglePointsParameters)
def single_points(store: str | None, server: str | None, form: str, **options: Any) -> None:
    """Print the services whose loss cuts others off from all entry points that lead to them.

    An entry is a service that nobody calls. What entries reach only through one service between, that one cuts off.

    \b
    Examples:
      chronotope single-points-of-failure --store chdb:///tmp/topology --at 2026-01-31T12:00:00Z --window 1h
      chronotope single-points-of-failure --server http://127.0.0.1:8428 --window 1d
    """
    model, answer = questions.SinglePointsParameters, questions.answer_single_points
    show(ask(store, server, questions.SINGLE_POINTS, model, options, answer), form, _print_single_points)


def _print_single_points(body: bytes) -> None:
    found = msgspec.json.decode(body, type=SinglePointsAnswer)
    rows = [
        (f"{one.cuts_off:,}", f"{one.callers:,}", f"{one.service}: {_some(one.services, one.cuts_off)}")
        for one in found.single_points_of_failure
    ]
    _table(found.window, ("cuts off", "callers", "service"), rows, found.note)
    click.echo(f"{len(rows):,} single points of failure")


def _some(services: Sequence[str], total: int, shown: int = 5) -> str:
    rest = total - len(services[:shown])
    return ", ".join(services[:shown]) + (f" and {rest:,} more" if rest else "")


def _table(window: Window, columns: Sequence[str], rows: Sequence[Sequence[str]], note: str | UnsetType) -> None:
    """Print numbers in columns, and the text, which may be long, last."""
    click.echo(f"{window.from_} to {window.to}")
    if rows:
        widths = [max(len(row[at]) for row in [columns, *rows]) for at in range(len(columns) - 1)]
        for row in [columns, *rows]:
            numbers = [cell.rjust(width) for cell, width in zip(row, widths, strict=False)]
            click.echo("  ".join([*numbers, row[-1]]))
    if not isinstance(note, UnsetType):
        click.echo(note)
