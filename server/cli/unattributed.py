"""`chronotope unattributed`: addresses with traffic that nobody owns."""

from __future__ import annotations

import json
import socket
from functools import partial
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from chronotope.schema.storage.store import Store
from chronotope.server.answers.answer import Answer
from chronotope.server.answers.unattributed import PATH, UnattributedParameters, answer_unattributed
from chronotope.server.cli.options import ask, reading_options, show
from chronotope.server.evidence.settings import Settings

_REASONS = {
    "unowned": "nobody claims it",
    "not_then": "claimed, but not at that time",
    "ambiguous": "several services claim it at once",
}


def _from_store(store: Store, settings: Settings, parameters: UnattributedParameters, now_ms: int) -> Answer:
    from chronotope.ingest.identity.known import KnownIdentities, read_claims
    from chronotope.server.running.owners import explain_by

    explain = explain_by(KnownIdentities(read_claims(store)))
    return answer_unattributed(store, settings, parameters, now_ms, explain)


@click.command()
@reading_options(UnattributedParameters)
@click.option("--names", is_flag=True, help="Show what reverse DNS calls them. A name is no owner.")
def unattributed(store: str | None, server: str | None, form: str, names: bool, **options: Any) -> None:
    """Print the addresses that have traffic and no owner, the busiest first, and why.

    \b
    Examples:
      chronotope unattributed --store chdb:///tmp/topology --at 2026-01-31T12:00:00Z --window 1h
      chronotope unattributed --server http://127.0.0.1:8428 --window 1d --names
    """
    body = ask(store, server, PATH, UnattributedParameters, options, _from_store)
    show(body, form, partial(_print, names=names))


def _print(body: bytes, *, names: bool) -> None:
    answer = json.loads(body)
    table = Table("address", "bytes", "connections", "ports", "peers", "why", box=None, pad_edge=False)
    for each in answer["addresses"]:
        table.add_row(*_row(each, names=names))
    Console().print(table)
    click.echo(f"{len(answer['addresses'])} of {answer['total']} addresses without an owner")


def _row(each: dict[str, Any], *, names: bool) -> list[str]:
    name = f" ({_reverse(each['address'])})" if names else ""
    peers = [*each["callers"], *(f"→ {callee}" for callee in each["callees"])]
    claimants = sorted({claim["service"] for claim in each["claims"]})
    return [
        each["address"] + name,
        f"{each['bytes_sent'] + each['bytes_received']:,}",
        f"{each['connections']:,}",
        ", ".join(map(str, each["ports"])),
        ", ".join(peers),
        _REASONS[each["reason"]] + (f": {', '.join(claimants)}" if claimants else ""),
    ]


def _reverse(address: str) -> str:
    try:
        return socket.gethostbyaddr(address.partition("%")[0])[0]
    except OSError:
        return "no name"
