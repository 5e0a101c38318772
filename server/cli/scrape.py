"""`chronotope scrape`: metrics of Prometheus servers and endpoints into the store, live or of the past."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import orjson
from rich.console import Console
from rich.progress import TaskID, TextColumn

from chronotope.schema.config.config import Config, load_config
from chronotope.schema.config.metrics import PrometheusEntry, TargetEntry
from chronotope.schema.errors import InvalidValue, InvalidWindow
from chronotope.schema.storage.migrate import migrate
from chronotope.schema.storage.store import Store
from chronotope.schema.times import parse_time
from chronotope.server.cli.tables import progress_bar
from chronotope.server.evidence.settings import now_ms

if TYPE_CHECKING:
    from chronotope.ingest.metrics.sources.collector import MetricsCollector

_CHECKED_MS = 300_000  # how much of the past `--check` looks at


@click.command()
@click.option("--prometheus", "servers", multiple=True, metavar="URL", help="A Prometheus, such as http://host:9090.")
@click.option("--target", "targets", multiple=True, metavar="URL", help="An endpoint with metrics, with its path.")
@click.option(
    "--config", "config_path", type=click.Path(path_type=Path), help="YAML with metrics, identities, aliases."
)
@click.option("--store", "url", envvar="CHRONOTOPE_STORE", help="Where to: chdb:///path or clickhouse://…")
@click.option("--from", "begin", metavar="TIME", help="Read the past of the Prometheus servers from this time on.")
@click.option("--to", "end", metavar="TIME", help="And to this time.  [default: now]")
@click.option("--rounds", type=click.IntRange(1), help="Stop after so many rounds of live reading.")
@click.option("--check", is_flag=True, help="Show what would be found, and write nothing.")
@click.option("--format", "output", type=click.Choice(["table", "json"]), default="table", help="How to print.")
def scrape(
    servers: tuple[str, ...],
    targets: tuple[str, ...],
    config_path: Path | None,
    url: str | None,
    begin: str | None,
    end: str | None,
    rounds: int | None,
    check: bool,
    output: str,
) -> None:
    """Read who called whom from metrics, live until it is stopped, or of the past.

    A backfill that was stopped goes on where it was, and what is in the store already is not read again.

    \b
    Examples:
      chronotope scrape --prometheus http://prometheus:9090 --check
      chronotope scrape --prometheus http://prometheus:9090 --from now-7d --store chdb:///var/lib/chronotope
      chronotope scrape --config chronotope.yaml --store clickhouse://default@clickhouse:8123/chronotope
      chronotope scrape --target http://10.0.0.5:9100/metrics --store chdb:///tmp/topology
    """
    config = _with_sources(load_config(config_path) if config_path else Config(), servers, targets)
    if check:
        _print_check(_check(config, url), output)
        return
    if not url:
        raise InvalidValue("no store is given; use --store STORE or CHRONOTOPE_STORE, or --check to only look")
    with Store.open(url) as store:
        migrate(store)
        if begin or end:
            _backfill(store, config, begin, end, output)
        else:
            _live(store, config, rounds)


def _with_sources(config: Config, servers: tuple[str, ...], targets: tuple[str, ...]) -> Config:
    for address in (*servers, *targets):
        if not address.startswith(("http://", "https://")):
            raise InvalidValue(f"{address!r} is not an address; accepted: http://host:port/path")
    more = {
        "prometheus": [*config.metrics.prometheus, *(PrometheusEntry(url=address) for address in servers)],
        "targets": [*config.metrics.targets, *(TargetEntry(url=address) for address in targets)],
    }
    if not any(more.values()):
        raise InvalidValue("nothing to read; use --prometheus URL, --target URL or `metrics:` in --config FILE")
    return config.model_copy(update={"metrics": config.metrics.model_copy(update=more)})


def _live(store: Store, config: Config, rounds: int | None) -> None:
    from chronotope.ingest.metrics.sources.collector import MetricsCollector
    from chronotope.server.running.owners import known_identities

    collector = MetricsCollector(store, config, known_identities(store, config).snapshot)
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: collector.rounds.stop(0))
    sources = len(config.metrics.targets) + len(config.metrics.prometheus)
    click.echo(f"reading {sources} sources every {config.metrics.interval} s", err=True)
    collector.rounds.run(rounds)
    _summary(collector)


def _summary(collector: MetricsCollector) -> None:
    used = collector.pipeline.series()["used"]
    click.echo(f"stopped; {used:,} series of scraped targets were in use", err=True)


def _backfill(store: Store, config: Config, begin: str | None, end: str | None, output: str) -> None:
    from chronotope.ingest.metrics.mapping.pipeline import MetricsPipeline
    from chronotope.ingest.metrics.sources.collector import open_backfill
    from chronotope.server.running.owners import known_identities

    if begin is None:
        raise InvalidValue("--to is given without --from; a backfill needs its beginning")
    if not config.metrics.prometheus:
        raise InvalidValue("--from needs a Prometheus: an endpoint's own metrics have no past; use --prometheus URL")
    now = now_ms()
    begin_ms, end_ms = parse_time(begin, now, name="--from"), min(parse_time(end or "now", now, name="--to"), now)
    if begin_ms >= end_ms:
        raise InvalidWindow("--from is not before --to")
    identities = known_identities(store, config).snapshot
    result: dict[str, Any] = {"read": 0, "observations": 0, "chunks": 0, "known_seconds": 0.0, "reasons": {}}
    with progress_bar(TextColumn("{task.percentage:>3.0f} %")) as progress:
        for entry in config.metrics.prometheus:
            pipeline = MetricsPipeline(config, identities)
            task = progress.add_task(entry.url, total=end_ms - begin_ms)

            def on_progress(done_ms: int, _: int, task: TaskID = task) -> None:
                progress.update(task, completed=done_ms)

            backfill = open_backfill(store, entry, pipeline)
            done = backfill.run(begin_ms, end_ms, on_progress=on_progress)
            result["read"] += done.samples
            result["observations"] += done.observations
            result["chunks"] += done.chunks
            result["known_seconds"] += done.known_ms / 1000
            for reason, count in backfill.skipped.items():
                result["reasons"][reason] = result["reasons"].get(reason, 0) + count
    if output == "json":
        sys.stdout.buffer.write(orjson.dumps(result) + b"\n")
        return
    console = Console()
    console.print(f"read {result['read']:,} samples, wrote {result['observations']:,} observations")
    console.print(f"{result['chunks']} chunks were read; {result['known_seconds']:,.0f} s were in the store already")
    for reason, count in sorted(result["reasons"].items()):
        console.print(f"  {count:>12,} {reason}")


def _check(config: Config, url: str | None) -> list[dict[str, Any]]:
    """Return one report for each source."""
    from chronotope.ingest.identity.known import KnownIdentities, configured_claims
    from chronotope.ingest.identity.owners import Identities
    from chronotope.ingest.metrics.sources.sample import check_prometheus, check_target
    from chronotope.server.running.owners import known_identities

    snapshot: Identities = KnownIdentities(configured_claims(config.identities)).snapshot()
    if url:
        with Store.open(url) as store:
            migrate(store)
            snapshot = known_identities(store, config).snapshot()
    now = now_ms()
    reports = [check_target(config, entry, snapshot, now) for entry in config.metrics.targets]
    return reports + [
        check_prometheus(config, entry, snapshot, now - _CHECKED_MS, now) for entry in config.metrics.prometheus
    ]


def _print_check(reports: list[dict[str, Any]], output: str) -> None:
    if output == "json":
        sys.stdout.buffer.write(orjson.dumps({"sources": reports}) + b"\n")
        return
    for report in reports:
        click.echo(
            f"{report['source']}: {report['used']} of {report['series']} series of known metrics are used, ", nl=False
        )
        click.echo(f"{report['other_metrics']} other metrics or samples are not read")
        for mapping in report["mappings"]:
            families = ", ".join(f"{name} ({count})" for name, count in mapping["families"].items())
            click.echo(f"  {mapping['preset'] or 'own'} / {mapping['mapping']}: {families}")
            for edge in mapping["edges"]:
                click.echo(f"    {edge['source']} → {edge['target']} ({edge['protocol']})")
        for unused in report["unused"]:
            click.echo(f"  not used: {unused['series']} series, {unused['detail']}; such as {unused['examples'][0]}")
