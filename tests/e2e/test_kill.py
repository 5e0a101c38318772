"""`kill -9` at any moment under load: no acknowledged span's edge is lost, and no call is counted twice."""

from __future__ import annotations

import random
import threading
import time
import urllib.error

from tests.e2e.otlp_requests import CLIENT, request_of, span_of
from tests.e2e.process import ServerProcess

ROUNDS = 12
SENDERS = 3
CALLS_A_REQUEST = 5


class Sender(threading.Thread):
    """Sends halves of calls, the two halves in requests of their own, and remembers what was acknowledged."""

    def __init__(self, server, number, unanswered):
        super().__init__(daemon=True)
        self.server, self.number = server, number
        self.acknowledged, self.unanswered = [], unanswered

    def run(self):
        random_ = random.Random(self.number)
        made = 0
        while True:
            names = [f"{self.number}-{made}-{i}" for i in range(CALLS_A_REQUEST)]
            made += 1
            halves = [("client", names), ("server", names)]
            random_.shuffle(halves)
            for half, calls in halves:
                body = half_of(half, calls)
                try:
                    status = self.server.post_spans(body)
                except (OSError, urllib.error.URLError):
                    self.unanswered.append((half, calls))
                    return
                assert status == 200
                self.acknowledged.append((half, calls))


def half_of(half, calls):
    """One half of some calls; each call has an edge of its own."""
    now = 1_700_000_000.0
    requests = []
    for call in calls:
        trace = abs(hash(call)) + 1
        if half == "client":
            requests.append(request_of(f"from-{call}", span_of(trace, 1, kind=CLIENT, start_s=now)))
        else:
            requests.append(request_of(f"to-{call}", span_of(trace, 2, 1, start_s=now)))
    return b"".join(requests)


def test_kill_9_loses_nothing_acknowledged_and_counts_nothing_twice(tmp_path):
    store = f"chdb://{tmp_path}/store"
    acknowledged, unanswered = {"client": set(), "server": set()}, []
    for number in range(ROUNDS):
        with ServerProcess(store) as server:
            for half, calls in unanswered if number % 2 else []:  # every other time its client sends it again
                assert server.post_spans(half_of(half, calls)) == 200
                acknowledged[half].update(calls)
            unanswered = []
            senders = [Sender(server, number * SENDERS + i, unanswered) for i in range(SENDERS)]
            for sender in senders:
                sender.start()
            time.sleep(random.Random(number).uniform(0.05, 1.5))
            server.kill()
            for sender in senders:
                sender.join(60)
                for half, calls in sender.acknowledged:
                    acknowledged[half].update(calls)
    with ServerProcess(store) as server:
        graph = server.get("/api/v1/graph", at="2023-11-14T22:20:00Z", window="30m", limit=100000)
    counted = {edge["source"].removeprefix("from-"): edge["evidence"]["trace"]["calls"] for edge in graph["edges"]}
    both = acknowledged["client"] & acknowledged["server"]
    assert len(both) > 20 * ROUNDS
    assert both <= counted.keys()
    assert set(counted.values()) == {1}
