"""`chronotope serve`: the server, until it is stopped."""

from __future__ import annotations

import logging
import signal
import socket
import threading
from pathlib import Path

import click

from chronotope.schema.config.config import Config, load_config
from chronotope.schema.errors import ChronotopeError
from chronotope.schema.storage.store import Store
from chronotope.server.running.listening import Address, bind, bound, parse_address
from chronotope.server.running.logs import log_to_stderr

DEFAULT_LISTEN = "127.0.0.1:8428"


@click.command()
@click.option(
    "--store", "url", required=True, envvar="CHRONOTOPE_STORE", help="chdb:///path, chdb://memory or clickhouse://…"
)
@click.option("--listen", default=DEFAULT_LISTEN, show_default=True, help="HOST:PORT of the API, OTLP/HTTP and page.")
@click.option("--otlp-http", default=None, help="HOST:PORT for OTLP over HTTP, or none.  [default: port 4318]")
@click.option("--otlp-grpc", default=None, help="HOST:PORT for OTLP over gRPC, or none.  [default: port 4317]")
@click.option(
    "--config", "config_path", type=click.Path(path_type=Path), help="YAML: identities, aliases, retention, …"
)
@click.option("--verbose", is_flag=True, help="Log more.")
def serve(
    url: str, listen: str, otlp_http: str | None, otlp_grpc: str | None, config_path: Path | None, verbose: bool
) -> None:
    """Take spans, keep the topology, answer for any moment.

    \b
    Examples:
      chronotope serve --store chdb:///var/lib/chronotope
      chronotope serve --store clickhouse://default@clickhouse:8123/chronotope --listen 0.0.0.0:8428
    Then send OTLP to ports 4317 (gRPC) or 4318 (HTTP) and open http://127.0.0.1:8428/
    """
    log_to_stderr(logging.DEBUG if verbose else logging.INFO)
    config = load_config(config_path) if config_path else Config()
    asked_for = parse_address(listen, "--listen")
    if asked_for is None:
        raise click.UsageError("--listen cannot be none: the server would answer nobody")
    http, grpc_at = otlp_addresses(asked_for.host, otlp_http, otlp_grpc)
    sockets = [bind(asked_for, "--listen", asked=True), bind(http, "--otlp-http", asked=otlp_http is not None)]
    opened = [found for found in sockets if found is not None]
    run(Store.open(url), config, opened, (grpc_at, otlp_grpc is not None) if grpc_at else None)


def otlp_addresses(host: str, otlp_http: str | None, otlp_grpc: str | None) -> tuple[Address | None, Address | None]:
    """The OTLP addresses: as given, else the standard ports on the API's host."""
    return (
        parse_address(otlp_http or f"{host}:4318", "--otlp-http"),
        parse_address(otlp_grpc or f"{host}:4317", "--otlp-grpc"),
    )


def run(store: Store, config: Config, sockets: list[socket.socket], grpc_at: tuple[Address, bool] | None) -> None:
    """Serve until SIGINT or SIGTERM."""
    from chronotope.server.running.server import open_server

    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    try:
        server = open_server(store, config, sockets, grpc_at)
    except ChronotopeError:
        store.close()
        raise
    server.start()
    server.warm_up()
    click.echo(f"chronotope answers on http://{bound(sockets[0])}/", err=True)
    if len(sockets) > 1:
        click.echo(f"OTLP/HTTP on {bound(sockets[1])}", err=True)
    if server.grpc_address:
        click.echo(f"OTLP/gRPC on {server.grpc_address}", err=True)
    stopping.wait()
    click.echo("stopping: writing what was accepted", err=True)
    server.stop()
