"""Scrape one exposition endpoint over HTTP.

Invariant: a scrape gives all samples of one complete answer, or none and a reason. It never takes longer than its
timeout nor more memory than its limits, whatever the target sends. A failed scrape resets nothing: counters go on with
the next one.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import urllib3

from chronotope.ingest.metrics.counters.columns import Samples, SeriesTable, empty_samples
from chronotope.ingest.metrics.formats.exposition import ExpositionParser, is_openmetrics
from chronotope.schema.errors import ChronotopeError, SourceError, TooLarge

ACCEPT = "application/openmetrics-text;version=1.0.0;q=0.9,text/plain;version=0.0.4;q=0.8,*/*;q=0.1"
PIECE_BYTES = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A scrape target."""

    url: str
    labels: Mapping[str, str] = field(default_factory=dict)  # all its series get them: `job`, `instance`, …
    headers: Mapping[str, str] = field(default_factory=dict)  # such as `Authorization`
    interval_s: float = 15.0
    timeout_s: float = 10.0
    max_body_bytes: int = 64 * 1024 * 1024  # after decompression

    def next_at(self, now_s: float) -> float:
        """Return when the next scrape is due after `now_s`: a fixed moment of each interval, another for each target.

        So targets are spread over the interval, and a restarted collector scrapes at the same moments as before.
        """
        digest = hashlib.blake2b(self.url.encode(), digest_size=8).digest()
        offset = int.from_bytes(digest) / 2**64 * self.interval_s
        return ((now_s - offset) // self.interval_s + 1) * self.interval_s + offset


@dataclass(frozen=True, slots=True)
class Scrape:
    """The result of one scrape."""

    time_ms: int  # when it began: the time of samples without a timestamp
    samples: Samples
    up: bool
    error: str  # one line; empty when up
    elapsed_s: float
    bytes_read: int  # after decompression


class Scraper:
    """Scrapes one target again and again.

    Args:
        target: what to scrape.
        table: where the series are interned; several scrapers may share one in one thread.
        pool: HTTP connections, shared by all scrapers.
        wanted: which metrics are used, by name; see `ExpositionParser`.
        clock: Unix seconds.
    """

    def __init__(
        self,
        target: Target,
        table: SeriesTable,
        pool: urllib3.PoolManager,
        *,
        wanted: Callable[[str], bool] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.target = target
        self.parser = ExpositionParser(table, target_labels=target.labels, wanted=wanted)
        self.up: bool | None = None  # None: not yet scraped
        self.scrapes = 0
        self.failures = 0
        self.last_error = ""
        self._pool = pool
        self._clock = clock

    def fetch(self) -> tuple[int, bytes, bool, bool]:
        """Return (time in ms, body, whether it is OpenMetrics, whether HTTP says that it is complete).

        May run in a thread of its own; parses nothing.

        Raises:
            SourceError: no connection, no answer in time, or another status than 200.
            TooLarge: the body is over its limit.
        """
        began_ms = round(self._clock() * 1000)
        deadline = time.monotonic() + self.target.timeout_s
        try:
            response = self._pool.request(
                "GET",
                self.target.url,
                headers={**self.target.headers, "Accept": ACCEPT, "Accept-Encoding": "gzip"},
                timeout=urllib3.Timeout(total=self.target.timeout_s),
                retries=False,
                redirect=False,
                preload_content=False,
            )
            with contextlib.closing(response):  # before that, a fully read connection is in its pool again
                if response.status != 200:
                    raise SourceError(f"{self.target.url} answers with status {response.status}, not 200")
                body = _read(response, self.target, deadline)
                response.release_conn()
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise SourceError(f"{self.target.url} cannot be scraped: {error}") from error
        headers = response.headers
        complete = "Content-Length" in headers or "chunked" in headers.get("Transfer-Encoding", "").lower()
        return began_ms, body, is_openmetrics(headers.get("Content-Type", "")), complete

    def scrape(self) -> Scrape:
        """Fetch and parse; a failure is an answer, not an exception."""
        began_s, began = self._clock(), time.monotonic()
        self.scrapes += 1
        try:
            time_ms, body, openmetrics, complete = self.fetch()
            samples = self.parser.parse(body, time_ms, openmetrics=openmetrics, complete=complete)
        except ChronotopeError as error:
            self.up, self.last_error = False, str(error)
            self.failures += 1
            elapsed_s = time.monotonic() - began
            return Scrape(round(began_s * 1000), empty_samples(), False, self.last_error, elapsed_s, 0)
        self.up, self.last_error = True, ""
        return Scrape(time_ms, samples, True, "", time.monotonic() - began, len(body))


def _read(response: urllib3.BaseHTTPResponse, target: Target, deadline: float) -> bytes:
    """Return the whole body, decompressed piece by piece."""
    pieces: list[bytes] = []
    size = 0
    while piece := response.read1(PIECE_BYTES, decode_content=True):
        pieces.append(piece)
        size += len(piece)
        if size > target.max_body_bytes:
            raise TooLarge(f"{target.url} answers with more than {target.max_body_bytes} bytes")
        if time.monotonic() > deadline:
            raise SourceError(f"{target.url} did not answer within {target.timeout_s:g} s")
    return b"".join(pieces)
