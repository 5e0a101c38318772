"""Rules, their delivery and the stream of changes as parts of a running server.

Invariant: alerts stop being evaluated before their receivers stop being told; what is not told yet is in the store, and
is told after the next start.
"""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import CollectorRegistry

from chronotope.schema.config.config import Config
from chronotope.schema.storage.store import Store
from chronotope.server.delivery.notify import Teller, tellers_of
from chronotope.server.delivery.stream import Hub
from chronotope.server.evidence.settings import Settings
from chronotope.server.rules.driver import RuleMetrics, RulesDriver
from chronotope.server.rules.table import read_alerts


@dataclass(slots=True)
class Alerting:
    """What evaluates rules and tells of them; rules run when there is one, or an alert of one that is gone."""

    hub: Hub
    driver: RulesDriver
    tellers: list[Teller]
    needed: bool

    def start(self) -> None:
        """Begin."""
        self.hub.rounds.start()
        if not self.needed:
            return
        for teller in self.tellers:
            self.driver.listeners.append(teller.hear)
            teller.rounds.start()
        self.driver.start()

    def stop(self, timeout_s: float) -> None:
        """End; requests that are under way have until the timeout."""
        self.hub.stop(timeout_s)
        if not self.needed:
            return
        self.driver.rounds.stop(timeout_s)
        for teller in self.tellers:
            teller.rounds.stop(timeout_s / max(len(self.tellers), 1))


def open_alerting(store: Store, config: Config, settings: Settings, registry: CollectorRegistry) -> Alerting:
    """Return rules and delivery over a migrated store; nothing runs until `start`.

    Raises:
        InvalidConfig: the file of a secret cannot be read.
    """
    delivery = config.delivery
    driver = RulesDriver(store, config.rules, settings, RuleMetrics(registry), delivery.give_up_after)
    needed = bool(config.rules) or bool(read_alerts(store, settings.clock() + 1))
    hub = Hub(store, settings, registry)
    return Alerting(hub, driver, tellers_of(delivery, store, registry, settings.clock), needed)
