"""Requests to Prometheus' HTTP API, one at a time.

Invariant: a request is repeated only when the server was overloaded, unreachable or late, with growing pauses and not
for ever. Any other refusal is a `SourceError` with the server's own words.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from urllib.parse import urlencode

import msgspec
import urllib3

from chronotope.schema.errors import InvalidValue, SourceError

PIECE_BYTES = 1 << 20
LONGEST_PAUSE_S = 60.0
_AGAIN = frozenset((408, 429, 500, 502, 503, 504))


class TooMuch(SourceError):
    """The answer is larger than the server or we allow: ask for less."""


class _Refusal(msgspec.Struct):
    error: str = ""
    error_type: str = msgspec.field(name="errorType", default="")


class PrometheusHttp:
    """A Prometheus server, or one with its API (Thanos, Mimir, VictoriaMetrics).

    Args:
        url: where it is, with its path prefix: `http://prometheus:9090`.
        headers: such as `Authorization` or `X-Scope-OrgID`.
        timeout_s: how long one request may take.
        attempts: how often a request is made before it fails.
        max_body_bytes: largest answer, decompressed.
        sleep: waits some seconds.
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 60.0,
        attempts: int = 5,
        max_body_bytes: int = 256 * 1024 * 1024,
        connections: int = 4,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        if not url.startswith(("http://", "https://")):
            raise InvalidValue(f"{url!r} is not a Prometheus address; write http://host:9090 or https://…")
        self.url = url.rstrip("/")
        self.timeout_s = timeout_s
        self.attempts = attempts
        self.max_body_bytes = max_body_bytes
        self.repeated = 0  # requests that were made again
        self._headers = {**(headers or {}), "Accept": "application/json", "Accept-Encoding": "gzip"}
        self._sleep = sleep
        self._pool = urllib3.PoolManager(maxsize=connections, block=False)

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()

    def post(self, path: str, form: Mapping[str, str | list[str]]) -> bytes:
        """Return the body of a successful answer to `POST <url>/api/v1/<path>`; safe in several threads.

        Args:
            path: below `/api/v1/`.
            form: fields; one with a list comes once for each of its values.

        Raises:
            SourceError: no answer after all attempts, or the server refuses.
            TooMuch: the answer is over a limit of the server or of ours.
        """
        body = urlencode(form, doseq=True).encode()
        headers = {**self._headers, "Content-Type": "application/x-www-form-urlencoded"}
        return self._answer("POST", f"{self.url}/api/v1/{path}", body, headers)

    def get(self, path: str, query: Mapping[str, str] | None = None) -> bytes:
        """Return the body of a successful answer to `GET <url>/api/v1/<path>`; errors as `post`."""
        question = f"?{urlencode(query)}" if query else ""
        return self._answer("GET", f"{self.url}/api/v1/{path}{question}", None, self._headers)

    def _answer(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> bytes:
        for attempt in range(1, self.attempts + 1):
            wanted_pause_s = 0.0
            try:
                status, answer, after = self._once(method, url, body, headers)
            except (urllib3.exceptions.HTTPError, OSError) as error:
                problem = f"{self.url} cannot be read: {error}"
            else:
                if status == 200:
                    return answer
                problem = f"{self.url} refuses with status {status}: {_words(answer)}"
                if status == 422 and b"too many samples" in answer:
                    raise TooMuch(problem)
                if status not in _AGAIN:
                    raise SourceError(problem)
                wanted_pause_s = float(after) if after.isdecimal() else 0.0
            if attempt < self.attempts:
                self.repeated += 1
                # Half of the pause is random, so that several collectors do not return at once.
                pause_s = max(2.0 ** (attempt - 1) * random.uniform(0.5, 1.0), wanted_pause_s)
                self._sleep(min(pause_s, LONGEST_PAUSE_S))
        raise SourceError(f"{problem} (after {self.attempts} attempts)")

    def _once(self, method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> tuple[int, bytes, str]:
        """Return (status, body, Retry-After)."""
        deadline = time.monotonic() + self.timeout_s
        timeout = urllib3.Timeout(total=self.timeout_s)
        response = self._pool.request(
            method,
            url,
            body=body,
            headers=headers,
            timeout=timeout,
            retries=False,
            redirect=False,
            preload_content=False,
        )
        pieces: list[bytes] = []
        size = 0
        try:
            while piece := response.read1(PIECE_BYTES, decode_content=True):
                pieces.append(piece)
                size += len(piece)
                if size > self.max_body_bytes:
                    raise TooMuch(
                        f"{self.url} answers with more than {self.max_body_bytes} bytes; ask for less at once"
                    )
                if time.monotonic() > deadline:
                    raise urllib3.exceptions.TimeoutError(f"no complete answer within {self.timeout_s:g} s")
            response.release_conn()
        finally:
            response.close()
        return response.status, b"".join(pieces), response.headers.get("Retry-After", "")


def _words(answer: bytes) -> str:
    """Return the error text of an answer, in one line."""
    try:
        refusal = msgspec.json.decode(answer, type=_Refusal)
        text = f"{refusal.error_type}: {refusal.error}" if refusal.error else ""
    except (msgspec.MsgspecError, UnicodeDecodeError):
        text = ""
    text = text or answer[:200].decode(errors="replace") or "no explanation"
    return " ".join(text.split())[:500]
