from __future__ import annotations

import io
import json
from collections.abc import Iterator

import pyarrow as pa
import pytest
from flask import Flask
from flask.testing import FlaskClient
from prometheus_client import CollectorRegistry

from chronotope.ingest.flows.receiver import flows_blueprint
from chronotope.ingest.flows.record import LINE_SCHEMA, FlowLine, parse_flows
from chronotope.ingest.flows.rows import FlowVocabulary
from chronotope.ingest.identity.known import KnownIdentities
from chronotope.ingest.requests.ndjson import read_ndjson
from chronotope.ingest.requests.records import time_parser
from chronotope.schema.config.config import Config
from chronotope.schema.storage.store import Store
from chronotope.server.running.flows import open_flow_queue, warm_up_flows
from tests.ingest.flows.building import T0_S, empty, flow, stored

URL = "/api/v1/flows"
NDJSON, ARROW = "application/x-ndjson", "application/vnd.apache.arrow.stream"


@pytest.fixture
def client(store: Store) -> Iterator[FlaskClient]:
    empty(store)
    warm_up_flows()  # the first request does not wait for compilation: the patience of the queue is for the store
    vocabulary = FlowVocabulary()
    queue, _ = open_flow_queue(store, Config(), vocabulary, KnownIdentities(), CollectorRegistry())
    app = Flask("test")
    app.testing = True
    app.register_blueprint(flows_blueprint(vocabulary, queue.put, clock=lambda: T0_S * 1000, max_body_bytes=1 << 20))
    queue.start()
    yield app.test_client()
    queue.stop()


def lines(*records: object) -> bytes:
    return "\n".join(record if isinstance(record, str) else json.dumps(record) for record in records).encode()


def test_a_repeated_request_counts_once_and_others_each(client: FlaskClient, store: Store) -> None:
    body = lines(flow("10.0.0.1", "10.0.0.2", 80), flow("::ffff:10.0.0.1", "10.0.0.2", 80))
    for key in ("one", "one", "two"):
        answer = client.post(URL, data=body, content_type=NDJSON, headers={"Idempotency-Key": key})
        assert answer.get_json() == {"accepted": 2, "rejected": 0, "errors": []}
    client.post(URL, data=body, content_type=NDJSON)
    client.post(URL, data=body, content_type=NDJSON)
    assert stored(store)[0, "10.0.0.1", "10.0.0.2", "http"]["connections"] == 8


def test_arrow_columns_are_the_same_records(client: FlaskClient, store: Store) -> None:
    table = pa.Table.from_pylist([flow("fd00::1", "fd00::0002", 5432, service="pg", observer="server")])
    stream = io.BytesIO()
    with pa.ipc.new_stream(stream, table.schema) as writer:
        writer.write_table(table)
    assert client.post(URL, data=stream.getvalue(), content_type=ARROW).get_json()["accepted"] == 1
    assert list(stored(store)) == [(0, "fd00::1", "pg", "postgresql")]


@pytest.mark.parametrize(
    ("change", "detail"),
    [
        ({"client_address": "host.example"}, "client_address 'host.example' is not accepted; use the IP address"),
        ({"server_address": "0.0.0.0"}, "server_address '0.0.0.0' is not accepted"),
        ({"observer": "both"}, "observer 'both' is not known; accepted: client, server"),
        ({"observer": ""}, "observer is missing; accepted: client, server"),
        ({"transport": "sctp"}, "transport 'sctp' is not known; accepted: tcp, udp"),
        ({"direction": "up"}, "direction 'up' is not known; accepted: unknown, port, syn"),
        ({"end": T0_S - 1}, "end is before start"),
        ({"end": T0_S + 90_000}, "the record is longer than 24 h"),
        ({"server_port": 70_000}, "server_port 70000"),
        ({"bytes_sent": -1}, "bytes_sent -1"),
        ({"connections": 1.5}, "connections 1.5 is not a count"),
        ({"start": "yesterday"}, "start 'yesterday' is not a time"),
        ({"translated_server_address": "x"}, "translated_server_address 'x' is not accepted"),
    ],
)
def test_bad_record_is_refused_by_its_line_and_the_rest_is_taken(change, detail: str) -> None:
    good = flow("10.0.0.1", "10.0.0.2", 80)
    parse = time_parser(0)
    records = read_ndjson(lines(good, {**good, **change}), FlowLine, LINE_SCHEMA, parse)
    parse_flows(records, parse)
    ((line, told),) = records.errors
    assert (line, int(records.alive.sum())) == (2, 1)
    assert told.startswith(detail)


def test_nothing_accepted_is_422_and_unknown_fields_are_counted(client: FlaskClient) -> None:
    answer = client.post(URL, data=lines({"start": 1}), content_type=NDJSON)
    assert (answer.status_code, answer.get_json()["rejected"]) == (422, 1)
    more = {**flow("10.0.0.1", "10.0.0.2", 80), "colour": "red"}
    assert client.post(URL, data=lines(more), content_type=NDJSON).get_json()["unknown_fields"] == {"colour": 1}
