"""`chronotope import`: history from files into the store."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
import orjson
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from chronotope.schema.config import Config, load_config
from chronotope.schema.errors import Impossible
from chronotope.schema.migrate import migrate
from chronotope.schema.retention import retention_of
from chronotope.schema.store import Store
from chronotope.schema.times import format_time

if TYPE_CHECKING:
    from chronotope.ingest.spans.columns import SpanBatch
    from chronotope.ingest.spans.pairer import Outcome

FORMATS = ("otlp", "jaeger", "zipkin", "spans")


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
    """
    config = load_config(config_path) if config_path else Config()
    with Store.open(url) as store:
        migrate(store)
        result = _import(store, config, paths, form, None if beyond_retention else _horizon_ns(store))
    if output == "json":
        sys.stdout.buffer.write(orjson.dumps(result) + b"\n")
    else:
        _print(result)


def _import(
    store: Store, config: Config, paths: tuple[Path, ...], form: str, horizon_ns: int | None
) -> dict[str, object]:
    from chronotope.ingest.importers.source import read_batches
    from chronotope.ingest.spans.attributes import write_attributes
    from chronotope.ingest.spans.columns import Vocabulary
    from chronotope.ingest.spanwriter import Resolver, known_identities, open_pairer

    vocabulary = Vocabulary()
    resolve = Resolver(vocabulary, known_identities(store, config), config.final_aliases)
    pairer = open_pairer(store, config, vocabulary)
    total, read = _new_outcome(), 0
    with _progress() as progress:
        for path in paths:
            task = progress.add_task(str(path.name), total=None)

            def on_progress(done: int, size: int, task: object = task) -> None:
                progress.update(task, completed=done, total=size or None)  # type: ignore[arg-type]

            for batch in _checked(read_batches(path, form, vocabulary, on_progress), horizon_ns):
                resolve(batch)
                write_attributes(store, batch)
                total.add(pairer.accept(batch))
                read += batch.read
    return _result(read, total)


def _new_outcome() -> Outcome:
    from chronotope.ingest.spans.pairer import Outcome

    return Outcome()


def _result(read: int, total: Outcome) -> dict[str, object]:
    reasons = Counter({reason: count for reason, count in total.skipped.items() if count > 0})
    if total.duplicates:
        reasons["duplicate"] = total.duplicates
    return {
        "read": read,
        "observations": total.observations,
        "skipped": sum(reasons.values()),
        "reasons": dict(sorted(reasons.items())),
    }


def _horizon_ns(store: Store) -> int | None:
    """The instant before which some level of the store expires at once; None when it keeps everything."""
    kept = [seconds for level, seconds in retention_of(store).items() if seconds is not None and level != "spans"]
    return int((time.time() - min(kept)) * 1e9) if kept else None


def _checked(batches: Iterator[SpanBatch], horizon_ns: int | None) -> Iterator[SpanBatch]:
    for batch in batches:
        if horizon_ns is not None and len(batch.rows) and int(batch.rows["start_ns"].min()) < horizon_ns:
            oldest = format_time(int(batch.rows["start_ns"].min()) // 10**6)
            raise Impossible(
                f"the input reaches back to {oldest}, but this store keeps its finest level only since "
                f"{format_time(horizon_ns // 10**6)}: raise `retention` in the server's configuration first, or import "
                "with --beyond-retention to keep only the coarser levels of it"
            )
        yield batch


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    return Progress(*columns, console=console, disable=not console.is_terminal)


def _print(result: dict[str, object]) -> None:
    console = Console()
    console.print(f"read {result['read']:,} spans, wrote {result['observations']:,} observations")
    reasons = result["reasons"]
    if isinstance(reasons, dict) and reasons:
        for reason, count in reasons.items():
            console.print(f"  {count:>12,} {_WORDS.get(reason, reason)}")


_WORDS = {
    "duplicate": "known already (counted once)",
    "no_peer": "client spans that name nobody and that nobody answered",
    "no_service": "without service.name",
    "bad_id": "with an id that is no trace or span id",
    "time_out_of_range": "with a time outside 2000 to 2100",
}
