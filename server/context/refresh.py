"""Refresh in the store what the catalogue says of services: attributes, with the time since when they hold.

Invariant: a fact is written when it is new or differs from before, and once more when the process starts. So the graph
of an earlier time shows what held then. A file that cannot be read changes nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial

import pyarrow as pa

from chronotope.schema.config.config import Config
from chronotope.schema.repeating import Repeating, log_failure
from chronotope.schema.storage.store import Store
from chronotope.server.context.catalogue import Attributes, read_catalogue, resolve

logger = logging.getLogger(__name__)
ROUND_S = 60.0
_STAMP = pa.timestamp("ms", tz="UTC")


class CatalogueRefresh:
    """Reads the catalogue each minute, since files change and services come; `rounds` starts and stops it."""

    def __init__(self, store: Store, config: Config, clock: Callable[[], int]) -> None:
        self._store, self._config, self._clock = store, config, clock
        self._written: dict[str, Attributes] = {}
        failed = partial(log_failure, logger, "catalogue not read")
        self.rounds = Repeating("catalogue", self.round, failed, lambda: ROUND_S)

    def round(self) -> int:
        """Write what is new; return how many facts.

        Raises:
            InvalidConfig: a file cannot be read.
            StoreError: not written; the next round does.
        """
        facts = {**read_catalogue(self._config.catalogue)}
        for entry in self._config.identities:
            if entry.attributes:
                facts.setdefault(entry.service_id, {}).update(entry.attributes)
        known = [str(row[0]) for row in self._store.rows("SELECT DISTINCT service FROM services")]
        wanted = resolve(facts, known)
        new = [
            (service, key, value)
            for service, attributes in wanted.items()
            for key, value in attributes.items()
            if self._written.get(service, {}).get(key) != value
        ]
        write_facts(self._store, new, self._clock())
        self._written = wanted
        return len(new)


def write_facts(store: Store, facts: list[tuple[str, str, str]], at_ms: int) -> None:
    """Write (service, key, value) as they hold at an instant, Unix milliseconds."""
    if not facts:
        return
    services, keys, values = zip(*facts, strict=True)
    at = pa.array([at_ms] * len(facts), _STAMP)
    store.insert(
        "service_attributes",
        pa.table({"service": services, "key": keys, "value": values, "first_seen": at, "last_seen": at}),
    )


def has_catalogue(config: Config) -> bool:
    """Return whether a configuration says anything about services."""
    facts: list[Mapping[str, str]] = [entry.attributes for entry in config.identities]
    return bool(config.catalogue) or any(facts)
