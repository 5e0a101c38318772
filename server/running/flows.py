"""The way of flow records into the store, put together for the server and for imports."""

from __future__ import annotations

import socket
import threading
import uuid
from collections.abc import Callable

import numpy as np
import pyarrow as pa
from prometheus_client import CollectorRegistry, Counter, Gauge

from chronotope.ingest.flows.address_book import AddressBook
from chronotope.ingest.flows.attribution import Attribution
from chronotope.ingest.flows.deduplication import settle, settle_beside
from chronotope.ingest.flows.directions import Directions
from chronotope.ingest.flows.edges import EdgeSums, Rules, flow_rules
from chronotope.ingest.flows.ports import PortProtocols
from chronotope.ingest.flows.queue import FlowQueue
from chronotope.ingest.flows.rows import CLIENT, FLOW, FlowVocabulary
from chronotope.ingest.flows.shared_writer import SharedFlowWriter
from chronotope.ingest.flows.telemetry import Telemetry
from chronotope.ingest.flows.writer import FlowWriter, Outcome
from chronotope.ingest.identity.known import KnownIdentities
from chronotope.ingest.identity.owners import Identities
from chronotope.ingest.writing.insert import PatientInsert
from chronotope.schema.config.config import Config
from chronotope.schema.storage.store import Store
from chronotope.server.running.owners import configured_owners

Insert = Callable[[str, pa.Table, str], None]


class FlowMetrics:
    """The flow pipeline's own metrics."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.rows = Counter("chronotope_flows", "Flow records by bucket, by outcome.", ["outcome"], registry=registry)
        self.left_out = Counter(
            "chronotope_flows_left_out", "Flow records of no edge, by reason.", ["reason"], registry=registry
        )
        self.observations = Counter(
            "chronotope_flow_observations", "Edge observations written of flows.", registry=registry
        )
        self.queued = Gauge("chronotope_flows_queued", "Flows that wait for the writer.", registry=registry)
        self.remembered = Gauge("chronotope_flows_remembered", "Flows held in memory.", registry=registry)

    def count(self, outcome: Outcome) -> None:
        """Count what one batch did."""
        self.rows.labels("new").inc(outcome.rows)
        self.rows.labels("duplicate").inc(outcome.duplicates)
        self.observations.inc(outcome.observations)
        for reason, count in outcome.left_out.items():
            if count > 0:
                self.left_out.labels(reason).inc(count)


def open_flow_writer(
    store: Store, config: Config, vocabulary: FlowVocabulary, owners: KnownIdentities, insert: Insert | None = None
) -> FlowWriter:
    """Return a writer that has finished what an earlier one left. Without `insert` it uses the store's own."""
    if not store.location.embedded:  # others may write to the same tables
        name = f"{socket.gethostname()}-{uuid.uuid4().hex[:8]}"
        return open_shared_writer(store, config, vocabulary, owners, insert, writer=name)
    attribute = Attribution(vocabulary, config.final_aliases)
    writer = FlowWriter(store, vocabulary, owners, flow_rules(config, vocabulary), attribute, insert=insert)
    writer.recover(KnownIdentities(configured_owners(config)))
    return writer


def open_shared_writer(
    store: Store,
    config: Config,
    vocabulary: FlowVocabulary,
    owners: KnownIdentities,
    insert: Insert | None = None,
    *,
    writer: str,
) -> SharedFlowWriter:
    """Return what `open_flow_writer` does, for a store that others write to as well.

    Args:
        owners: gets the claims of all of them.
        writer: a name that no other ever had.
    """
    configured = configured_owners(config)
    shared = SharedFlowWriter(
        store,
        vocabulary,
        KnownIdentities(configured),
        flow_rules(config, vocabulary),
        Attribution(vocabulary, config.final_aliases),
        insert=insert,
        writer=writer,
        configured=configured,
        all_claims=owners,
    )
    shared.recover(KnownIdentities(configured))
    return shared


def warm_up_flows() -> None:
    """Compile, or load, the code that the first flows need."""
    row = np.zeros(1, FLOW)
    row["observer"] = CLIENT
    row["own"] = -1
    vocabulary = FlowVocabulary()
    vocabulary.addresses.code("192.0.2.1")
    vocabulary.node("client", "service")
    vocabulary.node("server", "service")
    Attribution(vocabulary, {})(row, Identities())
    settle(row)
    settle_beside(row, [row.copy()], np.ones(1, np.bool_), row["bucket"])
    row["caller"], row["callee"] = 0, 1
    sums = EdgeSums(Rules(PortProtocols({}, vocabulary), Telemetry([], [], [], vocabulary)))
    sums.add(row)
    sums.observations(vocabulary)
    Directions(vocabulary).write(sums.directions(), lambda *_: None)
    AddressBook(vocabulary).note(row["client"], row["start"], row["start"])


def open_flow_queue(
    store: Store, config: Config, vocabulary: FlowVocabulary, owners: KnownIdentities, registry: CollectorRegistry
) -> tuple[FlowQueue, threading.Event]:
    """Return a queue that is ready to start, and the event that makes its inserts give up."""
    stopping = threading.Event()
    metrics = FlowMetrics(registry)
    insert = PatientInsert(store, stopping)
    writer = open_flow_writer(store, config, vocabulary, owners, insert)
    queue = FlowQueue(writer, on_outcome=metrics.count, store_fails=lambda: insert.failing)
    metrics.queued.set_function(lambda: queue.queued_rows)
    metrics.remembered.set_function(lambda: writer.remembered)
    return queue, stopping
