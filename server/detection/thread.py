"""The thread that detects events while a server runs, and its metrics.

Invariant: what fails is tried again at the next look. Detection never delays receiving or answering.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge

from chronotope.schema.config.events import EventsSection
from chronotope.schema.errors import ChronotopeError, StoreClosed
from chronotope.schema.repeating import Repeating, log_failure
from chronotope.schema.storage.store import Store
from chronotope.server.detection.watcher import Outcome, Watcher
from chronotope.server.events.event import DEPENDENCY_TYPES

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 5.0


class EventThread:
    """Looks for events in a thread; `rounds` starts and stops it."""

    def __init__(
        self, store: Store, section: EventsSection, clock: Callable[[], int], registry: CollectorRegistry
    ) -> None:
        self._watcher = Watcher(store, section, clock)
        self._started = False
        failed = partial(log_failure, logger, "events could not be looked for")
        self.rounds = Repeating("events", self._look, failed, lambda: LOOK_EVERY_S, at_end=self._save)
        self._events = Counter("chronotope_events", "Dependency events found, by type.", ["type"], registry=registry)
        for kind in DEPENDENCY_TYPES:
            self._events.labels(kind)
        self._withdrawn = Counter(
            "chronotope_events_withdrawn", "Events that later evidence took back, by type.", ["type"], registry=registry
        )
        lag = Gauge(
            "chronotope_event_detection_lag_seconds", "Age of the evidence judged last for silences.", registry=registry
        )
        lag.set_function(lambda: self._watcher.lag_s)

    def _look(self) -> None:
        if not self._started:
            self._watcher.start()
            self._started = True
        self._count(self._watcher.look())

    def _save(self) -> None:
        """Save how far detection has come; without it the next start goes on from further back."""
        try:
            self._watcher.save()
        except StoreClosed:
            raise
        except ChronotopeError as error:
            log_failure(logger, "the state of detection was not saved", error)

    def _count(self, outcome: Outcome) -> None:
        for event in outcome.written:
            self._events.labels(event.type).inc()
        for event in outcome.withdrawn:
            self._withdrawn.labels(event.type).inc()
