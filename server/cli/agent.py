"""`chronotope agent`: collectors that run on every host."""

from __future__ import annotations

import logging
import re
import signal
import sys
import threading
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from chronotope.schema.config.config import Config, load_config
from chronotope.schema.errors import InvalidValue
from chronotope.schema.times import parse_duration
from chronotope.server.running.listening import parse_address
from chronotope.server.running.logs import log_to_stderr

if TYPE_CHECKING:
    from prometheus_client.registry import Collector as MetricsCollector

_BUCKET_S = 10
_SIZE = re.compile(r"(\d{1,12})\s*(|[KMG]i?B?|B)", re.ASCII | re.IGNORECASE)
_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


@click.group()
def agent() -> None:
    """Collectors that run on every host."""


@agent.command()
@click.option("--server", metavar="URL", help="The server that gets the flows, such as http://chronotope:8428.")
@click.option("--interval", default="2s", show_default=True, help="Time between two reads: 1s, 2s, 5s, 10s, 20s, …")
@click.option("--spool", type=click.Path(path_type=Path), help="Where batches wait for the server.  [default: memory]")
@click.option(
    "--spool-limit", default="256MiB", show_default=True, help="How much waits; beyond it the oldest is lost."
)
@click.option("--config", "config_path", type=click.Path(path_type=Path), help="YAML with a section `agent`.")
@click.option("--host", default="", help="This host's name in records.  [default: the system's]")
@click.option("--metrics-listen", metavar="HOST:PORT", help="Where Prometheus may read the agent's own metrics.")
@click.option("--duration", help="Stop after this time.")
@click.option("--check", is_flag=True, help="Say what this host can do, and stop.")
@click.option("--verbose", is_flag=True, help="Log more.")
def flows(
    server: str | None,
    interval: str,
    spool: Path | None,
    spool_limit: str,
    config_path: Path | None,
    host: str,
    metrics_listen: str | None,
    duration: str | None,
    check: bool,
    verbose: bool,
) -> None:
    """Watch every TCP connection and UDP pair of this host by eBPF, and send them as flow records.

    \b
    Examples:
      chronotope agent flows --check
      chronotope agent flows --server http://chronotope:8428 --spool /var/spool/chronotope
    """
    if check:
        _check()
        return
    if not server:
        raise InvalidValue("no server is given; use --server URL, or --check to only look")
    _spare_memory()
    from chronotope.ingest.agent.agent import AgentSettings, FlowAgent

    log_to_stderr(logging.DEBUG if verbose else logging.INFO)
    config = load_config(config_path) if config_path else Config()
    settings = AgentSettings(
        server=server,
        interval_s=_interval(interval),
        spool=spool,
        spool_limit_bytes=_size(spool_limit),
        host=host,
    )
    longest_s = parse_duration(duration, name="--duration") if duration else None
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    with FlowAgent(settings, config.agent) as running:
        if metrics_listen:
            _serve_metrics(running.metrics, metrics_listen)
        click.echo(f"watching flows, sending to {server} every {settings.interval_s} s", err=True)
        if longest_s is not None:
            timer = threading.Timer(longest_s, stopping.set)
            timer.daemon = True
            timer.start()
        running.run(stopping)


class _WithoutPandas(MetaPathFinder):
    """Keeps pyarrow from importing pandas: an agent has no use for these 40 MB."""

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: object = None) -> ModuleSpec | None:
        """Refuse pandas, as if it were not there."""
        if fullname == "pandas":
            raise ModuleNotFoundError("pandas is not used by an agent", name=fullname)
        return None


def _spare_memory() -> None:
    """Keep this process small: it runs on every host beside others."""
    sys.meta_path.insert(0, _WithoutPandas())
    import pyarrow

    pyarrow.set_memory_pool(pyarrow.system_memory_pool())  # the default keeps what it freed: 15 MB


def _serve_metrics(metrics: MetricsCollector, text: str) -> None:
    from prometheus_client import CollectorRegistry, start_http_server

    address = parse_address(text, "--metrics-listen")
    if address is None:
        return
    registry = CollectorRegistry()
    registry.register(metrics)
    try:
        start_http_server(address.port, address.host, registry)
    except OSError as error:
        raise InvalidValue(f"--metrics-listen {address} cannot be opened: {error.strerror}") from error


def _check() -> None:
    from chronotope.bpf.requirements import check_host

    found = check_host()
    for requirement in found:
        mark = "ok     " if requirement.met else "MISSING" if requirement.needed else "limited"
        click.echo(f"{mark}  {requirement.name}: {requirement.detail}")
    if any(requirement.needed and not requirement.met for requirement in found):
        raise click.exceptions.Exit(1)


def _interval(text: str) -> int:
    seconds = parse_duration(text, name="--interval")
    if seconds < 1 or (_BUCKET_S % seconds and seconds % _BUCKET_S):
        raise InvalidValue(
            f"--interval {text!r} does not fit ten-second buckets; accepted: 1s, 2s, 5s, or tens of seconds"
        )
    return seconds


def _size(text: str) -> int:
    found = _SIZE.fullmatch(text.strip())
    if not found or not int(found[1]):
        raise InvalidValue(f"--spool-limit {text!r} is not a size; accepted: bytes, or as in 64KiB, 256MiB, 2GiB")
    return int(found[1]) * _UNITS[found[2][:1].upper().replace("B", "")]
