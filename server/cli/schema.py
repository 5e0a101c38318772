"""`chronotope schema`: the store's migrations."""

from __future__ import annotations

import click

from chronotope.schema.errors import SchemaMismatch
from chronotope.schema.storage.migrate import migrate, pending, show_schema
from chronotope.schema.storage.store import Store

_store = click.option(
    "--store", "url", required=True, envvar="CHRONOTOPE_STORE", metavar="STORE", help="chdb:///path or clickhouse://…"
)


@click.group()
def schema() -> None:
    """Apply, show or check the store's migrations.

    \b
    Examples:
      chronotope schema apply --store chdb:///var/lib/chronotope
      chronotope schema check --store clickhouse://default@clickhouse:8123/chronotope
    """


@schema.command()
@_store
def apply(url: str) -> None:
    """Apply what is pending. Safe to run again."""
    with Store.open(url) as store:
        applied = migrate(store)
    for migration in applied:
        click.echo(f"applied {migration.version:04d}_{migration.name}")
    if not applied:
        click.echo("nothing to apply: the store has this version's schema")


@schema.command()
@_store
def show(url: str) -> None:
    """Print SHOW CREATE of every object of the store."""
    with Store.open(url) as store:
        click.echo(show_schema(store), nl=False)


@schema.command()
@_store
def check(url: str) -> None:
    """Say whether the store has this version's schema; exit 1 when it has not."""
    with Store.open(url) as store:
        missing = pending(store)
    if missing:
        names = ", ".join(f"{migration.version:04d}_{migration.name}" for migration in missing)
        raise SchemaMismatch(f"not applied: {names}; run `chronotope schema apply`")
    click.echo("the store has this version's schema")
