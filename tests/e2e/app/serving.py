"""How the example programs listen: on a free port, which they print."""

from __future__ import annotations

from flask import Flask
from werkzeug.serving import make_server


def say(port: int) -> None:
    """Tell the starter the port."""
    print(f"listening on {port}", flush=True)


def serve(app: Flask) -> None:
    """Serve a Flask application for ever."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    say(server.server_port)
    server.serve_forever()
