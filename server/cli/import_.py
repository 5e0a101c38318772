"""`chronotope import`: history from files into the store."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import click
import orjson
from rich.console import Console
from rich.progress import DownloadColumn, TaskID

from chronotope.schema.config.config import Config, load_config
from chronotope.schema.storage.migrate import migrate
from chronotope.schema.storage.store import Store
from chronotope.server.cli.tables import progress_bar
from chronotope.server.running.logs import log_to_stderr

FLOW_FORMATS = ("flows", "netobserv", "hubble", "vpc")
FORMATS = ("otlp", "jaeger", "zipkin", "spans", "openmetrics", *FLOW_FORMATS)


@click.command("import")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATH…")
@click.option("--input", "form", required=True, type=click.Choice(FORMATS), help="What the files hold.")
@click.option(
    "--store", "url", required=True, envvar="CHRONOTOPE_STORE", help="Where to: chdb:///path or clickhouse://…"
)
@click.option("--config", "config_path", type=click.Path(path_type=Path), help="YAML with identities, aliases, rules.")
@click.option(
    "--beyond-retention", is_flag=True, help="Import also what the store will soon expire at fine resolution."
)
@click.option(
    "--format", "output", type=click.Choice(["table", "json"]), default="table", help="How to print the result."
)
def import_(
    paths: tuple[Path, ...], form: str, url: str, config_path: Path | None, beyond_retention: bool, output: str
) -> None:
    """Load history from files: each call becomes part of an edge, once, however often a file is imported.

    \b
    Examples:
      chronotope import spans.parquet --input spans --store chdb:///var/lib/chronotope
      chronotope import traces/*.json.gz --input jaeger --store chdb:///tmp/topology
      zcat requests.jsonl.gz | chronotope import - --input otlp --store chdb:///tmp/topology
      chronotope import metrics.om.gz --input openmetrics --config chronotope.yaml --store chdb:///tmp/topology
      chronotope import flows.json.gz --input netobserv --store chdb:///tmp/topology
    """
    from chronotope.server.running.importing import import_files

    log_to_stderr(logging.WARNING)
    config = load_config(config_path) if config_path else Config()
    with Store.open(url) as store:
        migrate(store)
        result = import_files(store, config, _with_progress(paths), form, beyond_retention=beyond_retention)
    if output == "json":
        sys.stdout.buffer.write(orjson.dumps(result) + b"\n")
    else:
        _print(result, "samples" if form == "openmetrics" else "flows" if form in FLOW_FORMATS else "spans")


def _with_progress(paths: Iterable[Path]) -> Iterator[tuple[Path, Callable[[int, int], None]]]:
    """Yield each file with what shows how much of it is read."""
    with progress_bar(DownloadColumn()) as progress:
        for path in paths:
            task = progress.add_task(str(path.name), total=None)

            def on_progress(done: int, size: int, task: TaskID = task) -> None:
                progress.update(task, completed=done, total=size or None)

            yield path, on_progress


def _print(result: dict[str, object], what: str) -> None:
    console = Console()
    console.print(f"read {result['read']:,} {what}, wrote {result['observations']:,} observations")
    reasons = result["reasons"]
    if isinstance(reasons, dict) and reasons:
        for reason, count in reasons.items():
            console.print(f"  {count:>12,} {_WORDS.get(reason, reason)}")


_WORDS = {
    "other_end": "that the client's side told already",
    "same_service": "within one service",
    "telemetry": "of telemetry",
    "bad_record": "with a field that cannot be used",
    "not_a_flow": "that are no flows",
    "other_protocol": "neither TCP nor UDP",
    "dropped": "of packets that were dropped",
    "not_used": "of metrics that say nothing of an edge",
    "callers_are_named": "counted by servers too, whose callers are known",
    "gap": "too long after the sample before it",
    "duplicate_time": "at the same time as the sample before it",
    "out_of_order": "earlier than the sample before it",
    "not_a_count": "negative or infinite",
    "no_timestamp": "lines without a timestamp",
    "duplicate": "known already (counted once)",
    "no_peer": "client spans that name nobody and that nobody answered",
    "no_service": "without service.name",
    "bad_id": "with an id that is no trace or span id",
    "time_out_of_range": "with a time outside 2000 to 2100",
}
