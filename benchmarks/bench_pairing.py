"""Pairing: OTLP bytes to paired observations, halves that arrive apart, and all of it into a store on disk.

Every answer is the number of calls that the input was made of.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from benchmarks.bench_otlp import synthetic

from chronotope.ingest.files.spans.formats import read_batches
from chronotope.ingest.identity.owners import Identities
from chronotope.ingest.otlp.decode import OtlpDecoder
from chronotope.ingest.spans.columns import CLIENT, SERVER, SPAN, SpanBatch, Vocabulary
from chronotope.ingest.spans.observations import observations_of
from chronotope.ingest.spans.pairer import Pairer
from chronotope.ingest.spans.pairing import CALL, Rules, calls_of
from chronotope.ingest.spans.peers import resolve_peers
from chronotope.schema.storage.migrate import migrate
from chronotope.schema.storage.store import Store

START_NS = 1_767_139_200 * 10**9
SERVICES = 200
NO_CALLS = np.empty(0, CALL)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(f"chdb://{tmp_path}/store") as opened:
        migrate(opened)
        yield opened


def observed(bodies: Sequence[bytes], decoder: OtlpDecoder, vocabulary: Vocabulary, rules: Rules) -> pa.Table:
    """All of pairing but the store: requests in, observations out."""
    batch = decoder.decode_many(bodies)
    resolve_peers(batch, vocabulary, Identities(), {})
    return observations_of(calls_of(batch.rows, rules).calls, NO_CALLS, vocabulary)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.sizes("spans", [20_000], [17, 500, 100_000])
def test_otlp_bytes_to_observations(benchmark: Any, spans: int, threads: int) -> None:
    """One request of N spans; each thread takes the same number of them, in groups of about 100,000 spans."""
    vocabulary = Vocabulary()
    decoder, rules, body = OtlpDecoder(vocabulary), Rules(vocabulary), synthetic(spans)
    group = [body] if spans >= 20_000 else renumbered(body, spans, 100_000 // spans)
    work = [group] * (4 * threads)

    def run() -> list[pa.Table]:
        if threads == 1:
            return [observed(bodies, decoder, vocabulary, rules) for bodies in work]
        return list(pool.map(lambda bodies: observed(bodies, decoder, vocabulary, rules), work))

    with ThreadPoolExecutor(threads) as pool:
        tables = benchmark.pedantic(run, rounds=5, warmup_rounds=1)
    made = spans * len(group)
    assert [pc.sum(table["calls"]).as_py() for table in tables] == [spans // 2 * len(group)] * len(work)
    benchmark.extra_info["spans_per_s"] = round(made * len(work) / benchmark.stats.stats.median)


def renumbered(body: bytes, spans: int, copies: int) -> list[bytes]:
    """Copies of a request with trace ids of their own."""
    tags = [(0x0A10).to_bytes(2) + (number // 2 + 1).to_bytes(16) for number in range(0, spans, 2)]
    places = [at for tag in tags for at in _all(body, tag)]
    made = []
    for copy in range(copies):
        other = np.frombuffer(body, np.uint8).copy()
        for at in places:
            other[at + 10 : at + 14] = np.frombuffer((copy + 1).to_bytes(4), np.uint8)
        made.append(other.tobytes())
    return made


def _all(body: bytes, tag: bytes) -> list[int]:
    found, at = [], body.find(tag)
    while at >= 0:
        found.append(at)
        at = body.find(tag, at + 1)
    return found


def calls_apart(calls: int, batches: int, apart: float, vocabulary: Vocabulary) -> list[SpanBatch]:
    """Return batches of about the same size; a share of the calls has its server span in the next batch."""
    random = np.random.default_rng(11)
    nodes = np.array([vocabulary.service(f"shop/service-{number}") for number in range(SERVICES)], np.int32)
    rows = np.zeros((calls, 2), SPAN)
    rows["trace_hi"], rows["trace_lo"] = 1, random.integers(1, 2**63, (calls, 1))
    rows["span"] = [1, 2]
    rows["parent"][:, 1] = 1
    rows["kind"] = [CLIENT, SERVER]
    rows["weight"] = 1
    source = random.integers(0, SERVICES, calls)
    rows["service"] = np.stack([nodes[source], nodes[(source + random.integers(1, 5, calls)) % SERVICES]], axis=1)
    rows["peer"] = -1
    order = np.arange(calls) * batches // calls
    rows["start_ns"] = START_NS + (np.arange(calls) * 300 * 10**9 // calls)[:, None]
    rows["end_ns"] = rows["start_ns"] + random.integers(10**6, 10**8, (calls, 1))
    late = order + (random.random(calls) < apart)
    return [SpanBatch(np.concatenate([rows[order == n, 0], rows[late == n, 1]])) for n in range(batches + 1)]


@pytest.mark.parametrize("apart", [0.0, 0.1, 0.5, 1.0])
@pytest.mark.sizes("calls", [20_000], [500_000])
def test_halves_in_different_batches(benchmark: Any, tmp_path: Path, calls: int, apart: float) -> None:
    """The pairer without its store: what pairing across batches costs in memory and arithmetic alone."""
    written: list[pa.Table] = []

    def setup() -> tuple[tuple[Pairer, list[SpanBatch]], dict[str, Any]]:
        vocabulary = Vocabulary()
        written.clear()
        pairer = Pairer(store, vocabulary, insert=lambda table, rows, _: written.append((table, rows)))
        return (pairer, calls_apart(calls, 10, apart, vocabulary)), {}

    with Store.open("chdb://memory") as store:
        benchmark.pedantic(accept_all, setup=setup, rounds=4, warmup_rounds=1)
    observations = pa.concat_tables([rows for table, rows in written if table == "observations"])
    assert pc.sum(observations["calls"]).as_py() == calls
    benchmark.extra_info["spans_per_s"] = round(2 * calls / benchmark.stats.stats.median)


@pytest.mark.parametrize("apart", [0.0, 0.5])
@pytest.mark.sizes("calls", [20_000], [500_000])
def test_halves_into_a_store_on_disk(benchmark: Any, store: Store, calls: int, apart: float) -> None:
    """What `accept` promises: when it returns, spans and edges are on disk."""
    rounds = 0

    def setup() -> tuple[tuple[Pairer, list[SpanBatch]], dict[str, Any]]:
        nonlocal rounds
        rounds += 1
        store.command("TRUNCATE TABLE spans")
        vocabulary = Vocabulary()
        return (Pairer(store, vocabulary), calls_apart(calls, 10, apart, vocabulary)), {}

    benchmark.pedantic(accept_all, setup=setup, rounds=3, warmup_rounds=1)
    assert store.rows("SELECT sum(calls) FROM edges_1d") == [(calls * rounds,)]
    benchmark.extra_info["spans_per_s"] = round(2 * calls / benchmark.stats.stats.median)


def accept_all(pairer: Pairer, batches: list[SpanBatch]) -> None:
    for batch in batches:
        pairer.accept(batch)


@pytest.mark.sizes("requests", [4], [40])
def test_otlp_bytes_to_stored_edges(benchmark: Any, store: Store, requests: int) -> None:
    """Requests of 500 spans, 100 in a group as under load, decoded and paired into a store on disk."""
    spans, together = 500, 100
    groups = renumbered(synthetic(spans), spans, requests * together)
    made = []

    def setup() -> tuple[tuple[Any, ...], dict[str, Any]]:
        store.command("TRUNCATE TABLE spans")
        vocabulary = Vocabulary()
        made.append(spans * len(groups) // 2)
        return (OtlpDecoder(vocabulary), Pairer(store, vocabulary), vocabulary), {}

    def run(decoder: OtlpDecoder, pairer: Pairer, vocabulary: Vocabulary) -> None:
        for start in range(0, len(groups), together):
            batch = decoder.decode_many(groups[start : start + together])
            resolve_peers(batch, vocabulary, Identities(), {})
            pairer.accept(batch)

    benchmark.pedantic(run, setup=setup, rounds=3, warmup_rounds=1)
    assert store.rows("SELECT sum(calls) FROM edges_1d") == [(sum(made),)]
    benchmark.extra_info["spans_per_s"] = round(spans * len(groups) / benchmark.stats.stats.median)


def test_parquet_to_stored_edges(benchmark: Any, store: Store, shared_data: Path) -> None:
    """A real day of Online Boutique, 852,420 rows, from its file to edges on disk; held to the known 13 edges."""
    folder = shared_data / "nezha_onlineboutique"
    rounds, read = 0, 0

    def run(vocabulary: Vocabulary, pairer: Pairer) -> None:
        nonlocal read
        read = 0
        for batch in read_batches(folder / "spans_2022-08-22.parquet", "spans", vocabulary):
            resolve_peers(batch, vocabulary, Identities(), {})
            pairer.accept(batch)
            read += batch.read

    def setup() -> tuple[tuple[Vocabulary, Pairer], dict[str, Any]]:
        nonlocal rounds
        rounds += 1
        store.command("TRUNCATE TABLE spans")
        vocabulary = Vocabulary()
        return (vocabulary, Pairer(store, vocabulary)), {}

    benchmark.pedantic(run, setup=setup, rounds=3, warmup_rounds=1)
    with (folder / "truth_edges_ob_2022-08-22.csv").open() as file:
        truth = {(row["source"], row["target"]): int(row["calls"]) * rounds for row in csv.DictReader(file)}
    stored = store.rows("SELECT source, target, sum(calls) FROM edges_1d WHERE view < 2 GROUP BY source, target")
    assert {(source, target): calls for source, target, calls in stored} == truth
    benchmark.extra_info["spans_per_s"] = round(read / benchmark.stats.stats.median)
