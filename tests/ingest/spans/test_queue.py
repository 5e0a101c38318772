"""The writer of spans when the store fails: nothing is lost, nothing is doubled, and senders are told at once."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from chronotope.ingest.spans.columns import SpanBatch
from chronotope.ingest.spans.pairer import Pairer
from chronotope.ingest.spans.queue import SpanQueue
from chronotope.ingest.writing.insert import PatientInsert
from chronotope.schema.errors import Busy, StoreError
from tests.ingest.spans.building import Scene, client


class FullDisk:
    """The store, but its inserts into one table fail while `full` is set; some of them after they took effect."""

    def __init__(self, store, table):
        self.store, self.table, self.full, self.tries = store, table, True, 0

    def insert(self, table, columns, token):
        if table != self.table or not self.full:
            return self.store.insert(table, columns, token)
        self.tries += 1
        if self.tries == 2:
            self.store.insert(table, columns, token)
        raise StoreError("no space left on device")


def eventually(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("table", ["spans", "observations"])
def test_a_full_disk_refuses_at_once_and_loses_and_doubles_nothing(store, table):
    scene, disk, stopping = Scene(), FullDisk(store, table), threading.Event()
    insert = PatientInsert(disk, stopping)
    pairer = Pairer(store, scene.vocabulary, insert=insert)
    queue = SpanQueue(pairer, lambda batch: None, store_fails=lambda: insert.failing)
    queue.start()
    spans = np.concatenate([client(scene, "full-a", 1), scene.span("full-b", 2, 1)])
    first = threading.Thread(target=queue.put, args=(SpanBatch(spans.copy()),))
    first.start()
    eventually(lambda: disk.tries >= 3)
    with pytest.raises(Busy, match="does not take inserts"):
        queue.put(SpanBatch(scene.span("full-b", 3, 1)))
    disk.full = False
    first.join(20)
    queue.put(SpanBatch(scene.span("full-b", 3, 1)))
    queue.stop()
    assert store.rows("SELECT sum(calls) FROM edges_1d WHERE source = 'full-a'") == [(2,)]


def test_a_store_that_never_comes_back_does_not_keep_the_process_from_ending(store):
    scene, disk, stopping = Scene(), FullDisk(store, "spans"), threading.Event()
    insert = PatientInsert(disk, stopping)
    queue = SpanQueue(Pairer(store, scene.vocabulary, insert=insert), lambda batch: None)
    queue.start()
    refused = []

    def send():
        try:
            queue.put(SpanBatch(client(scene, "gone-a", 1)))
        except StoreError as error:
            refused.append(error)

    sender = threading.Thread(target=send)
    sender.start()
    eventually(lambda: disk.tries >= 1)
    stopping.set()
    queue.stop()
    sender.join(20)
    assert len(refused) == 1
