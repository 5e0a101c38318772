"""Store addresses: `chdb:///path`, `chdb://memory`, `clickhouse://user:password@host:8443/database?secure=true`."""

from __future__ import annotations

import fcntl
import os
import re
import resource
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from chronotope.schema.errors import InvalidStoreUrl, StoreError, StoreInUse

FORMS = "chdb:///path, chdb://memory or clickhouse://user:password@host:8123/database"
_TRUE = {"1", "true", "yes", "on"}
_SECRET = re.compile(r"(://[^/?#@:]*:)[^/?#]*@")  # up to the last @, as in urlsplit
_SECONDS = ("connect_timeout", "send_receive_timeout")
_OPTIONS = {"secure", "verify", "ca_cert", "cluster", "connect_timeout", "send_receive_timeout"}


@dataclass(frozen=True, slots=True)
class Location:
    """A parsed store address. `path` is set for an embedded store, `host` for a server."""

    url: str
    path: str = ""
    host: str = ""
    port: int = 8123
    user: str = "default"
    password: str = ""
    database: str = "default"
    secure: bool = False
    cluster: str = ""
    options: tuple[tuple[str, str], ...] = ()

    @property
    def embedded(self) -> bool:
        """Whether the engine runs inside this process."""
        return bool(self.path)

    @property
    def shown(self) -> str:
        """The address without its password, for messages."""
        return shown_url(self.url)


def shown_url(url: str) -> str:
    """Return an address, well-formed or not, without its password."""
    return _SECRET.sub(r"\1***@", url)


def parse_store_url(url: str) -> Location:
    """Parse a store address.

    Raises:
        InvalidStoreUrl: any other form; the message says which are accepted.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InvalidStoreUrl(f"store {shown_url(url)!r}: {error}; use {FORMS}") from error
    if parts.scheme == "chdb":
        if parts.query or parts.fragment:
            raise InvalidStoreUrl(f"store {url!r} has options, but an embedded store takes none; use chdb:///path")
        return _embedded(url, parts.netloc, unquote(parts.path))
    if parts.scheme not in ("clickhouse", "clickhouses") or not parts.hostname:
        raise InvalidStoreUrl(f"store {shown_url(url)!r} is not a store address; use {FORMS}")
    options = dict(parse_qsl(parts.query))
    unknown = sorted(set(options) - _OPTIONS)
    if unknown:
        raise InvalidStoreUrl(f"store option {unknown[0]!r} is not known; accepted: {', '.join(sorted(_OPTIONS))}")
    for name in _SECONDS:
        value = options.get(name, "1")
        if not (value.isascii() and value.isdecimal() and int(value)):
            raise InvalidStoreUrl(f"store option {name} is {value!r}; write whole seconds, at least 1")
    secure = options.pop("secure", "").lower() in _TRUE or parts.scheme == "clickhouses"
    return Location(
        url,
        host=parts.hostname,
        port=port or (8443 if secure else 8123),
        user=unquote(parts.username or "default"),
        password=unquote(parts.password or ""),
        database=unquote(parts.path.strip("/")) or "default",
        secure=secure,
        cluster=options.pop("cluster", ""),
        options=tuple(sorted(options.items())),
    )


def _embedded(url: str, netloc: str, path: str) -> Location:
    if netloc == "memory" or path == "/:memory:":
        return Location(url, path=":memory:")
    if netloc or path in ("", "/"):
        raise InvalidStoreUrl(
            f"store {url!r} names no absolute path; use chdb:///path (three slashes) or chdb://memory"
        )
    if "?" in path or "\0" in path:  # the engine would read what follows `?` as options and use another folder
        raise InvalidStoreUrl(f"store {url!r}: a path cannot hold `?` or NUL")
    return Location(url, path=str(Path(path)))


def allow_open_files() -> None:
    """Raise the limit of open files as far as it may go: the embedded engine opens a few for each thread and part.

    Source: ClickHouse's own packages set 262,144.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def check_path(location: Location) -> None:
    """Make the folder of an embedded store and see that nobody else has it open.

    The engine itself answers such troubles with an empty message, so they are looked for first.

    Raises:
        StoreError: the folder cannot be made or written.
        StoreInUse: another process holds the engine's lock.
    """
    if location.path == ":memory:":
        return
    path = Path(location.path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"store {location.url}: cannot make the folder {path}: {error.strerror}") from error
    if not os.access(path, os.W_OK | os.X_OK):
        raise StoreError(f"store {location.url}: the folder {path} is not writable by this user")
    status = path / "status"
    if status.exists():
        _check_lock(location, status)


def _check_lock(location: Location, status: Path) -> None:
    with status.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StoreInUse(
                f"store {location.url} is open in another process (an embedded store has one at a time); "
                "ask that server with --server URL, or stop it first"
            ) from error
        fcntl.flock(file, fcntl.LOCK_UN)
