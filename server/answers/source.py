"""Where a reading command asks: a store that it opens itself, or a server that runs.

Invariant: both give the same bytes for the same question.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import Request, urlopen

from chronotope.schema.errors import ChronotopeError, InvalidValue, NotFound, SchemaMismatch
from chronotope.schema.storage.location import parse_store_url
from chronotope.schema.storage.migrate import migrate, pending
from chronotope.schema.storage.retention import retention_of
from chronotope.schema.storage.store import Store
from chronotope.server.answers.answer import Answer
from chronotope.server.answers.parameters import T, parse_parameters
from chronotope.server.evidence.settings import Settings

QueryItems = Sequence[tuple[str, Sequence[str]]]
TIMEOUT_S = 60


class Refused(ChronotopeError):
    """A server refused the question, or cannot be reached."""


@dataclass(frozen=True, slots=True)
class Source:
    """The address of a store, or of a server; only one is set."""

    store: str = ""
    server: str = ""

    def read(
        self,
        route: str,
        model: type[T],
        given: QueryItems,
        answer: Callable[[Store, Settings, T, int], Answer],
    ) -> bytes:
        """Return the body of an answer.

        Args:
            route: path and, for a server, what is asked.
            model: the route's parameters.
            given: names and values of the parameters.
            answer: what answers from a store.
        """
        parameters = parse_parameters(model, given)  # a server would refuse it too, later
        if self.server:
            return _fetch(self.server, route, given)
        with open_to_read(self.store) as store:
            settings = Settings(retention=retention_of(store))
            return answer(store, settings, parameters, settings.clock()).body


def source_of(store: str | None, server: str | None) -> Source:
    """Return the one source that was named; a server wins over a store from the environment.

    Raises:
        InvalidValue: none is given, or the server's address is none.
    """
    if server:
        parts = urlsplit(server)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise InvalidValue(f"--server {server!r} is not an address; accepted: http://host:port")
        return Source(server=server.rstrip("/"))
    if store:
        return Source(store=store)
    raise InvalidValue("no store is given; use --store STORE, or CHRONOTOPE_STORE, or --server URL of one that runs")


def open_to_read(url: str) -> Store:
    """Open a store that exists and has this version's schema.

    Raises:
        NotFound: nothing is there. A reading command makes no store.
        SchemaMismatch: its migrations are not applied.
    """
    location = parse_store_url(url)
    if location.embedded and location.path != ":memory:" and not Path(location.path).is_dir():
        raise NotFound(f"no store is at {url}; `chronotope import` or `chronotope serve` makes one")
    store = Store.open(url)
    try:
        if location.path == ":memory:":
            migrate(store)
        if missing := pending(store):
            raise SchemaMismatch(
                f"store {location.shown} lacks {len(missing)} migrations; run `chronotope schema apply --store STORE`"
            )
    except ChronotopeError:
        store.close()
        raise
    return store


def _fetch(server: str, route: str, given: QueryItems) -> bytes:
    query = urlencode([(name, ",".join(values)) for name, values in given])
    url = f"{server}{route}{'?' + query if query else ''}"
    return _answer_of(server, Request(url, headers={"Accept": "*/*"}), TIMEOUT_S)


def post_text(server: str, route: str, text: str, media_type: str, timeout_s: float) -> bytes:
    """Return a server's answer to a text.

    Raises:
        Refused: it refuses, or cannot be reached.
    """
    return _answer_of(server, Request(f"{server}{route}", text.encode(), {"Content-Type": media_type}), timeout_s)


def _answer_of(server: str, request: Request, timeout_s: float) -> bytes:
    try:
        with urlopen(request, timeout=timeout_s) as response:
            body: bytes = response.read()
            return body
    except HTTPError as error:
        raise Refused(f"{server} refused: {_detail(error)}") from error
    except (URLError, OSError) as error:
        reason = getattr(error, "reason", None) or error
        raise Refused(f"{server} cannot be reached: {reason}; is `chronotope serve` running there?") from error


def _detail(error: HTTPError) -> str:
    try:
        problem = json.loads(error.read())
        return str(problem["detail"])
    except (ValueError, KeyError, TypeError, OSError):
        return f"HTTP {error.code} {error.reason}"
