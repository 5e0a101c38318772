"""Flow records from `POST /api/v1/flows` to stored edges."""

from __future__ import annotations

import io
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pytest
from flask import Flask
from prometheus_client import CollectorRegistry

from chronotope.ingest.flows.receiver import flows_blueprint
from chronotope.ingest.flows.rows import FlowVocabulary
from chronotope.ingest.identity.known import KnownIdentities
from chronotope.ingest.identity.owners import Ownership
from chronotope.schema.config.config import Config
from chronotope.schema.storage.migrate import migrate
from chronotope.schema.storage.store import Store
from chronotope.server.running.flows import open_flow_queue

T0_S = 1_800_000_000


def stream(
    records: int, services: int, addresses: int, start_s: int, seed: int, *, both_ends: bool
) -> tuple[bytes, set[tuple[str, str]]]:
    """One request of agents' records over ten seconds, each a connection with its port; and the true pairs."""
    random = np.random.default_rng(seed)
    count = records // 2 if both_ends else records
    client = random.integers(0, addresses, count)
    server = (client + random.integers(1, 20, count) * 7) % addresses
    pairs = {(f"s{c % services}", f"s{s % services}") for c, s in zip(client.tolist(), server.tolist(), strict=True)}
    if both_ends:
        client, server = np.repeat(client, 2), np.repeat(server, 2)
    side = np.arange(len(client)) % 2 if both_ends else np.zeros(len(client), int)
    names = pa.array([f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}" for n in range(addresses)])
    start = (start_s * 1000 + np.repeat(random.integers(0, 8000, count), 2 if both_ends else 1)).astype("int64")
    ports = np.repeat(random.integers(32768, 60999, count), 2 if both_ends else 1)
    columns = {
        "start": pa.array(start).cast(pa.timestamp("ms", tz="UTC")),
        "end": pa.array(start + 1000).cast(pa.timestamp("ms", tz="UTC")),
        "client_address": pa.DictionaryArray.from_arrays(pa.array(client.astype(np.int32)), names),
        "server_address": pa.DictionaryArray.from_arrays(pa.array(server.astype(np.int32)), names),
        "client_port": ports.astype(np.uint16),
        "server_port": (8000 + server % 5).astype(np.uint16),
        "transport": pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(client), np.int32)), pa.array(["tcp"])),
        "observer": pa.DictionaryArray.from_arrays(pa.array(side.astype(np.int32)), pa.array(["client", "server"])),
        "direction": pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(client), np.int32)), pa.array(["syn"])),
        **{
            name: np.full(len(client), value, np.int64)
            for name, value in (("connections", 1), ("bytes_sent", 100), ("bytes_received", 1000), ("retransmits", 0))
        },
    }
    table, sink = pa.table(columns), io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue(), {(one, other) for one, other in pairs if one != other}


@pytest.mark.sizes("requests, records", [(2, 10_000)], [(18, 100_000)])
@pytest.mark.parametrize("both_ends", [False, True], ids=["one-end", "both-ends"])
@pytest.mark.parametrize("agents", [1, 8], ids=["one-agent", "eight-agents"])
def test_flows_to_edges(benchmark, tmp_path, requests, records, both_ends, agents):
    """Bodies of records, three to ten seconds of time, sent by so many agents at once to a store on disk."""
    services, addresses = 1000, 10_000
    bodies = [stream(records, services, addresses, T0_S + n // 3 * 10, n, both_ends=both_ends) for n in range(requests)]
    claims = [Ownership(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}", f"s{n % services}") for n in range(addresses)]
    with Store.open(f"chdb://{tmp_path}/store") as store, ThreadPoolExecutor(agents) as pool:
        migrate(store)
        vocabulary = FlowVocabulary()
        queue, _ = open_flow_queue(store, Config(), vocabulary, KnownIdentities(claims), CollectorRegistry())
        queue.start()
        app = Flask("bench")
        app.register_blueprint(flows_blueprint(vocabulary, queue.put, clock=lambda: 0, max_body_bytes=1 << 28))

        def post(body: bytes) -> int:
            with app.test_client() as client:
                answer = client.post("/api/v1/flows", data=body, content_type="application/vnd.apache.arrow.stream")
            return answer.get_json()["accepted"]

        post(stream(records, services, addresses, T0_S - 1000, 99, both_ends=both_ends)[0])  # compiles
        cpu_s = time.process_time()
        accepted = benchmark.pedantic(lambda: list(pool.map(post, (body for body, _ in bodies))), rounds=1)
        cpu_s = time.process_time() - cpu_s
        queue.stop()
        found = store.rows(
            f"SELECT toString(source), toString(target), sum(connections) FROM edges_10s WHERE time >= {T0_S} "
            "GROUP BY source, target"
        )
    assert accepted == [records] * requests
    assert {(source, target) for source, target, _ in found} == set().union(*(pairs for _, pairs in bodies))
    # No pair is within a service: 7 × 1…20 is no multiple of the services.
    assert sum(total for *_, total in found) == requests * (records // 2 if both_ends else records)
    benchmark.extra_info["records_per_s"] = round(requests * records / benchmark.stats.stats.min)
    benchmark.extra_info["cpu_us_a_record"] = round(cpu_s / requests / records * 1e6, 2)
