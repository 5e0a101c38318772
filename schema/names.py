"""Names: service ids, edge ids and what a hostile name is turned into.

A service id is `namespace/name`, or just `name` when the namespace is empty. An edge id is the same on every
installation for ever: the first 16 hex digits of SHA-256 over source, NUL, target, NUL, protocol.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache

MAX_NAME = 256
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def clean_name(text: str) -> str:
    """Return `text` fit to be a name: no control characters, at most 256 characters.

    A longer name keeps its first 239 characters and gets a digest of the whole, so that two different long names
    stay different.
    """
    return _clean(text) if len(text) <= MAX_NAME else _clean.__wrapped__(text)  # no long text is kept in memory


@lru_cache(maxsize=65536)
def _clean(text: str) -> str:
    cleaned = _CONTROL.sub("\ufffd", text).strip()
    if len(cleaned) <= MAX_NAME:
        return cleaned
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"{cleaned[: MAX_NAME - 17]}~{digest}"


def service_id(name: str, namespace: str = "") -> str:
    """Join a cleaned name and namespace to a service id; empty when the name is."""
    name, namespace = clean_name(name), clean_name(namespace)
    return f"{namespace}/{name}" if namespace and name else name


def split_service_id(service: str) -> tuple[str, str]:
    """Return (namespace, name) of a service id."""
    namespace, slash, name = service.partition("/")
    return (namespace, name) if slash and namespace and name else ("", service)


@lru_cache(maxsize=262144)
def edge_id(source: str, target: str, protocol: str) -> str:
    """Return the edge's id, 16 hex digits."""
    return hashlib.sha256(f"{source}\0{target}\0{protocol}".encode()).hexdigest()[:16]
