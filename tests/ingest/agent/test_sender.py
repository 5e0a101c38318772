"""The server goes away and comes back: nothing is lost, nothing is doubled, nothing wrong is sent for ever."""

from __future__ import annotations

import http.server
import json
import socket
import threading
import time

import pytest

from chronotope.ingest.agent.sender import Sender
from chronotope.ingest.agent.spool import Spool
from chronotope.schema.errors import InvalidValue


class Taking(http.server.BaseHTTPRequestHandler):
    """Keeps what it takes; `statuses` says how the next requests are answered."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append((self.path, self.headers["Idempotency-Key"], body))
        status = self.server.statuses.pop(0) if self.server.statuses else 200
        answer = json.dumps({"accepted": 2, "rejected": 1, "errors": []}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


def server_on(port, *statuses):
    made = http.server.ThreadingHTTPServer(("127.0.0.1", port), Taking)
    made.asked, made.statuses, made.daemon_threads = [], list(statuses), True
    threading.Thread(target=made.serve_forever, args=(0.02,), daemon=True).start()
    return made


def close(server):
    server.shutdown()
    server.server_close()


def wait_until_empty(spool, timeout_s=15):
    deadline = time.monotonic() + timeout_s
    while len(spool) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(spool) == 0


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def test_what_waited_while_the_server_was_away_arrives_once_and_in_order(tmp_path):
    port, spool = free_port(), Spool(tmp_path, 10_000)
    sender = Sender(f"http://127.0.0.1:{port}/under", spool)
    sender.start()
    for number in range(5):
        spool.put("flows", b"%d" % number)
    time.sleep(0.3)
    server = server_on(port)
    wait_until_empty(spool)
    sender.stop(5)
    close(server)
    assert [body for _, _, body in server.asked] == [b"0", b"1", b"2", b"3", b"4"]
    assert {path for path, _, _ in server.asked} == {"/under/api/v1/flows"}
    assert len({key for _, key, _ in server.asked}) == 5
    assert (sender.sent.batches, sender.sent.records, sender.sent.rejected_records) == (5, 10, 5)
    assert sender.sent.failures > 0


@pytest.mark.parametrize("status", [503, 429, 500, 404])
def test_a_server_that_cannot_now_is_asked_again_with_the_same_key(status):
    server, spool = server_on(free_port(), status), Spool(None, 10_000)
    sender = Sender(f"http://127.0.0.1:{server.server_port}", spool)
    sender.start()
    spool.put("flows", b"once")
    wait_until_empty(spool)
    sender.stop(5)
    close(server)
    (first, second) = server.asked
    assert first == second


@pytest.mark.parametrize("status", [400, 413, 415, 422])
def test_a_batch_that_is_wrong_is_not_sent_for_ever(status):
    server, spool = server_on(free_port(), status), Spool(None, 10_000)
    sender = Sender(f"http://127.0.0.1:{server.server_port}", spool)
    sender.start()
    spool.put("flows", b"wrong")
    spool.put("flows", b"right")
    wait_until_empty(spool)
    sender.stop(5)
    close(server)
    assert [body for _, _, body in server.asked] == [b"wrong", b"right"]
    assert (sender.sent.refused_batches, sender.sent.batches) == (1, 1)


def test_stopping_leaves_on_disk_what_nobody_takes(tmp_path):
    spool = Spool(tmp_path, 10_000)
    sender = Sender(f"http://127.0.0.1:{free_port()}", spool)
    sender.start()
    spool.put("flows", b"later")
    started = time.monotonic()
    sender.stop(100)
    assert time.monotonic() - started < 60
    assert Spool(tmp_path, 10_000).oldest().read() == b"later"


@pytest.mark.parametrize("address", ["", "host:80", "ftp://host", "http://", "http://host:port"])
def test_an_address_that_is_none_is_refused(address):
    with pytest.raises(InvalidValue, match="--server"):
        Sender(address, Spool(None, 1))
