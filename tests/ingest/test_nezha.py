"""A day of a real system (Nezha, Online Boutique): the known edges and calls, whatever the order and the batching."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from chronotope.ingest.files.spans.formats import read_batches
from chronotope.ingest.spans.columns import SpanBatch, Vocabulary, join_batches
from chronotope.ingest.spans.pairer import Pairer

pytestmark = pytest.mark.slow

DAY = "2022-08-22"


@pytest.fixture(scope="module")
def folder(shared_data):
    return shared_data / "nezha_onlineboutique"


@pytest.fixture(scope="module")
def day(folder):
    """The vocabulary and all spans of the day, duplicates too."""
    vocabulary = Vocabulary()
    batches = list(read_batches(folder / f"spans_{DAY}.parquet", "spans", vocabulary))
    return vocabulary, join_batches(batches).rows


@pytest.fixture(scope="module")
def truth(folder):
    with (folder / f"truth_edges_ob_{DAY}.csv").open() as file:
        return {(row["source"], row["target"]): int(row["calls"]) for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def truth_by_minute(folder):
    with (folder / f"truth_edges_per_minute_ob_{DAY}.csv").open() as file:
        rows = csv.DictReader(file)
        return {(int(row["minute"]), row["source"], row["target"]): int(row["calls"]) for row in rows}


def edges(store):
    rows = store.rows("SELECT source, target, sum(calls) AS n FROM edges_1d GROUP BY 1, 2 HAVING n != 0")
    return {(source, target): calls for source, target, calls in rows}


def edges_by_minute(store):
    rows = store.rows(
        "SELECT toUInt32(time), source, target, sum(calls) AS n FROM edges_1m GROUP BY 1, 2, 3 HAVING n != 0"
    )
    return {(minute, source, target): calls for minute, source, target, calls in rows}


def accept(pairer, rows, size):
    for start in range(0, len(rows), size):
        pairer.accept(SpanBatch(rows[start : start + size].copy()))


@pytest.mark.parametrize("capacity", [2_000_000, 100_000], ids=["in memory", "memory for a tenth"])
@pytest.mark.parametrize("order", ["file", "shuffled", "backwards"])
def test_the_days_edges_do_not_depend_on_order(store, day, truth, truth_by_minute, order, capacity):
    vocabulary, rows = day
    orders = {
        "file": np.arange(len(rows)),
        "shuffled": np.random.default_rng(1).permutation(len(rows)),
        "backwards": np.arange(len(rows))[::-1],
    }
    pairer = Pairer(store, vocabulary, capacity=capacity)
    accept(pairer, rows[orders[order]], 100_000)
    assert edges(store) == truth
    assert edges_by_minute(store) == truth_by_minute
    accept(pairer, rows[orders[order]][:200_000], 50_000)
    assert edges_by_minute(store) == truth_by_minute, "imported twice, counted once"


def test_one_span_a_batch_gives_the_same_edges(store, day, truth_by_minute):
    vocabulary, rows = day
    first = rows[:400]
    alone = Pairer(store, vocabulary)
    accept(alone, first, 1)
    one_by_one = edges_by_minute(store)
    assert sum(one_by_one.values()) > 50
    accept(alone, rows[400:], 200_000)
    assert edges_by_minute(store) == truth_by_minute


def test_children_an_hour_before_their_parents_still_make_their_edges(store, day, truth_by_minute):
    vocabulary, rows = day
    now = [1_700_000_000.0]
    is_parent = np.isin(rows["span"], rows["parent"])
    early = Pairer(store, vocabulary, capacity=100_000, clock=lambda: now[0])
    accept(early, rows[~is_parent], 200_000)
    assert edges_by_minute(store) == {}
    now[0] += 3600
    late = Pairer(store, vocabulary, capacity=100_000, clock=lambda: now[0])
    late.recover()
    accept(late, rows[is_parent], 200_000)
    assert edges_by_minute(store) == truth_by_minute
