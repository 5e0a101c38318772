"""Rules, notifications and the stream of changes as one part of a running server.

Invariant: rules stop before notifications. A notification that is not sent yet is in the store, and is sent after the
next start.
"""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from chronotope.schema.config.config import Config
from chronotope.schema.storage.store import Store
from chronotope.server.delivery.notify import Notifier, notifiers_of
from chronotope.server.delivery.stream import Hub
from chronotope.server.evidence.settings import Settings
from chronotope.server.rules.loop import RuleLoop, RuleMetrics
from chronotope.server.rules.table import read_alerts


@dataclass(slots=True)
class Alerting:
    """The rules, their notifiers, and the stream. Rules run when there are any, or an alert of a removed rule."""

    hub: Hub
    rules: RuleLoop
    notifiers: list[Notifier]
    needed: bool

    def start(self) -> None:
        """Begin."""
        self.hub.rounds.start()
        if not self.needed:
            return
        for notifier in self.notifiers:
            self.rules.listeners.append(notifier.update)
            notifier.rounds.start()
        self.rules.start()

    def stop(self, timeout_s: float) -> None:
        """End; requests under way have until the timeout."""
        self.hub.stop(timeout_s)
        if not self.needed:
            return
        self.rules.rounds.stop(timeout_s)
        for notifier in self.notifiers:
            notifier.rounds.stop(timeout_s / max(len(self.notifiers), 1))


def open_alerting(store: Store, config: Config, settings: Settings, registry: CollectorRegistry) -> Alerting:
    """Return rules, notifiers and stream over a migrated store; nothing runs until `start`.

    Raises:
        InvalidConfig: the file of a secret cannot be read.
    """
    delivery = config.delivery
    rules = RuleLoop(store, config.rules, settings, RuleMetrics(registry), delivery.give_up_after)
    needed = bool(config.rules) or bool(read_alerts(store, settings.clock() + 1))
    hub = Hub(store, settings, registry)
    return Alerting(hub, rules, notifiers_of(delivery, store, registry, settings.clock), needed)
