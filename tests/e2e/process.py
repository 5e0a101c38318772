"""`chronotope` as a process of its own, as a user would start it."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

COMMAND = (sys.executable, "-m", "chronotope.server.cli")
# Tests that run in the background of a shell ignore Ctrl-C, and what they start would too.
_HEEDING = ("env", "--default-signal=INT")
START_TIMEOUT_S = 120  # the first start compiles
# What a client sees of a server that is killed or stops.
GONE = (OSError, http.client.HTTPException)


class Answer(NamedTuple):
    """One HTTP answer, of whatever status."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, parsed."""
        return json.loads(self.body)


def chronotope(*arguments: str, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=timeout_s)


class ChronotopeProcess:
    """A process that runs until it is stopped; its output is in `log`."""

    def __init__(self, *arguments: str, env: Mapping[str, str] | None = None) -> None:
        self._log = tempfile.NamedTemporaryFile("w+", suffix=".log")  # noqa: SIM115 - closed in __exit__
        self.process = subprocess.Popen(
            [*_HEEDING, *COMMAND, *arguments],
            stdout=self._log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
        )
        self.url = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        if self.process.poll() is None:
            self.kill()
        self._log.close()

    @property
    def log(self) -> str:
        """All that it printed."""
        return Path(self._log.name).read_text()

    def wait_for(self, pattern: str, timeout_s: float = START_TIMEOUT_S) -> str:
        """Wait until it prints a pattern, and return the pattern's group."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            found = re.search(pattern, self.log)
            if found:
                return found[1]
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        log, code = self.log, self.process.poll()
        self.__exit__()
        why = f"did not say {pattern!r} in time" if code is None else f"ended early with code {code}"
        raise RuntimeError(f"the process {why}:\n{log}")

    def kill(self) -> None:
        """`kill -9`."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """End it as Ctrl-C does; return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(60)

    def get(self, path: str, **parameters: object) -> Any:
        """GET an API route as JSON."""
        query = f"?{urllib.parse.urlencode(parameters)}" if parameters else ""
        with urllib.request.urlopen(f"{self.url}{path}{query}", timeout=30) as answer:
            return json.load(answer)

    def post(self, path: str, body: bytes, content_type: str, **headers: str) -> tuple[int, bytes]:
        """POST bytes; return status and body, also of errors."""
        answer = self.ask(path, body, {"Content-Type": content_type, **headers})
        return answer.status, answer.body

    def ask(self, path: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        """POST bytes (or GET without any) with these headers; return the whole answer, also of errors."""
        request = urllib.request.Request(f"{self.url}{path}", body, dict(headers))
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return Answer(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.headers, error.read())

    def post_spans(self, body: bytes) -> int:
        """POST one OTLP request; return the status."""
        return self.post("/v1/traces", body, "application/x-protobuf")[0]

    def metric(self, name: str) -> float:
        """A metric of the server's own, without labels."""
        answer = self.ask("/metrics", None, {})
        return next(float(line.split()[1]) for line in answer.body.decode().splitlines() if line.startswith(f"{name} "))

    def wait_for_release(self) -> None:
        """Wait until no half of a call waits for its answer any more."""
        deadline = time.monotonic() + 30
        while self.metric("chronotope_halves_waiting"):
            assert time.monotonic() < deadline, "halves of calls still wait for their answer"
            time.sleep(0.1)

    def post_identities(self, *records: Mapping[str, object]) -> None:
        """POST ownership ranges; all must be taken."""
        lines = "".join(f"{json.dumps(record)}\n" for record in records)
        answer = self.ask("/api/v1/identities", lines.encode(), {"Content-Type": "application/x-ndjson"})
        assert (answer.status, answer.json["rejected"]) == (200, 0), answer.body


class ServerProcess(ChronotopeProcess):
    """`chronotope serve`: starts on construction; `url` is where it answers, `grpc` where it takes OTLP/gRPC."""

    def __init__(self, store: str, *options: str, grpc: bool = False) -> None:
        grpc_at = "127.0.0.1:0" if grpc else "none"
        listening = ("--listen", "127.0.0.1:0", "--otlp-http", "none", "--otlp-grpc", grpc_at)
        super().__init__("serve", "--store", store, *listening, *options)
        self.url = self.wait_for(r"answers on (http://[^/\s]+)/")
        self.grpc = self.wait_for(r"OTLP/gRPC on (\S+)") if grpc else ""
