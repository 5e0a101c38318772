"""`chronotope`: the group of all commands.

Invariant: a command's module is imported only when that command runs. Exit codes: 0 done, 1 refused with one line on
standard error, 2 wrong usage.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple, NoReturn

import click

from chronotope.schema.errors import ChronotopeError, InvalidPayload, InvalidValue


class Entry(NamedTuple):
    """Where a command is, and what it does in one line."""

    module: str
    name: str
    help: str


COMMANDS: Mapping[str, Entry] = {
    "demo": Entry("demo", "demo", "Start everything with live example traffic."),
    "serve": Entry("serve", "serve", "Run the server: OTLP, API, page."),
    "unattributed": Entry("unattributed", "unattributed", "Addresses that nobody owns, by traffic."),
    "import": Entry("import_", "import_", "Load history from files of spans or metrics."),
    "scrape": Entry("scrape", "scrape", "Read who called whom from Prometheus or endpoints."),
    "agent": Entry("agent", "agent", "Collect flows on a host, by eBPF."),
    "graph": Entry("reading", "graph", "The topology of any past moment."),
    "diff": Entry("diff", "diff", "What changed between two times."),
    "events": Entry("events", "events", "Dependencies that appeared or vanished, and reported changes."),
    "timeline": Entry("reading", "timeline", "How the topology changed over time."),
    "services": Entry("reading", "services", "Services of a window; or one, with callers and callees."),
    "edge": Entry("reading", "edge", "One edge's measures over time."),
    "blast-radius": Entry("questions", "blast_radius", "Who depends on a service, and how much."),
    "paths": Entry("questions", "paths", "The ways from one service to another."),
    "cycles": Entry("questions", "cycles", "Services that call each other in circles."),
    "single-points-of-failure": Entry("questions", "single_points", "Services whose loss cuts others off."),
    "culprits": Entry("culprits", "culprits", "Services that a degradation likely comes from."),
    "findings": Entry("findings", "findings", "What traces, metrics and flows disagree on."),
    "rules": Entry("rules", "rules", "Check rules: well formed, and how often they would fire."),
    "mcp": Entry("mcp", "mcp", "Tools for programs by the Model Context Protocol."),
    "schema": Entry("schema", "schema", "Apply, show or check the store's migrations."),
}


class LazyGroup(click.Group):
    """A group that knows its commands by name, and imports one when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of COMMANDS."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command; None when there is none of that name."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        command: click.Command = getattr(import_module(f"chronotope.server.cli.{entry.module}"), entry.name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; what it refuses becomes one line and an exit code."""
        try:
            return super().invoke(ctx)
        except ChronotopeError as error:
            _refuse(error)


def _is_usage(error: ChronotopeError) -> bool:
    """Whether an option or the configuration was wrong, and not the data."""
    return isinstance(error, InvalidValue) and not isinstance(error, InvalidPayload)


def _refuse(error: ChronotopeError) -> NoReturn:
    click.echo(f"chronotope: {' '.join(str(error).split())}", err=True)
    raise click.exceptions.Exit(2 if _is_usage(error) else 1)


def _print_version(ctx: click.Context, _: click.Parameter, wanted: bool) -> None:
    if not wanted:
        return
    try:
        click.echo(f"chronotope {version('chronotope')}")
    except PackageNotFoundError:
        click.echo("chronotope (run from its source)")
    ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.option("--version", is_flag=True, expose_value=False, is_eager=True, callback=_print_version, help="Say which.")
def main() -> None:
    """Who called whom at any moment, from traces, metrics and flows.

    \b
    Examples:
      chronotope demo
      chronotope import spans.parquet --input spans --store chdb:///tmp/topology
      chronotope graph --store chdb:///tmp/topology --at 2026-01-31T12:00:00Z --window 5m
      chronotope graph --server http://127.0.0.1:8428 --focus shop/cart --direction upstream

    STORE is chdb:///path, chdb://memory or clickhouse://user:password@host:8443/database?secure=true, and may also
    come from CHRONOTOPE_STORE.
    """
