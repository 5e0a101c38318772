"""Background load for bench_live: a process that posts requests of 500 new spans at a steady rate until it is ended.

Run as `python span_load.py URL SPANS_PER_SECOND`; it prints how many spans were accepted each second.
"""

from __future__ import annotations

import http.client
import secrets
import sys
import threading
import time
from urllib.parse import urlsplit

import numpy as np
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

SPANS = 500
CONNECTIONS = 8
SERVICES = 20
_MARK, _TIME = b"TRACE-ID-", 0x1122334455667788


class Template:
    """A request whose trace ids and times are overwritten in place: building one anew takes ten times as long."""

    def __init__(self) -> None:
        body = _request()
        self._body = np.frombuffer(body, np.uint8).copy()
        traces = _places(body, _MARK)
        self._traces = np.array(traces)
        self._calls = np.array([int(body[at + len(_MARK) : at + 16]) for at in traces])
        self._times = np.array(_places(body, _TIME.to_bytes(8, "little")))

    def fresh(self, now_ns: int) -> bytes:
        """Return the request with new trace ids, as of now; the two spans of a call share theirs."""
        ids = np.frombuffer(secrets.token_bytes(8 * SPANS), np.uint8).reshape(-1, 16)
        self._body[self._traces[:, None] + np.arange(16)] = ids[self._calls]
        self._body[self._times[:, None] + np.arange(8)] = np.frombuffer(now_ns.to_bytes(8, "little"), np.uint8)
        return self._body.tobytes()


def _request() -> bytes:
    request = ExportTraceServiceRequest()
    for service in range(SERVICES):
        resource_spans = request.resource_spans.add()
        resource_spans.resource.attributes.add(key="service.name").value.string_value = f"load-{service}"
        resource_spans.scope_spans.add()
    for call in range(SPANS // 2):
        for half in (0, 1):
            spans = request.resource_spans[(call + half * 7) % SERVICES].scope_spans[0].spans
            span = spans.add(
                trace_id=_MARK + b"%07d" % call,
                span_id=(2 * call + half + 1).to_bytes(8),
                parent_span_id=(2 * call + 1).to_bytes(8) if half else b"",
                name="GET /items",
                kind=2 if half else 3,
                start_time_unix_nano=_TIME,
                end_time_unix_nano=_TIME,
            )
            span.attributes.add(key="http.request.method").value.string_value = "GET"
    return request.SerializeToString()


def _places(body: bytes, mark: bytes) -> list[int]:
    places, at = [], body.find(mark)
    while at >= 0:
        places.append(at)
        at = body.find(mark, at + 1)
    return places


class Sender(threading.Thread):
    """One connection with its share of the rate; it waits for each answer, as an exporter does."""

    def __init__(self, url: str, spans_per_s: float) -> None:
        super().__init__(daemon=True)
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)
        self._template = Template()
        self._spans_per_s = spans_per_s
        self.accepted = 0

    def run(self) -> None:
        began, sent = time.monotonic(), 0
        while True:
            body = self._template.fresh(time.time_ns())
            self._connection.request("POST", "/v1/traces", body, {"Content-Type": "application/x-protobuf"})
            answer = self._connection.getresponse()
            answer.read()
            sent += SPANS
            self.accepted += SPANS if answer.status == 200 else 0
            time.sleep(max(0.0, sent / self._spans_per_s - (time.monotonic() - began)))


def main(url: str, spans_per_s: int) -> None:
    """Post until the process is ended."""
    senders = [Sender(url, spans_per_s / CONNECTIONS) for _ in range(CONNECTIONS)]
    for sender in senders:
        sender.start()
        time.sleep(SPANS / spans_per_s)
    began, before = time.monotonic(), sum(sender.accepted for sender in senders)
    while True:
        time.sleep(1)
        accepted = sum(sender.accepted for sender in senders) - before
        print(round(accepted / (time.monotonic() - began)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
