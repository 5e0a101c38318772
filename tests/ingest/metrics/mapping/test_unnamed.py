"""What a server counts beyond its named callers is of unknown ones: never twice, and in the end all of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chronotope.ingest.metrics.formats.exposition import ExpositionParser
from chronotope.ingest.metrics.mapping.pipeline import MetricsPipeline
from chronotope.ingest.metrics.mapping.unnamed_callers import SETTLED_MS, UnnamedCallers
from chronotope.schema.config.config import Config

T0 = 1_700_000_000_000
SERVER, CALLER = 1, -1
SERVER_METRIC = 'http_server_request_duration_seconds_count{http_response_status_code="200"}'
CLIENT_METRIC = 'http_client_request_duration_seconds_count{peer_service="cart",http_response_status_code="200"}'


def told(unnamed: UnnamedCallers, rows: list[tuple[int, int, int]]) -> int:
    """Unknown calls of one batch of (end in seconds, calls, side), each of 15 s."""
    if not rows:
        return 0
    end = np.array([T0 + row[0] * 1000 for row in rows])
    calls, side = np.array([row[1] for row in rows]), np.array([row[2] for row in rows])
    share = unnamed.shares([("cart", "http")], np.zeros(len(rows), np.int64), end - 15_000, end, calls, side)
    return round(float((share * calls)[side == SERVER].sum()))


step = st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(-40, 40))


@settings(max_examples=200, deadline=None)
@given(st.lists(step, min_size=1, max_size=40), st.integers(1, 5))
def test_unknown_calls_are_never_more_than_the_callers_do_not_count(
    steps: list[tuple[int, int, int]], together: int
) -> None:
    """Calls of a named and an unknown caller, both sides read up to 40 s apart, in batches of some rounds."""
    reads: list[tuple[int, int, int]] = [(0, 1, CALLER), (0, 1, SERVER)]
    unknown = 0
    for number, (named, other, apart) in enumerate(steps, 1):
        at = 60 * number
        reads += [(at, named + other, SERVER), (at + apart, named, CALLER)]
        unknown += other
    reads.sort()
    unnamed = UnnamedCallers()
    found = told(unnamed, reads[:2])  # the caller is known from the first round on
    for first in range(2, len(reads), together):
        found += told(unnamed, reads[first : first + together])
        assert found <= sum(other for _, other, _ in steps)
    # Later traffic, all of it counted by its caller, lets what is still waiting be told.
    later = 60 * len(steps) + 2 * SETTLED_MS // 1000
    for number in range(8):
        at = later + number * SETTLED_MS // 1000
        found += told(unnamed, [(at, 100, CALLER), (at, 100, SERVER)])
    assert found == unknown


def test_server_whose_callers_nobody_names_tells_all_at_once() -> None:
    unnamed = UnnamedCallers()
    assert told(unnamed, [(15, 7, SERVER), (30, 5, SERVER)]) == 12


def test_callers_that_are_silent_for_long_no_longer_explain_anything() -> None:
    unnamed = UnnamedCallers()
    assert told(unnamed, [(15, 7, CALLER), (15, 7, SERVER)]) == 0
    assert told(unnamed, [(900, 7, SERVER)]) == 7


def test_calls_that_never_reached_the_server_do_not_hide_unknown_ones_for_ever() -> None:
    """A caller's timeouts: for an hour it counts twice what the server does."""
    unnamed = UnnamedCallers()
    for number in range(60):
        assert told(unnamed, [(60 * number, 100, CALLER), (60 * number, 50, SERVER)]) == 0
    found = 0
    for number in range(60, 80):
        found += told(unnamed, [(60 * number, 10, CALLER), (60 * number, 60, SERVER)])
    assert 500 < found <= 1000


@pytest.mark.parametrize("behind_s", [0, 8])
def test_unknown_caller_beside_a_named_one_stays(behind_s: int) -> None:
    """As scrapes see it: the server counts 10 calls in 15 s, of which the instrumented caller makes 6."""
    pipeline = MetricsPipeline(Config())
    server = ExpositionParser(pipeline.table, target_labels={"job": "cart", "instance": "10.0.0.2:1"})
    client = ExpositionParser(pipeline.table, target_labels={"job": "front", "instance": "10.0.0.1:1"})
    found: dict[str, int] = {}
    for number in range(61):
        time_ms = T0 + number * 15_000
        for parser, metric, per_s, late in ((client, CLIENT_METRIC, 6, behind_s), (server, SERVER_METRIC, 10, 0)):
            counted = per_s * (number * 15 + late) // 15
            samples = parser.parse(f"{metric} {counted}\n".encode(), time_ms + late * 1000)
            for table in pipeline.accept(samples):
                for row in table.to_pylist():
                    assert (row["target"], row["protocol"]) == ("cart", "http")
                    found[row["source"]] = found.get(row["source"], 0) + row["calls"]
                    assert sum(calls for _, calls in row["codes"]) <= row["calls"]
    assert found["front"] in (360, 363)
    lag = 4 * 2 * SETTLED_MS // 15_000 + 4
    assert 240 - lag <= found["unknown"] <= 240
