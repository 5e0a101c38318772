"""Answers about the graph: the graph itself, its timeline, its services, one edge, positions.

Invariant: the bytes of an answer depend only on the store, the parameters and `now`.
"""

from __future__ import annotations

import hashlib

import msgspec

from chronotope.schema.errors import NotFound
from chronotope.schema.storage.store import Store
from chronotope.schema.times import shortened
from chronotope.server.answers.answer import JSON, Answer, is_settled, tagged
from chronotope.server.answers.parameters import (
    FilterParameters,
    GraphParameters,
    PositionsParameters,
    SeriesParameters,
    ServiceParameters,
    ServicesParameters,
    TimelineParameters,
)
from chronotope.server.context.changes import change_records, changes_between
from chronotope.server.evidence.settings import Settings
from chronotope.server.export.formats import render
from chronotope.server.export.nodegraph import edge_rows, node_rows
from chronotope.server.graph.reading import UnknownFocus, read_graph
from chronotope.server.graph.series import read_series
from chronotope.server.graph.services import service_detail, services_of
from chronotope.server.graph.timeline import read_timeline
from chronotope.server.layout.positions import Places, place_nodes

CHANGES_MS = 3_600_000  # changes of a service are shown from this long before the window
MOST_CHANGES = 1000

_encoder = msgspec.json.Encoder()


def answer_graph(store: Store, settings: Settings, parameters: GraphParameters, now_ms: int) -> Answer:
    """Return the graph in the format asked for."""
    question = parameters.question(now_ms)
    past = is_settled(question.end_ms, now_ms)
    reading = read_graph(store, settings, question, now_ms, tagged=past)
    tag = f"{parameters.format}-{reading.tag}" if past else ""
    if parameters.positions:
        positions = Places(store).positions(parameters.group_by, now_ms)
        place_nodes(reading.graph, positions)
        tag = f"{tag}-{positions.generation}" if tag else ""
    if parameters.format == "json":
        return Answer(_encoder.encode(reading.graph), JSON, tag)
    body, media_type = render(reading.graph, parameters.format)
    return Answer(body, media_type, tag)


def answer_timeline(store: Store, settings: Settings, parameters: TimelineParameters, now_ms: int) -> Answer:
    """Return how the graph changed over time."""
    steps = parameters.steps(settings, now_ms)
    timeline = read_timeline(store, steps, parameters.question(steps), now_ms)
    start, end = steps.start_s * 1000, steps.end_s * 1000
    timeline.changes = change_records(changes_between(store, start, end), end)[:MOST_CHANGES]
    return tagged(_encoder.encode(timeline), steps.end_s * 1000, now_ms)


def answer_edge(store: Store, settings: Settings, parameters: SeriesParameters, now_ms: int, edge: str) -> Answer:
    """Return one edge over time."""
    steps = parameters.steps(settings, now_ms)
    series = read_series(store, steps, edge, parameters.question(steps))
    # `last_seen` changes with today's traffic; yesterday's series stays the same.
    settled = msgspec.structs.replace(series, last_seen="")
    tag = tagged(_encoder.encode(settled), steps.end_s * 1000, now_ms).tag
    return Answer(_encoder.encode(series), JSON, tag)


def answer_services(store: Store, settings: Settings, parameters: ServicesParameters, now_ms: int) -> Answer:
    """Return the services of a window."""
    question = parameters.question(now_ms)
    graph = read_graph(store, settings, question, now_ms).graph
    found = services_of(graph, search=parameters.search, namespaces=parameters.namespace, kinds=parameters.kind)
    return tagged(_encoder.encode(found), question.end_ms, now_ms)


def answer_service(
    store: Store, settings: Settings, parameters: ServiceParameters, now_ms: int, service: str
) -> Answer:
    """Return one service with its callers and callees.

    Raises:
        NotFound: the service was never seen.
    """
    question = parameters.question(service, now_ms)
    try:
        reading = read_graph(store, settings, question, now_ms, tagged=True)
    except UnknownFocus as error:
        raise NotFound(
            f"service {shortened(service)} was never seen; /api/v1/services lists those that were"
        ) from error
    found = changes_between(store, max(question.start_ms - CHANGES_MS, 0), question.end_ms)
    changes = change_records(found, question.end_ms, service)[:MOST_CHANGES]
    detail = service_detail(reading.graph, service, reading.directory, changes)
    past = is_settled(question.end_ms, now_ms)
    changed = hashlib.blake2b(_encoder.encode(changes), digest_size=4).hexdigest()
    return Answer(_encoder.encode(detail), JSON, f"service-{reading.tag}-{changed}" if past else "")


def answer_nodegraph(store: Store, settings: Settings, parameters: FilterParameters, now_ms: int) -> Answer:
    """Return nodes and edges as Grafana's Node Graph API data source reads them."""
    graph = read_graph(store, settings, parameters.question(now_ms), now_ms).graph
    if parameters.positions:
        place_nodes(graph, Places(store).positions(parameters.group_by, now_ms))
    return Answer(_encoder.encode({"nodes": node_rows(graph), "edges": edge_rows(graph)}))


def answer_positions(places: Places, parameters: PositionsParameters, now_ms: int) -> Answer:
    """Return where each node is drawn."""
    return Answer(_encoder.encode(places.positions(parameters.group_by, now_ms)))
