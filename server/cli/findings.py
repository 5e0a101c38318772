"""`chronotope findings`: what the layers disagree on."""

from __future__ import annotations

import json
from typing import Any

import click

from chronotope.server.answers.findings import PATH, FindingsParameters, answer_findings
from chronotope.server.cli.options import ask, reading_options, show


@click.command()
@reading_options(FindingsParameters)
def findings(store: str | None, server: str | None, form: str, **options: Any) -> None:
    """Print the edges that traces, metrics or flows should have seen and did not, and why.

    \b
    Examples:
      chronotope findings --store chdb:///tmp/topology --at 2026-01-31T12:00:00Z --window 1h
      chronotope findings --server http://127.0.0.1:8428 --window 1d
    """
    show(ask(store, server, PATH, FindingsParameters, options, answer_findings), form, _print)


def _print(body: bytes) -> None:
    answer = json.loads(body)
    click.echo(f"{answer['window']['from']} to {answer['window']['to']}")
    for finding in answer["findings"]:
        edge = finding["edge"]
        click.echo(f"{finding['type']}: {edge['source']} → {edge['target']} ({edge['protocol']})")
        click.echo(f"  {finding['reason']}")
    for proposal in answer["proposals"]:
        click.echo(f"undeclared_intermediary: {proposal['service']}")
        click.echo(f"  {proposal['reason']}; see `intermediaries` in the configuration")
    click.echo(f"{len(answer['findings'])} findings")
