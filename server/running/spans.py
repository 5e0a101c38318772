"""The way of decoded spans into the store, put together for the server, the demo and imports."""

from __future__ import annotations

import socket
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from prometheus_client import CollectorRegistry, Counter, Gauge

from chronotope.ingest.columns.hashing import SEED
from chronotope.ingest.identity.known import KnownIdentities
from chronotope.ingest.otlp.decode import OtlpDecoder
from chronotope.ingest.spans.attributes import write_attributes
from chronotope.ingest.spans.columns import SPAN, Node, SpanBatch, Vocabulary
from chronotope.ingest.spans.index import first_seen
from chronotope.ingest.spans.observations import observations_of
from chronotope.ingest.spans.pairer import Outcome, Pairer
from chronotope.ingest.spans.pairing import Rules, calls_of
from chronotope.ingest.spans.peers import resolve_peers
from chronotope.ingest.spans.queue import SpanQueue
from chronotope.ingest.spans.resource_claims import Heartbeat, ResourceClaims
from chronotope.ingest.spans.shared_pairer import SharedPairer
from chronotope.ingest.writing.insert import PatientInsert
from chronotope.schema.config.config import Config
from chronotope.schema.storage.store import Store

Insert = Callable[[str, pa.Table, str], None]


@dataclass(slots=True)
class Resolver:
    """Turns a batch's hints about peers into nodes, by owners of addresses (those in the batch too) and aliases."""

    vocabulary: Vocabulary
    owners: KnownIdentities
    aliases: Mapping[str, str]
    claim: Callable[[Iterable[Heartbeat]], None] = lambda _: None

    def __call__(self, batch: SpanBatch) -> None:
        """Resolve a batch in place."""
        self.claim(batch.heartbeats)
        until_ms = int(batch.rows["start_ns"].max(initial=0)) // 10**6 + 1
        resolve_peers(batch, self.vocabulary, self.owners.snapshot(until_ms), self.aliases)


class SpanMetrics:
    """The span pipeline's own metrics."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.spans = Counter("chronotope_spans", "Spans taken, by outcome.", ["outcome"], registry=registry)
        self.skipped = Counter(
            "chronotope_spans_skipped", "Spans without an edge, by reason.", ["reason"], registry=registry
        )
        self.observations = Counter("chronotope_observations", "Edge observations written.", registry=registry)
        self.queued = Gauge("chronotope_spans_queued", "Spans that wait for the writer.", registry=registry)
        self.failing = Gauge("chronotope_store_failing", "1 while the store takes no inserts.", registry=registry)
        self.waiting = Gauge("chronotope_halves_waiting", "Lone halves that wait for their answer.", registry=registry)
        self.remembered = Gauge("chronotope_spans_remembered", "Spans held in memory for pairing.", registry=registry)

    def count(self, outcome: Outcome) -> None:
        """Count what one batch did."""
        self.spans.labels("new").inc(outcome.spans)
        self.spans.labels("duplicate").inc(outcome.duplicates)
        self.observations.inc(outcome.observations)
        for reason, count in outcome.skipped.items():
            if count > 0:
                self.skipped.labels(reason).inc(count)


def open_pairer(store: Store, config: Config, vocabulary: Vocabulary, insert: Insert | None = None) -> Pairer:
    """Return a pairer that has finished what an earlier writer left. Without `insert` it uses the store's own."""
    entry = config.trace.entry_node
    options: dict[str, Any] = {
        "answer_wait_s": float(config.trace.answer_wait),
        "entry_node": vocabulary.nodes.code(Node(entry, "external")) if entry != "none" else -1,
        "insert": insert,
    }
    if store.location.embedded:
        pairer = Pairer(store, vocabulary, **options)
    else:  # others may write to the same tables
        pairer = SharedPairer(store, vocabulary, writer=f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}", **options)
    pairer.recover()
    return pairer


def open_span_queue(
    store: Store,
    config: Config,
    vocabulary: Vocabulary,
    owners: KnownIdentities,
    registry: CollectorRegistry,
    claim: Callable[[pa.Table, str], object] = lambda _, __: None,
) -> tuple[SpanQueue, threading.Event]:
    """Return a queue that is ready to start, and the event that makes its inserts give up.

    Args:
        claim: makes ownership ranges durable, columns of the table `identities`, under a token.
    """
    stopping = threading.Event()
    metrics = SpanMetrics(registry)
    insert = PatientInsert(store, stopping)
    pairer = open_pairer(store, config, vocabulary, insert)
    queue = SpanQueue(
        pairer,
        Resolver(vocabulary, owners, config.final_aliases, ResourceClaims(claim)),
        on_outcome=metrics.count,
        write_attributes=lambda batch: write_attributes(store, batch),
        store_fails=lambda: insert.failing,
    )
    metrics.failing.set_function(lambda: insert.failing)
    metrics.queued.set_function(lambda: queue.queued_spans)
    metrics.waiting.set_function(lambda: pairer.waiting)
    metrics.remembered.set_function(lambda: pairer.remembered)
    return queue, stopping


def warm_up(decoder: OtlpDecoder) -> None:
    """Compile, or load, the code that the first spans need: some seconds on a machine's first start."""
    vocabulary = Vocabulary()
    row = np.zeros(1, SPAN)
    row["service"], row["peer"] = vocabulary.service("service"), -1
    calls = calls_of(row[first_seen(row[:0], row, SEED)], Rules(vocabulary)).calls
    observations_of(calls, calls, vocabulary)
    decoder.decode(b"")
