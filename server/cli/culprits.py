"""`chronotope culprits`: which services a degradation likely comes from.

Invariant: names come from outside and are printed as text.
"""

from __future__ import annotations

from typing import Any

import click
import msgspec
from msgspec import UnsetType

from chronotope.server.answers.culprits import PATH, CulpritsParameters, answer_culprits
from chronotope.server.cli.options import ask, reading_options, show
from chronotope.server.culprits.records import CulpritsAnswer


@click.command()
@reading_options(CulpritsParameters)
def culprits(store: str | None, server: str | None, form: str, **options: Any) -> None:
    """Print the services that a present degradation likely comes from, with reasons, the likeliest first.

    \b
    Examples:
      chronotope culprits --store chdb:///tmp/topology --at 2026-01-31T12:00:00Z --window 5m
      chronotope culprits --server http://127.0.0.1:8428 --window 10m --baseline -1d
    """
    body = ask(store, server, PATH, CulpritsParameters, options, answer_culprits)
    show(body, form, lambda answer: print_culprits(msgspec.json.decode(answer, type=CulpritsAnswer)))


def print_culprits(answer: CulpritsAnswer) -> None:
    """Print each culprit with its reasons below it."""
    click.echo(f"{answer.window.from_} to {answer.window.to}")
    click.echo(f"compared with {answer.baseline.from_} to {answer.baseline.to}, {answer.tests:,} measures")
    if answer.culprits:
        click.echo("rank, share of the symptoms that it explains, service")
    for one in answer.culprits:
        click.echo(f"{one.rank:>3}  {one.score:6.1%}  {one.service}")
        for text in [*(reason.text for reason in one.reasons), *(change.text for change in one.changes)]:
            click.echo(f"{'':15}{text}")
    if answer.degradation:
        click.echo(f"degraded, with a probability of {answer.probability:.1%}")
    if not isinstance(answer.note, UnsetType):
        click.echo(answer.note)
