"""`chronotope import`: history from files into the store."""

from __future__ import annotations

import logging
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import click
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from chronotope.schema.config.config import LEVELS, Config, load_config
from chronotope.schema.errors import Impossible
from chronotope.schema.storage.migrate import migrate
from chronotope.schema.storage.retention import retention_of
from chronotope.schema.storage.store import Store
from chronotope.schema.times import format_time
from chronotope.server.evidence.settings import now_ms
from chronotope.server.running.logs import log_to_stderr

if TYPE_CHECKING:
    from chronotope.ingest.identity.known import KnownIdentities
    from chronotope.ingest.spans.columns import SpanBatch
    from chronotope.ingest.spans.pairer import Outcome

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
    log_to_stderr(logging.WARNING)
    config = load_config(config_path) if config_path else Config()
    with Store.open(url) as store:
        migrate(store)
        load = import_metrics if form == "openmetrics" else import_flows if form in FLOW_FORMATS else _import
        result = load(store, config, paths, form, None if beyond_retention else _horizon_ns(store))
        _resolve(store, config)
        _find_events(store, config)
        _refresh_catalogue(store, config)
    if output == "json":
        sys.stdout.buffer.write(orjson.dumps(result) + b"\n")
    else:
        _print(result, "samples" if form == "openmetrics" else "flows" if form in FLOW_FORMATS else "spans")


def _resolve(store: Store, config: Config) -> None:
    """Resolve hops through intermediaries in what was imported, as a server would."""
    from chronotope.ingest.intermediaries.driver import Intermediaries
    from chronotope.server.running.owners import known_identities

    Intermediaries(store, config, known_identities(store, config)).round()


def _find_events(store: Store, config: Config) -> None:
    """Find which dependencies appeared and vanished in what was imported, as a server would."""
    from chronotope.server.detection.watcher import find_events

    find_events(store, config.events, now_ms)


def _refresh_catalogue(store: Store, config: Config) -> None:
    """Write what the catalogue says of the services that there are now, as a server would."""
    from chronotope.server.context.refresh import CatalogueRefresh

    CatalogueRefresh(store, config, now_ms).round()


def import_metrics(
    store: Store, config: Config, paths: tuple[Path, ...], _: str, horizon_ns: int | None
) -> dict[str, object]:
    """Import files of metrics; return what was read, written and skipped."""
    from chronotope.ingest.metrics.sources.files import MetricsImport
    from chronotope.server.running.owners import known_identities

    loading = MetricsImport(config, known_identities(store, config).snapshot)
    observations = 0
    with _progress() as progress:
        for path in paths:
            task = progress.add_task(str(path.name), total=None)

            def on_progress(done: int, size: int, task: object = task) -> None:
                progress.update(task, completed=done, total=size or None)  # type: ignore[arg-type]

            for table, token in loading.tables(path, on_progress):
                _check_horizon(pc.min(table.column("time")).as_py() * 10**9, horizon_ns)
                store.insert("observations", table, token)
                observations += table.num_rows
    reasons = dict(sorted(loading.pipeline.skipped.items()))
    return {
        "read": loading.samples,
        "observations": observations,
        "skipped": sum(reasons.values()),
        "reasons": reasons,
    }


def import_flows(
    store: Store, config: Config, paths: tuple[Path, ...], form: str, horizon_ns: int | None
) -> dict[str, object]:
    """Import files of flows; return what was read, written and skipped."""
    from chronotope.ingest.files.flows.formats import read_flow_batches, write_flow_batch
    from chronotope.ingest.flows.rows import FlowVocabulary
    from chronotope.server.running.flows import open_flow_writer
    from chronotope.server.running.owners import known_identities

    vocabulary, reasons = FlowVocabulary(), Counter[str]()
    writer = open_flow_writer(store, config, vocabulary, known_identities(store, config))
    read = observations = 0
    with _progress() as progress:
        for path in paths:
            task = progress.add_task(str(path.name), total=None)

            def on_progress(done: int, size: int, task: object = task) -> None:
                progress.update(task, completed=done, total=size or None)  # type: ignore[arg-type]

            for batch in read_flow_batches(path, form, vocabulary, on_progress):
                read += batch.read
                reasons.update(batch.skipped)
                if batch.flows is not None:
                    _check_horizon(int(batch.flows.rows["bucket"].min()) * 10**9, horizon_ns)
                outcome = write_flow_batch(writer, batch)
                observations += outcome.observations
                reasons.update(outcome.left_out)
                reasons["duplicate"] += outcome.duplicates
    reasons = +reasons
    return {
        "read": read,
        "observations": observations,
        "skipped": reasons.total(),
        "reasons": dict(sorted(reasons.items())),
    }


def _import(
    store: Store, config: Config, paths: tuple[Path, ...], form: str, horizon_ns: int | None
) -> dict[str, object]:
    from chronotope.ingest.files.spans.formats import read_batches
    from chronotope.ingest.spans.attributes import write_attributes
    from chronotope.ingest.spans.columns import Vocabulary
    from chronotope.ingest.spans.own_claims import OwnAddresses
    from chronotope.server.running.owners import known_identities
    from chronotope.server.running.spans import Resolver, open_pairer

    vocabulary, owners = Vocabulary(), known_identities(store, config)
    claim = _claiming(store, config, owners)
    resolve = Resolver(vocabulary, owners, config.final_aliases, OwnAddresses(claim))
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


def _claiming(store: Store, config: Config, owners: KnownIdentities) -> Callable[[pa.Table, str], object]:
    """Return what takes ownership ranges; the flows in the store follow them."""
    from chronotope.ingest.flows.rows import FlowVocabulary
    from chronotope.server.running.flows import open_flow_writer

    writer = cache(lambda: open_flow_writer(store, config, FlowVocabulary(), owners))
    return lambda table, token: writer().claim(table, token)


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
    kept = [seconds for key, seconds in retention_of(store).items() if seconds is not None and key in LEVELS]
    return int((time.time() - min(kept)) * 1e9) if kept else None


def _checked(batches: Iterator[SpanBatch], horizon_ns: int | None) -> Iterator[SpanBatch]:
    for batch in batches:
        if len(batch.rows):
            _check_horizon(int(batch.rows["start_ns"].min()), horizon_ns)
        yield batch


def _check_horizon(oldest_ns: int, horizon_ns: int | None) -> None:
    """Refuse what the store would expire at once."""
    if horizon_ns is not None and oldest_ns < horizon_ns:
        raise Impossible(
            f"the input reaches back to {format_time(oldest_ns // 10**6)}, but this store keeps its finest level only "
            f"since {format_time(horizon_ns // 10**6)}: raise `retention` in the server's configuration first, or "
            "import with --beyond-retention to keep only the coarser levels of it"
        )


def _progress() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    return Progress(*columns, console=console, disable=not console.is_terminal)


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
