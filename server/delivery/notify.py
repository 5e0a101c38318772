"""Notify receivers, each in its own thread, so that a receiver that hangs or fails delays no other.

Invariant: a receiver gets notices in order. After a failure it is tried again later: exponential back-off with jitter.
A notice that it refuses for good, or did not take for too long, is dropped and counted.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge

from chronotope.schema.config.delivery import AlertmanagerEntry, DeliverySection
from chronotope.schema.repeating import Repeating, log_failure
from chronotope.schema.storage.store import Store
from chronotope.server.delivery.alertmanager import PATH, bodies
from chronotope.server.delivery.grafana import Grafana
from chronotope.server.delivery.notice import Notice, Outbox
from chronotope.server.delivery.posting import Unwanted, ask, wait_s
from chronotope.server.delivery.webhook import Webhook
from chronotope.server.rules.table import Standing

logger = logging.getLogger(__name__)


class Receiver(Protocol):
    """Takes each notice once."""

    def send(self, notice: Notice, now_ms: int) -> None:
        """Send a notice, or raise Undelivered or Unwanted."""


class DeliveryMetrics:
    """The metrics of receivers: as many as the configuration names."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.sent = Counter(
            "chronotope_notifications", "Notices (Alertmanager: requests) by outcome.", ["receiver", "outcome"],
            registry=registry,
        )  # fmt: skip
        self.waiting = Gauge("chronotope_notifications_waiting", "Notices owed.", ["receiver"], registry=registry)
        self.failing = Gauge(
            "chronotope_receiver_failing", "1 while a receiver fails.", ["receiver"], registry=registry
        )


class Notifier(ABC):
    """Notifies one receiver by `round`, when something changed or it is time again; `rounds` starts it."""

    def __init__(self, name: str, every_s: float, metrics: DeliveryMetrics, clock: Callable[[], int]) -> None:
        self.name = name
        self.metrics = metrics
        self.clock = clock
        self._every_s = self._pause_s = every_s
        self._failures = 0
        self._standing: Sequence[Standing] | None = None
        self.rounds = Repeating(f"tell {name}", self._notify, self._failed, lambda: self._pause_s)
        for outcome in ("delivered", "failed", "dropped"):
            metrics.sent.labels(name, outcome)

    def update(self, standing: Sequence[Standing], changed: bool) -> None:
        """Take the present alerts and their states; return at once."""
        first = self._standing is None
        self._standing = standing
        if changed or first:
            self.rounds.wake()

    @abstractmethod
    def round(self, standing: Sequence[Standing]) -> None:
        """Send all there is to send.

        Raises:
            Undelivered: to be tried again.
        """

    def _notify(self) -> None:
        if self._standing is None:
            return
        self.round(self._standing)
        self._failures, self._pause_s = 0, self._every_s
        self.metrics.failing.labels(self.name).set(0)

    def _failed(self, error: Exception) -> None:
        self._failures += 1
        self._pause_s = wait_s(self._failures, getattr(error, "retry_after_s", 0.0))
        self.metrics.sent.labels(self.name, "failed").inc()
        self.metrics.failing.labels(self.name).set(1)
        log_failure(logger, "a receiver is not told", error, receiver=self.name, next_try_s=round(self._pause_s))


class NoticeNotifier(Notifier):
    """Sends each notice once."""

    def __init__(
        self, name: str, receiver: Receiver, store: Store, give_up_after_s: int, metrics: DeliveryMetrics,
        clock: Callable[[], int],
    ) -> None:  # fmt: skip
        super().__init__(name, 10.0, metrics, clock)
        self._receiver = receiver
        self._outbox = Outbox(store, name)
        self._give_up_after_ms = give_up_after_s * 1000

    def round(self, standing: Sequence[Standing]) -> None:
        """Send the notices that are due, oldest first."""
        due = self._outbox.due(standing, self.clock())
        for at, notice in enumerate(due):
            self.metrics.waiting.labels(self.name).set(len(due) - at)
            if self.rounds.stopping.is_set():
                return
            outcome = "dropped"
            if self.clock() - notice.at_ms <= self._give_up_after_ms:
                outcome = self._send_notice(notice)
            self._outbox.record_outcome(notice.id, outcome, self.clock())
            self.metrics.sent.labels(self.name, outcome).inc()
        self.metrics.waiting.labels(self.name).set(0)

    def _send_notice(self, notice: Notice) -> str:
        try:
            self._receiver.send(notice, self.clock())
        except Unwanted as error:
            logger.warning("%s refuses a notice for good: %s", self.name, error)
            return "dropped"
        return "delivered"


class AlertmanagerNotifier(Notifier):
    """Sends one Alertmanager all alerts, each round again."""

    def __init__(
        self, entry: AlertmanagerEntry, config: DeliverySection, metrics: DeliveryMetrics, clock: Callable[[], int]
    ) -> None:
        super().__init__(entry.shown, float(config.resend), metrics, clock)
        self._entry = entry
        self._config = config

    def round(self, standing: Sequence[Standing]) -> None:
        """POST all alerts; what is refused for good is refused again next round, and counted."""
        config = self._config
        for body in bodies(standing, self.clock(), config.resend, config.external_url):
            try:
                ask("POST", f"{self._entry.url}{PATH}", body, self._entry.sent_headers, config.timeout)
            except Unwanted as error:
                self.metrics.sent.labels(self.name, "dropped").inc()
                logger.warning("%s refuses alerts: %s", self.name, error)
                continue
            self.metrics.sent.labels(self.name, "delivered").inc()


def notifiers_of(
    config: DeliverySection, store: Store, registry: CollectorRegistry, clock: Callable[[], int]
) -> list[Notifier]:
    """Return a notifier for each receiver of the configuration; none has started.

    Raises:
        InvalidConfig: the file of a secret cannot be read.
    """
    metrics = DeliveryMetrics(registry)
    notifiers: list[Notifier] = [AlertmanagerNotifier(entry, config, metrics, clock) for entry in config.alertmanagers]
    receivers: list[tuple[str, Receiver]] = [
        (entry.shown, Webhook(entry, config.timeout, config.external_url)) for entry in config.webhooks
    ]
    receivers += [(entry.shown, Grafana(entry, config.timeout)) for entry in config.grafana]
    notifiers += [
        NoticeNotifier(name, receiver, store, config.give_up_after, metrics, clock) for name, receiver in receivers
    ]
    return notifiers
