"""A server whose process has more than 1,024 files open still answers: the embedded engine alone opens hundreds."""

from __future__ import annotations

import os
import socket
import threading
import urllib.request

from chronotope.server.running.web import WebServer


def application(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]


def test_a_server_with_over_a_thousand_open_files_still_answers():
    held = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    try:
        listening = socket.create_server(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        web = WebServer(application, [listening], 1024)
        thread = threading.Thread(target=web.run, daemon=True)
        thread.start()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as answer:
            assert answer.read() == b"ok"
        web.stop(5)
        thread.join(5)
        assert not thread.is_alive()
    finally:
        for number in held:
            os.close(number)
