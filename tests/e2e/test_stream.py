"""The stream at the socket: as many clients as there may be, none of whom keeps a request waiting."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from contextlib import ExitStack
from http.client import HTTPResponse
from pathlib import Path

import pytest

from chronotope.server.delivery.stream import MOST_CLIENTS
from tests.e2e.process import ServerProcess

pytestmark = pytest.mark.slow


def message(stream: HTTPResponse) -> tuple[str, str, dict[str, object]]:
    """The next message: event, id and data."""
    fields: dict[str, str] = {}
    while line := stream.readline().decode().rstrip("\n") or not fields.get("data"):
        if isinstance(line, str) and ": " in line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = value
    return fields["event"], fields.get("id", ""), json.loads(fields["data"])


def test_streams_tell_of_edges_and_leave_threads_for_requests(tmp_path: Path) -> None:
    with ServerProcess(f"chdb://{tmp_path}/store") as server, ExitStack() as opened:
        url = f"{server.url}/api/v1/stream"
        streams = [opened.enter_context(urllib.request.urlopen(url, timeout=60)) for _ in range(MOST_CLIENTS)]
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(url, timeout=30)
        with refused.value as answer:
            assert (answer.code, answer.headers["Retry-After"]) == (503, "30")
        call = {"time": int(time.time()), "layer": "trace", "source": "a", "target": "b", "calls": 3}
        assert server.post("/api/v1/observations", json.dumps(call).encode(), "application/x-ndjson")[0] == 200
        assert server.metric("chronotope_streams") == MOST_CLIENTS
        kind, known, graph = message(streams[0])
        assert (kind, graph["reset"]) == ("graph", True)
        while not graph["added"]:
            kind, known, graph = message(streams[0])
        (edge,) = graph["added"]  # type: ignore[misc]
        assert (edge["source"], edge["target"]) == ("a", "b")
        assert graph["active"] == {"trace": {"id": [edge["id"]], "calls": [3], "errors": [0]}}
        assert server.stop() == 0
        assert all(stream.read() is not None for stream in streams)  # each comes to its end
    with ServerProcess(f"chdb://{tmp_path}/store") as server:
        again = urllib.request.Request(f"{server.url}/api/v1/stream", headers={"Last-Event-ID": known})
        with urllib.request.urlopen(again, timeout=60) as stream:
            messages = [message(stream)]
            while messages[-1][0] != "graph":
                messages.append(message(stream))
            assert messages[-1][2]["reset"] is False
