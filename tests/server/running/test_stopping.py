"""A stop does not wait for long work: a thread that meets the closed store ends, and has nothing to complain of."""

from __future__ import annotations

import logging
import threading
import time

import pytest
from prometheus_client import CollectorRegistry

from chronotope.ingest.metrics.sources.collector import MetricsCollector
from chronotope.schema.config.config import Config, load_config
from chronotope.schema.errors import StoreClosed
from chronotope.schema.storage.store import Store
from chronotope.server.running.listening import Address, bind
from chronotope.server.running.server import open_server

CONFIG = """
identities: [{service: shop/orders, address: 10.0.0.1, attributes: {owner: shop}}]
intermediaries: [{service: shop/balancer}]
rules: [{name: news, when: {new: true}}]
"""
WORKERS = {"catalogue", "events", "intermediaries", "rules", "stream"}
DEADLINE_S = 60


def workers() -> set[str]:
    return {thread.name for thread in threading.enumerate()} & WORKERS


def test_threads_that_meet_a_closed_store_end_in_silence(tmp_path, caplog):
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG)
    store = Store.open("chdb://memory")
    socket = bind(Address("127.0.0.1", 0), "--listen", asked=True)
    assert socket is not None
    server = open_server(store, load_config(path), [socket], None)
    caplog.set_level(logging.WARNING)
    server.start()
    assert workers() == WORKERS
    store.close()
    deadline = time.monotonic() + DEADLINE_S
    while workers() - {"stream", "catalogue"}:  # without clients, and between rounds, these two ask for nothing
        assert time.monotonic() < deadline, workers()
        time.sleep(0.1)
    server.stop()
    assert not workers()
    assert caplog.messages == []


def test_metrics_that_meet_a_closed_store_end_in_silence(caplog):
    """Not as a Prometheus that failed: it would be told and counted as such."""
    config = Config.model_validate({"metrics": {"prometheus": [{"url": "http://127.0.0.1:9"}]}})
    registry = CollectorRegistry()
    with Store.open("chdb://memory") as store:
        collector = MetricsCollector(store, config, registry=registry)
    collector.rounds.run()
    assert caplog.messages == []
    failures = registry.get_sample_value("chronotope_metrics_read_failures_total", {"source": "http://127.0.0.1:9"})
    assert not failures


def test_a_closed_store_says_so():
    store = Store.open("chdb://memory")
    store.close()
    with pytest.raises(StoreClosed, match="is closed"):
        store.rows("SELECT 1")
