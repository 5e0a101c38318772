"""Every error raised on purpose.

ChronotopeError
├── InvalidValue           a value from outside that cannot be understood (HTTP 400, exit 2)
│   ├── InvalidTime
│   ├── InvalidStoreUrl
│   ├── InvalidPayload     bytes that are not what their content type says
│   └── InvalidConfig      a configuration file: names line and key
├── Impossible             well-formed, but cannot be answered (HTTP 422)
│   └── InvalidWindow
├── NotFound               no such edge, service or file (HTTP 404)
├── TooLarge               a body or message over its limit (HTTP 413)
├── UnsupportedMedia       a content type or encoding nobody reads (HTTP 415)
├── Busy                   try again later (HTTP 503)
├── SourceError            a source of ours, such as a Prometheus, that cannot be read (exit 1)
└── StoreError             the store refused or cannot be reached (HTTP 503)
    ├── StoreInUse         another process has the embedded store open
    ├── StoreClosed        this process closed the store: a thread that meets it has nothing more to do
    └── SchemaMismatch     migrations on disk and in the store disagree
"""


class ChronotopeError(Exception):
    """Base of every error raised on purpose; messages name the value and the remedy."""


class InvalidValue(ChronotopeError):
    """A value from outside that cannot be understood."""


class InvalidTime(InvalidValue):
    """Not a time or duration in any accepted form."""


class InvalidStoreUrl(InvalidValue):
    """Not a store address: `chdb:///path`, `chdb://memory` or `clickhouse://…`."""


class InvalidPayload(InvalidValue):
    """Bytes that are not what their content type or format says."""


class InvalidConfig(InvalidValue):
    """A configuration file that cannot be used; names the line and the key."""


class Impossible(ChronotopeError):
    """Well-formed, but nothing can answer it."""


class InvalidWindow(Impossible):
    """The asked window is empty, reversed or too long."""


class NotFound(ChronotopeError):
    """No such edge, service or file."""


class TooLarge(ChronotopeError):
    """A body, message or archive over its limit."""


class UnsupportedMedia(ChronotopeError):
    """A content type or encoding that nobody here reads; the message says which are."""


class Busy(ChronotopeError):
    """Too much is waiting already; try again after `retry_after_s` seconds."""

    def __init__(self, message: str, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class SourceError(ChronotopeError):
    """A source that we read from, such as a Prometheus server, that cannot be reached or refuses to answer."""


class StoreError(ChronotopeError):
    """The store refused, or cannot be reached."""


class StoreInUse(StoreError):
    """Another process has this embedded store open."""


class StoreClosed(StoreError):
    """This process closed the store meanwhile: the server stops."""


class SchemaMismatch(StoreError):
    """The migrations of this version and those in the store disagree."""
