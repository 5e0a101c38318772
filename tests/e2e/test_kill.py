"""A server that ends at any moment under load: no acknowledged span's edge is lost, and no call is counted twice."""

from __future__ import annotations

import random
import signal
import threading
import time

import pytest

from tests.e2e.otlp_requests import CLIENT, request_of, span_of
from tests.e2e.process import GONE, ServerProcess
from tests.repetitions import repetitions

pytestmark = pytest.mark.slow

ROUNDS = repetitions(4, 8)  # 0, 2 or 4 answers before the kill; halves sent again or not
STOPS = repetitions(2, 3)
SENDERS = 3
CALLS_A_REQUEST = 5
AT = 1_700_000_000
BUSY = 503


class Sender(threading.Thread):
    """Sends halves of calls, the two halves in requests of their own, and remembers what was acknowledged."""

    def __init__(self, server, number):
        super().__init__(daemon=True)
        self.server, self.number = server, number
        self.acknowledged, self.unanswered, self.statuses = [], [], set()

    def run(self):
        random_ = random.Random(self.number)
        made = 0
        while True:
            names = [f"{self.number}-{made}-{i}" for i in range(CALLS_A_REQUEST)]
            made += 1
            halves = [("client", names), ("server", names)]
            random_.shuffle(halves)
            for half, calls in halves:
                try:
                    status = self.server.post_spans(half_of(half, calls))
                except GONE:
                    self.unanswered.append((half, calls))
                    return
                self.statuses.add(status)
                if status != 200:
                    self.unanswered.append((half, calls))
                    return
                self.acknowledged.append((half, calls))


def half_of(half, calls):
    """One half of some calls; each call has an edge of its own."""
    requests = []
    for call in calls:
        trace = abs(hash(call)) + 1
        if half == "client":
            requests.append(request_of(f"from-{call}", span_of(trace, 1, kind=CLIENT, start_s=AT)))
        else:
            requests.append(request_of(f"to-{call}", span_of(trace, 2, 1, start_s=AT)))
    return b"".join(requests)


def senders_to(server, number, acknowledgements, then_s):
    """Load a server until every sender was answered so often, and for a random time more."""
    senders = [Sender(server, number * SENDERS + i) for i in range(SENDERS)]
    for sender in senders:
        sender.start()
    deadline = time.monotonic() + 30
    while any(len(sender.acknowledged) < acknowledgements for sender in senders) and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(then_s)
    return senders


def calls_of(halves, half):
    """The calls of which this half is among some halves."""
    return {call for which, calls in halves if which == half for call in calls}


def counted_calls(server):
    """Calls of every edge by name, which is the same at both of its ends."""
    edges = server.get("/api/v1/graph", **{"from": AT - 600, "to": AT + 600}, limit=100000)["edges"]
    for edge in edges:
        assert edge["source"].removeprefix("from-") == edge["target"].removeprefix("to-")
    return {edge["source"].removeprefix("from-"): edge["evidence"]["trace"]["calls"] for edge in edges}


def test_kill_9_loses_nothing_acknowledged_and_counts_nothing_twice(tmp_path):
    """The engine's files, the halves that wait and the last insert are read back after each kill."""
    store = f"chdb://{tmp_path}/store"
    acknowledged, unanswered = [], []
    for number in range(ROUNDS):
        with ServerProcess(store) as server:
            for half, calls in unanswered if number % 2 else []:  # every other time its client sends it again
                assert server.post_spans(half_of(half, calls)) == 200
                acknowledged.append((half, calls))
            # From before the first answer to the middle of the load.
            senders = senders_to(server, number, number % 3 * 2, random.Random(number).uniform(0, 0.4))
            server.kill()
            for sender in senders:
                sender.join(60)
                assert sender.statuses <= {200}
            unanswered = [half for sender in senders for half in sender.unanswered]
            acknowledged += [half for sender in senders for half in sender.acknowledged]
    with ServerProcess(store) as server:
        counted = counted_calls(server)
        assert server.stop() == 0
    both = calls_of(acknowledged, "client") & calls_of(acknowledged, "server")
    assert len(both) >= ROUNDS * SENDERS * CALLS_A_REQUEST // 2
    assert both <= counted.keys()
    assert set(counted.values()) == {1}


def test_sigterm_under_load_ends_with_code_0_and_keeps_all_that_was_accepted(tmp_path):
    """Who is too late is told so (503), not cut off; nothing that was refused is half written."""
    store = f"chdb://{tmp_path}/store"
    acknowledged, refused = [], []
    for number in range(STOPS):
        with ServerProcess(store) as server:
            senders = senders_to(server, number, 4, 0.1 * number)
            assert server.stop(signal.SIGTERM) == 0, server.log
            assert "Traceback" not in server.log
            for sender in senders:
                sender.join(60)
                assert sender.statuses <= {200, BUSY}
            acknowledged += [half for sender in senders for half in sender.acknowledged]
            refused += [half for sender in senders for half in sender.unanswered]
    both = calls_of(acknowledged, "client") & calls_of(acknowledged, "server")
    with ServerProcess(store) as server:
        assert both <= counted_calls(server).keys()
        for half, calls in refused:
            assert server.post_spans(half_of(half, calls)) == 200
        counted = counted_calls(server)
    everything = acknowledged + refused
    assert counted.keys() == calls_of(everything, "client") & calls_of(everything, "server")
    assert set(counted.values()) == {1}
