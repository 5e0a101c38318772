"""The thread that looks for events while a server runs, and its metrics.

Invariant: whatever fails is tried again at the next look; detection never holds up what takes or answers requests.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge

from chronotope.schema.config_events import EventsSection
from chronotope.schema.errors import ChronotopeError, StoreClosed
from chronotope.schema.store import Store
from chronotope.server.events.event import DEPENDENCY_TYPES
from chronotope.server.events.watching import Outcome, Watcher

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 5.0


class EventThread:
    """Looks for events until it is stopped."""

    def __init__(
        self, store: Store, section: EventsSection, clock: Callable[[], int], registry: CollectorRegistry
    ) -> None:
        self._watcher = Watcher(store, section, clock)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)
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

    def start(self) -> None:
        """Start to look."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Look no more, and save how far detection has come."""
        self._stopping.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        started = False
        while not self._stopping.is_set():
            try:
                if not started:
                    self._watcher.start()
                    started = True
                self._count(self._watcher.look())
            except StoreClosed:  # a look may take long, and a stop does not wait for it: the next start goes on
                return
            except ChronotopeError as error:
                logger.warning("events could not be looked for", extra={"reason": str(error)})
            except Exception:  # the next look may succeed: the thread must live on
                logger.exception("events could not be looked for")
            self._stopping.wait(LOOK_EVERY_S)
        try:
            self._watcher.save()
        except StoreClosed:
            return
        except ChronotopeError as error:
            logger.warning("the state of detection was not saved", extra={"reason": str(error)})

    def _count(self, outcome: Outcome) -> None:
        for event in outcome.written:
            self._events.labels(event.type).inc()
        for event in outcome.withdrawn:
            self._withdrawn.labels(event.type).inc()
