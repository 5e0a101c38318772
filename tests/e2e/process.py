"""A `chronotope serve` process of its own, as a user would start it."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

START_TIMEOUT_S = 120  # the first start compiles


class ServerProcess:
    """Starts on construction; `url` is where it answers."""

    def __init__(self, store: str, *options: str, grpc: bool = False) -> None:
        self._log = tempfile.NamedTemporaryFile("w+", suffix=".log")
        grpc_at = "127.0.0.1:0" if grpc else "none"
        command = [sys.executable, "-m", "chronotope.server.cli", "serve", "--store", store]
        listening = ["--listen", "127.0.0.1:0", "--otlp-http", "none", "--otlp-grpc", grpc_at]
        self.process = subprocess.Popen(
            [*command, *listening, *options], stdout=self._log, stderr=subprocess.STDOUT, text=True
        )
        self.url = self._wait_for(r"answers on (http://[^/\s]+)/")
        self.grpc = self._wait_for(r"OTLP/gRPC on (\S+)") if grpc else ""

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.stop()

    def _wait_for(self, pattern: str) -> str:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            found = re.search(pattern, self.log)
            if found:
                return found[1]
            if self.process.poll() is not None:
                raise RuntimeError(f"the server ended at its start:\n{self.log}")
            time.sleep(0.05)
        raise RuntimeError(f"the server did not say {pattern!r} in time:\n{self.log}")

    @property
    def log(self) -> str:
        """All that it printed."""
        return Path(self._log.name).read_text()

    def kill(self) -> None:
        """`kill -9`."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        """End it as Ctrl-C does; return the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(60)

    def get(self, path: str, **parameters: object) -> Any:
        """GET an API route as JSON."""
        query = f"?{urllib.parse.urlencode(parameters)}" if parameters else ""
        with urllib.request.urlopen(f"{self.url}{path}{query}", timeout=30) as answer:
            return json.load(answer)

    def post(self, path: str, body: bytes, content_type: str, **headers: str) -> tuple[int, bytes]:
        """POST bytes; return status and body, also of errors."""
        request = urllib.request.Request(f"{self.url}{path}", body, {"Content-Type": content_type, **headers})
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def post_spans(self, body: bytes) -> int:
        """POST one OTLP request; return the status."""
        return self.post("/v1/traces", body, "application/x-protobuf")[0]
