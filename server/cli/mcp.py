"""`chronotope mcp`: answers to programs by the Model Context Protocol, over standard input and output."""

from __future__ import annotations

import click

from chronotope.schema.errors import ChronotopeError
from chronotope.server.answers.source import source_of


class MissingSdk(ChronotopeError):
    """The protocol's SDK is not installed."""


@click.command()
@click.option("--store", metavar="STORE", envvar="CHRONOTOPE_STORE", help="chdb:///path or clickhouse://…")
@click.option("--server", metavar="URL", help="A server that runs, such as http://127.0.0.1:8428.")
def mcp(store: str | None, server: str | None) -> None:
    """Serve tools to a program by the Model Context Protocol, over standard input and output.

    Tools: graph_at, diff, blast_radius, paths, culprits, events. Needs the extra: pip install 'chronotope[mcp]'.

    \b
    Examples:
      chronotope mcp --server http://127.0.0.1:8428
      chronotope mcp --store chdb:///tmp/topology
    """
    source = source_of(store, server)
    try:
        from chronotope.server.mcp.tools import mcp_server
    except ModuleNotFoundError as error:
        raise MissingSdk(f"{error.name} is not installed; pip install 'chronotope[mcp]' brings it") from error
    from importlib.metadata import version

    from chronotope.server.notebook import Topology

    mcp_server(Topology(source.server or source.store), version("chronotope")).run("stdio")
