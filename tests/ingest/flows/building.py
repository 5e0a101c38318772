"""Flow records and claims of tests, and what the store says of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from chronotope.ingest.flows.buckets import flow_rows
from chronotope.ingest.flows.record import LINE_SCHEMA, FlowLine, parse_flows
from chronotope.ingest.flows.rows import FlowVocabulary
from chronotope.ingest.flows.writer import FlowWriter, Sent
from chronotope.ingest.requests.ndjson import read_ndjson
from chronotope.ingest.requests.outcome import Records
from chronotope.schema.config.config import Config
from chronotope.schema.observations import MEASURES
from chronotope.schema.storage.store import Store
from chronotope.server.running.flows import open_flow_writer
from chronotope.server.running.owners import known_identities

T0_S = 1_800_000_000


def flow(client: str, server: str, port: int, observer: str = "client", at_s: float = 0, **more: Any) -> dict[str, Any]:
    """One flow record of a connection that was opened and carried bytes, unless told otherwise."""
    start = T0_S + at_s
    record = {"start": start, "end": start + 1, "connections": 1, "bytes_sent": 100, "bytes_received": 1000}
    ends = {"client_address": client, "server_address": server, "server_port": port, "observer": observer}
    return {**record, **ends, "direction": "syn", **more}


def records_of(lines: Iterable[Mapping[str, Any]]) -> Records:
    body = "\n".join(map(json.dumps, lines)).encode()
    return read_ndjson(body, FlowLine, LINE_SCHEMA, lambda text, _: round(float(text) * 1000))


def sent(vocabulary: FlowVocabulary, *lines: Mapping[str, Any], request: int = 0) -> Sent:
    records = records_of(lines)
    seen = parse_flows(records, lambda text, _: round(float(text) * 1000))
    assert not records.refused, records.errors
    return Sent(flow_rows(seen, records.alive, vocabulary), request)


def open_writer(store: Store, config: Config | None = None) -> tuple[FlowWriter, FlowVocabulary]:
    """A writer as a starting server opens it."""
    config, vocabulary = config or Config(), FlowVocabulary()
    return open_flow_writer(store, config, vocabulary, known_identities(store, config)), vocabulary


def stored(store: Store) -> dict[tuple[int, str, str, str], dict[str, int]]:
    """(seconds since T0, source, target, protocol) → measures that are not 0, of the layer `network`."""
    sums = ", ".join(f"sum({name}) AS {name}" for name in MEASURES)
    table = store.query(
        f"SELECT toUInt32(time) AS at, toString(source) AS source, toString(target) AS target, "
        f"toString(protocol) AS protocol, {sums} FROM edges_10s WHERE layer = 'network' "
        "GROUP BY time, edges_10s.source, edges_10s.target, edges_10s.protocol"
    )
    found = {}
    for row in table.to_pylist():
        measures = {name: row[name] for name in MEASURES if row[name]}
        if measures:
            found[row["at"] - T0_S, row["source"], row["target"], row["protocol"]] = measures
    return found


def edges(store: Store) -> set[tuple[str, str]]:
    """Pairs of services that exchanged anything."""
    return {
        (source, target)
        for (_, source, target, _), measures in stored(store).items()
        if measures.keys() - {"failed_connections"}
    }


def empty(store: Store) -> None:
    """Forget everything that flows and claims left."""
    levels = ("edges_10s", "edges_1m", "edges_1h", "edges_1d", "edge_hours")
    for table in ("flows", "identities", *levels, "edge_directions"):
        store.command(f"TRUNCATE TABLE {table}")
