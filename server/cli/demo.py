"""`chronotope demo`: everything on an embedded store, with live example traffic."""

from __future__ import annotations

import logging
import signal
import threading
import time
import webbrowser
from contextlib import suppress
from itertools import pairwise
from typing import TYPE_CHECKING

import click
import numpy as np
from rich.console import Console

from chronotope.schema.config.config import Config
from chronotope.schema.errors import Busy, ChronotopeError
from chronotope.schema.storage.store import Store
from chronotope.schema.times import format_time, parse_duration
from chronotope.server.cli.serve import DEFAULT_LISTEN, otlp_addresses
from chronotope.server.running.listening import bind, bound, parse_address
from chronotope.server.running.logs import log_to_stderr

if TYPE_CHECKING:
    from chronotope.server.running.server import Server

logger = logging.getLogger(__name__)

_LIVE_TRACES_PER_S = 10.0
_HISTORY_TRACES = 6000
_STEP_S = 1.0
_USUAL_START_S = 6.0


@click.command()
@click.option(
    "--store", "url", default="chdb://memory", show_default=True, help="Where to keep it: chdb:///path to keep it."
)
@click.option("--listen", default=DEFAULT_LISTEN, show_default=True, help="HOST:PORT of the page and the API.")
@click.option("--otlp-http", default=None, help="HOST:PORT for OTLP over HTTP, or none.  [default: port 4318]")
@click.option("--otlp-grpc", default=None, help="HOST:PORT for OTLP over gRPC, or none.  [default: port 4317]")
@click.option("--history", default="1h", show_default=True, help="How much past to make up first: 30m, 6h, 7d, 0s.")
@click.option("--seconds", type=float, default=None, help="Stop by itself after that long.")
def demo(
    url: str, listen: str, otlp_http: str | None, otlp_grpc: str | None, history: str, seconds: float | None
) -> None:
    """Start everything with live example traffic: ten services, real traces replayed as if now.

    On a terminal the page is opened in the browser.

    \b
    Examples:
      chronotope demo
      chronotope demo --history 6h --store chdb:///tmp/chronotope-demo
    """
    log_to_stderr(logging.WARNING)
    history_s = parse_duration(history, name="--history") if history not in ("0", "0s") else 0
    address = parse_address(listen, "--listen")
    if address is None:
        raise click.UsageError("--listen cannot be none: nobody could look")
    http, grpc_at = otlp_addresses(address.host, otlp_http, otlp_grpc)
    sockets = [bind(address, "--listen", asked=True), bind(http, "--otlp-http", asked=otlp_http is not None)]
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    console = Console()
    console.print("starting the embedded ClickHouse engine …")
    compiling = threading.Timer(_USUAL_START_S, console.print, ["compiling, this first time only …"])
    compiling.daemon = True
    compiling.start()
    from chronotope.server.running.server import open_server

    store = Store.open(url)
    try:
        grpc_asked = (grpc_at, otlp_grpc is not None) if grpc_at else None
        server = open_server(store, Config(), [s for s in sockets if s], grpc_asked)
    except ChronotopeError:
        store.close()
        raise
    finally:
        compiling.cancel()
    server.start()
    base = f"http://{bound(sockets[0])}" if sockets[0] else ""
    try:
        traffic = Traffic(server, history_s)
        traffic.write_history(console, stopping)
        server.warm_up()
        if not stopping.is_set():
            _print_hints(console, base, server, traffic)
            if console.is_terminal and base:
                _open_page(base)
        traffic.run(stopping, seconds)
        console.print("\nstopping …")
    finally:
        server.stop()


class Traffic:
    """The example traffic: first its past, then its present."""

    def __init__(self, server: Server, history_s: int) -> None:
        from chronotope.ingest.demo.replay import read_template

        self._server = server
        self._vocabulary = server.vocabulary
        self._template = read_template(self._vocabulary)
        self._random = np.random.default_rng()
        self.begun_s = time.time()
        self.history_s = history_s
        until_s, deployed_s = _earlier_demo(server.store)
        self.history_from_s = max(self.begun_s - history_s, until_s)
        self.newcomer_s = deployed_s or self.begun_s - history_s / 3

    def write_history(self, console: Console, stopping: threading.Event) -> None:
        """Put the past into the store, newest first: the present is what one looks at first."""
        length_s = self.begun_s - self.history_from_s
        if length_s < _STEP_S:
            return
        rate = min(_LIVE_TRACES_PER_S, _HISTORY_TRACES / length_s)
        steps = max(1, round(length_s * rate / 1000))
        edges = np.linspace(self.history_from_s, self.begun_s, steps + 1)
        with console.status(f"writing {length_s / 3600:.2g} h of history …"):
            for begin, end in reversed([*pairwise(edges.tolist())]):
                if stopping.is_set():
                    return
                self._put(begin, end, rate)

    def run(self, stopping: threading.Event, seconds: float | None) -> None:
        """Make the present, second by second, until told to stop."""
        done_s = self.begun_s
        while not stopping.wait(_STEP_S) and (seconds is None or time.time() - self.begun_s < seconds):
            now_s = time.time()
            self._put(done_s, now_s, _LIVE_TRACES_PER_S)
            done_s = now_s

    def _put(self, begin_s: float, end_s: float, traces_per_s: float) -> None:
        from chronotope.ingest.demo.replay import replay

        batch = replay(
            self._template,
            self._vocabulary,
            self._random,
            begin_s,
            end_s,
            traces_per_s=traces_per_s,
            newcomer_from_s=self.newcomer_s,
            calls_each=max(1, round(_LIVE_TRACES_PER_S / traces_per_s)),
        )
        try:
            self._server.span_queue.put(batch)
        except Busy as error:  # a slow machine that still compiles; what was queued will be written
            logger.warning("%s", error)


def _earlier_demo(store: Store) -> tuple[float, float]:
    """Until when an earlier demo filled this store, and since when it had the newcomer; 0 when there was none."""
    from chronotope.ingest.demo.replay import NEWCOMER

    statement = (
        "SELECT toUnixTimestamp64Milli(max(last_seen)), "
        "toUnixTimestamp64Milli(minIf(first_seen, target = {newcomer:String})) "
        "FROM edge_lifetimes WHERE layer = 'trace' AND source = {caller:String}"
    )
    row = store.rows(statement, {"newcomer": NEWCOMER, "caller": NEWCOMER.partition("/")[0] + "/frontend"})[0]
    return max(row[0], 0) / 1000, max(row[1], 0) / 1000


def _open_page(base: str) -> None:
    """Open the page in a browser window; a browser in the terminal would take it over."""
    with suppress(webbrowser.Error):
        browser = webbrowser.get()
        if type(browser) is not webbrowser.GenericBrowser:
            browser.open(f"{base}/")


def _print_hints(console: Console, base: str, server: Server, traffic: Traffic) -> None:
    """Print where it answers and what to try."""
    tries = [f"chronotope graph --server {base}"]
    if traffic.history_s:
        before = format_time(int(traffic.newcomer_s * 1000) - 60_000)
        tries.append(f"chronotope graph --server {base} --at {before}   # before adservice was deployed")
        tries.append(f"chronotope timeline --server {base} --from now-{max(1, traffic.history_s // 60)}m")
    tries += [f"chronotope services --server {base}", f"curl '{base}/api/v1/graph?format=mermaid'"]
    if server.grpc_address:
        tries.append(f"OTEL_EXPORTER_OTLP_ENDPOINT=http://{server.grpc_address} opentelemetry-instrument python app.py")
    console.print(f"\n[bold]chronotope is at {base}/[/bold]   (Ctrl-C ends it)\n\ntry:")
    for line in tries:
        console.print(f"  {line}", soft_wrap=True, highlight=False)
    console.print()
