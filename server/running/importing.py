"""Load history from files: spans, flows and metrics go through the same steps as live data.

Invariant: each call becomes part of an edge once, however often a file is imported.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from chronotope.ingest.files.flows.formats import read_flow_batches, write_flow_batch
from chronotope.ingest.files.spans.formats import read_batches
from chronotope.ingest.flows.rows import FlowVocabulary
from chronotope.ingest.identity.known import KnownIdentities
from chronotope.ingest.intermediaries.resolver import IntermediaryResolver
from chronotope.ingest.metrics.sources.files import MetricsImport
from chronotope.ingest.spans.attributes import write_attributes
from chronotope.ingest.spans.columns import Vocabulary
from chronotope.ingest.spans.pairer import Outcome
from chronotope.ingest.spans.resource_claims import ResourceClaims
from chronotope.schema.config.config import LEVELS, Config
from chronotope.schema.errors import Impossible
from chronotope.schema.storage.retention import retention_of
from chronotope.schema.storage.store import Store
from chronotope.schema.times import format_time
from chronotope.server.context.refresh import CatalogueRefresh
from chronotope.server.detection.watcher import find_events
from chronotope.server.evidence.settings import now_ms
from chronotope.server.running.flows import open_flow_writer
from chronotope.server.running.owners import known_identities
from chronotope.server.running.spans import Resolver, open_pairer

# A file, and what is called with the bytes done and their total while it is read.
Files = Iterable[tuple[Path, Callable[[int, int], None]]]


def import_files(store: Store, config: Config, files: Files, form: str, *, beyond_retention: bool) -> dict[str, object]:
    """Import files, then do what a server does with new data; return what was read, written and skipped.

    Args:
        store: open and migrated.
        config: owners of addresses, aliases, rules.
        files: with their progress.
        form: a format of spans, of flows, or `openmetrics`.
        beyond_retention: also what the store expires soon.

    Raises:
        Impossible: the input is older than what the store keeps at its finest level.
    """
    owners = known_identities(store, config)
    horizon_ns = None if beyond_retention else _horizon_ns(store)
    load = _FORMS.get(form, _import_spans)
    result = load(store, config, files, form, owners, horizon_ns)
    IntermediaryResolver(store, config, known_identities(store, config)).round()
    find_events(store, config.events, now_ms)
    CatalogueRefresh(store, config, now_ms).round()
    return result


def _import_metrics(
    store: Store, config: Config, files: Files, _: str, owners: KnownIdentities, horizon_ns: int | None
) -> dict[str, object]:
    loading = MetricsImport(config, owners.snapshot)
    observations = 0
    for path, on_progress in files:
        for table, token in loading.tables(path, on_progress):
            _check_horizon(pc.min(table.column("time")).as_py() * 10**9, horizon_ns)
            store.insert("observations", table, token)
            observations += table.num_rows
    return _result(loading.samples, observations, loading.pipeline.skipped)


def _import_flows(
    store: Store, config: Config, files: Files, form: str, owners: KnownIdentities, horizon_ns: int | None
) -> dict[str, object]:
    vocabulary, reasons = FlowVocabulary(), Counter[str]()
    writer = open_flow_writer(store, config, vocabulary, owners)
    read = observations = 0
    for path, on_progress in files:
        for batch in read_flow_batches(path, form, vocabulary, on_progress):
            read += batch.read
            reasons.update(batch.skipped)
            if batch.flows is not None:
                _check_horizon(int(batch.flows.rows["bucket"].min()) * 10**9, horizon_ns)
            outcome = write_flow_batch(writer, batch)
            observations += outcome.observations
            reasons.update(outcome.left_out)
            reasons["duplicate"] += outcome.duplicates
    return _result(read, observations, reasons)


def _import_spans(
    store: Store, config: Config, files: Files, form: str, owners: KnownIdentities, horizon_ns: int | None
) -> dict[str, object]:
    vocabulary = Vocabulary()
    claim = _claiming(store, config, owners)
    resolve = Resolver(vocabulary, owners, config.final_aliases, ResourceClaims(claim))
    pairer = open_pairer(store, config, vocabulary)
    total, read = Outcome(), 0
    for path, on_progress in files:
        for batch in read_batches(path, form, vocabulary, on_progress):
            if len(batch.rows):
                _check_horizon(int(batch.rows["start_ns"].min()), horizon_ns)
            resolve(batch)
            write_attributes(store, batch)
            total.add(pairer.accept(batch))
            read += batch.read
    return _result(read, total.observations, {**total.skipped, "duplicate": total.duplicates})


_FORMS = {"openmetrics": _import_metrics} | dict.fromkeys(("flows", "netobserv", "hubble", "vpc"), _import_flows)


def _claiming(store: Store, config: Config, owners: KnownIdentities) -> Callable[[pa.Table, str], object]:
    """Return what writes ownership ranges, and lets the flows in the store follow them."""
    writer = cache(lambda: open_flow_writer(store, config, FlowVocabulary(), owners))
    return lambda table, token: writer().claim(table, token)


def _result(read: int, observations: int, skipped: Mapping[str, int]) -> dict[str, object]:
    reasons = {reason: count for reason, count in sorted(skipped.items()) if count > 0}
    return {"read": read, "observations": observations, "skipped": sum(reasons.values()), "reasons": reasons}


def _horizon_ns(store: Store) -> int | None:
    """The instant before which some level of the store expires at once; None when it keeps everything."""
    kept = [seconds for key, seconds in retention_of(store).items() if seconds is not None and key in LEVELS]
    return int((time.time() - min(kept)) * 1e9) if kept else None


def _check_horizon(oldest_ns: int, horizon_ns: int | None) -> None:
    """Refuse what the store would expire at once."""
    if horizon_ns is not None and oldest_ns < horizon_ns:
        raise Impossible(
            f"the input reaches back to {format_time(oldest_ns // 10**6)}, but this store keeps its finest level only "
            f"since {format_time(horizon_ns // 10**6)}: raise `retention` in the server's configuration first, or "
            "import with --beyond-retention to keep only the coarser levels of it"
        )
