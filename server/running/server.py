"""A running server, put together in one place: `open_server` names every part and how they are joined.

| part | made by |
| --- | --- |
| spans: decode, pair, write | `spans.py` |
| flows: attribute, write | `flows.py` |
| owners of addresses | `owners.py` |
| rules, notifications, stream of changes | `alerting.py` |
| routes and OpenAPI | `server/api/app.py`; routes that receive data are in `ingest` |
| threads: intermediaries, events, metrics, catalogue | `_background` below |
| sockets; web server | `listening.py`; `web.py` |

`importing.py` joins the same parts for files. Invariant: stopping first refuses new data and writes what was accepted,
then answers every request that came, then closes the store.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

from flask import Blueprint
from prometheus_client import CollectorRegistry

from chronotope.ingest.flows.queue import FlowQueue
from chronotope.ingest.flows.receiver import flows_blueprint
from chronotope.ingest.flows.rows import FlowVocabulary
from chronotope.ingest.identity.known import KnownIdentities
from chronotope.ingest.intermediaries.resolver import IntermediaryResolver
from chronotope.ingest.metrics.sources.collector import MetricsCollector
from chronotope.ingest.otlp.decode import OtlpDecoder
from chronotope.ingest.otlp.receiver import grpc_server, traces_blueprint
from chronotope.ingest.records.changes import changes_blueprint
from chronotope.ingest.records.identities import identities_blueprint
from chronotope.ingest.records.observations import observations_blueprint
from chronotope.ingest.spans.columns import Vocabulary
from chronotope.ingest.spans.queue import SpanQueue
from chronotope.schema.config.config import Config
from chronotope.schema.storage.migrate import migrate
from chronotope.schema.storage.retention import apply_retention
from chronotope.schema.storage.store import Store
from chronotope.server.api.app import create_app
from chronotope.server.api.stream import stream_routes
from chronotope.server.api.unattributed import unattributed_routes
from chronotope.server.context.refresh import CatalogueRefresh, has_catalogue
from chronotope.server.delivery.stream import MOST_CLIENTS
from chronotope.server.detection.thread import EventThread
from chronotope.server.evidence.settings import Settings, now_ms
from chronotope.server.running.alerting import open_alerting
from chronotope.server.running.flows import open_flow_queue, warm_up_flows
from chronotope.server.running.listening import Address, bind
from chronotope.server.running.owners import explain_by, known_identities
from chronotope.server.running.spans import open_span_queue, warm_up
from chronotope.server.running.web import WebServer

# A body over its limit is still read, up to here: a client that cannot send it all would not read the answer.
_SLACK_BYTES = 192 * 1024 * 1024
_ANSWER_S = 10
_GIVE_UP_S = 20


class Background(Protocol):
    """A part that works in a thread of its own beside the requests."""

    def start(self) -> None:
        """Begin."""

    def stop(self, timeout_s: float) -> None:
        """Begin no more work, and wait for what runs. What takes longer meets a closed store and ends."""


@dataclass(slots=True)
class Server:
    """The parts of a server that runs, and how it starts and stops."""

    store: Store
    vocabulary: Vocabulary
    span_queue: SpanQueue
    flows: FlowQueue
    decoder: OtlpDecoder
    give_up: Sequence[threading.Event]
    web: WebServer
    otlp_grpc: Any = None
    grpc_address: Address | None = None
    background: list[Background] = field(default_factory=list)
    threads: list[threading.Thread] = field(default_factory=list)

    def start(self) -> None:
        """Start to take requests."""
        self.span_queue.start()
        self.flows.start()
        thread = threading.Thread(target=self.web.run, name="web", daemon=True)
        thread.start()
        self.threads.append(thread)
        if self.otlp_grpc is not None:
            self.otlp_grpc.start()
        for part in self.background:
            part.start()

    def _give_up(self) -> None:
        for event in self.give_up:
            event.set()

    def warm_up(self) -> None:
        """Compile in the background what the first spans and flows need; data that comes earlier waits for it."""
        threading.Thread(target=warm_up, args=(self.decoder,), name="warm-up", daemon=True).start()
        threading.Thread(target=warm_up_flows, name="warm-up-flows", daemon=True).start()

    def stop(self) -> None:
        """Refuse new data, write what was accepted, answer the requests that came, close the store."""
        giving_up = threading.Timer(_GIVE_UP_S, self._give_up)
        giving_up.daemon = True
        giving_up.start()
        with ThreadPoolExecutor(len(self.background)) as executor:
            list(executor.map(lambda part: part.stop(_ANSWER_S), self.background))
        self.span_queue.stop()
        self.flows.stop()
        giving_up.cancel()
        no_more_calls = self.otlp_grpc.stop(grace=_ANSWER_S) if self.otlp_grpc is not None else None
        self.web.stop(_ANSWER_S)
        if no_more_calls is not None:
            no_more_calls.wait()
        for thread in self.threads:
            thread.join(1)
        self.store.close()


def open_server(
    store: Store,
    config: Config,
    sockets: Sequence[socket.socket],
    grpc_address: tuple[Address, bool] | None,
) -> Server:
    """Wire a server over an open store, which is migrated first. Nothing listens until `start`.

    Args:
        store: open.
        config: of the server.
        sockets: listening sockets for HTTP.
        grpc_address: where OTLP/gRPC listens, and whether somebody asked for it; None for nowhere.
    """
    migrate(store)
    settings = Settings(
        retention=_apply_retention(store, config), change_window_s=config.events.change_window, events=config.events
    )
    registry, owners, limit = CollectorRegistry(), known_identities(store, config), config.limits.max_body_bytes
    vocabulary, addresses = Vocabulary(), FlowVocabulary()
    decoder = OtlpDecoder(vocabulary)
    flows, flows_give_up = open_flow_queue(store, config, addresses, owners, registry)
    span_queue, spans_give_up = open_span_queue(store, config, vocabulary, owners, registry, flows.claim)
    alerting = open_alerting(store, config, settings, registry)
    receiving = _receiving_routes(store, config, decoder, span_queue, flows, addresses)
    answering = [unattributed_routes(store, settings, explain_by(owners)), stream_routes(alerting.hub)]
    app = create_app(store, settings, blueprints=[*receiving, *answering], registry=registry)
    web = WebServer(app, sockets, limit + _SLACK_BYTES, MOST_CLIENTS)
    server = Server(store, vocabulary, span_queue, flows, decoder, (spans_give_up, flows_give_up), web)
    server.background = [alerting, *_background(store, config, owners, registry)]
    if grpc_address is not None:
        _open_grpc(server, *grpc_address, limit)
    return server


def _apply_retention(store: Store, config: Config) -> dict[str, int | None]:
    """Set how long the store keeps what; return level → seconds."""
    embedded = store.location.embedded
    levels = config.retention.kept_s(embedded=embedded)
    others = {
        "spans": config.retention.spans if embedded else config.spans_kept_s,
        "flows": config.retention.flows,
        "alerts": config.retention.alerts_kept_s(embedded=embedded),
    }
    apply_retention(store, {**levels, **others})
    return levels


def _receiving_routes(
    store: Store,
    config: Config,
    decoder: OtlpDecoder,
    span_queue: SpanQueue,
    flows: FlowQueue,
    addresses: FlowVocabulary,
) -> list[Blueprint]:
    limit, aliases = config.limits.max_body_bytes, config.final_aliases
    return [
        traces_blueprint(decoder, span_queue.put, limit),
        observations_blueprint(store, clock=now_ms, max_body_bytes=limit, aliases=aliases),
        changes_blueprint(store, clock=now_ms, max_body_bytes=limit, aliases=aliases),
        identities_blueprint(flows.claim, clock=now_ms, max_body_bytes=limit),
        flows_blueprint(addresses, flows.put, clock=now_ms, max_body_bytes=limit),
    ]


def _background(
    store: Store, config: Config, owners: KnownIdentities, registry: CollectorRegistry
) -> Iterator[Background]:
    yield IntermediaryResolver(store, config, owners, registry).rounds
    yield EventThread(store, config.events, now_ms, registry).rounds
    if config.metrics.prometheus or config.metrics.targets:
        yield MetricsCollector(store, config, owners.snapshot, registry).rounds
    if has_catalogue(config):
        catalogue = CatalogueRefresh(store, config, now_ms)
        catalogue.round()  # a catalogue that cannot be read is reported at the start
        yield catalogue.rounds


def _open_grpc(server: Server, address: Address, asked: bool, limit: int) -> None:
    probe = bind(address, "--otlp-grpc", asked=asked)
    if probe is None:
        return
    probe.close()
    server.otlp_grpc = grpc_server(server.decoder, server.span_queue.put, limit)
    port = server.otlp_grpc.add_insecure_port(str(address))
    server.grpc_address = Address(address.host, port)
